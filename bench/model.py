"""The words of a plan. Used by run.py, report.py, plots.py and every plan_*.

A cell is one command that prints one line of JSON; it is run once a round,
and a figure is a member of that line. Tables print cells as rows (who)
against columns (beside what); a target is a ratio of two cells' medians.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    key: str
    program: str
    text: str
    args: tuple = ()
    needs: str = ""  # what to install or make where the program is not there


@dataclass(frozen=True)
class Column:
    key: str
    text: str
    args: tuple = ()


@dataclass(frozen=True)
class Cell:
    key: str  # row key/column key
    program: str  # what the cell needs: skipped where it does not exist
    command: tuple
    rounds: int
    figures: tuple  # the members of the JSON line that must be there
    missing: str = ""  # who is not there without the program, and what to do


@dataclass(frozen=True)
class Table:
    head: str
    figure: str
    rows: tuple
    columns: tuple


@dataclass(frozen=True)
class Target:
    text: str
    numerator: tuple  # (cell key, figure)
    denominator: tuple  # the same, or None: the numerator itself is compared
    at_most: bool
    bound: float
    less: tuple = None  # subtracted from the numerator: the same again


@dataclass(frozen=True)
class Plan:
    cells: list
    tables: list
    groups: list  # (prefix of keys, figures): a table with figures as columns
    targets: list
