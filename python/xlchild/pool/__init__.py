"""Many commands, a bounded number at a time.

A Pool (_schedule.py) decides what starts when; children of this machine are
started by _local.py, those of other machines or processes by _remote.py.
Their output goes where _spool.py says. ``python -m xlchild`` (xlchild.cli) is
the command line of it.
"""
from ._halt import Halt
from ._result import Result
from ._schedule import Pool, run_many

__all__ = ["Halt", "Pool", "Result", "run_many"]
