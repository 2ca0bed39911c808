"""See under.py; checked against the code by the tests."""
from typing import Optional, Sequence

from . import Report

__all__ = ["main"]

SITE: str
UNDER: str
REPORT: str

def summed(path: str) -> Report: ...
def start_in_child() -> None: ...
def main(words: Optional[Sequence[str]] = ...) -> None: ...
