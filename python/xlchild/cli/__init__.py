"""python -m xlchild: many commands, some at a time.

The command line of xlchild.pool: _options.py reads it, _input.py makes
commands of lines, _printer.py puts out what they write, _report.py keeps
account, _main.py ties them together.
"""
from ._main import main

__all__ = ["main"]
