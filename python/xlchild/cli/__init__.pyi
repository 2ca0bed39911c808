"""The types of xlchild.cli; checked against the code by the tests."""
from typing import Optional, Sequence

__all__ = ["main"]

def main(argv: Optional[Sequence[str]] = ...) -> int: ...
