"""python -m xlchild: many commands, some at a time.

The command line of xlchild.pool, tied together by _main.py.

What is asked for: _table.py has the options, _values.py their values,
_options.py reads them, _theirs.py refuses those of others, _pages.py shows
them. What is run: _sources.py has the values, _template.py and _words.py make
commands of them, _input.py hands these to the pool. What comes out:
_printer.py and _sink.py, _report.py keeps account. Around it: _terminal.py for
keys and the bar, _gates.py for load and memory, _jobserver.py and _makes.py
for GNU make's job server. Apart from all that: _doctor.py, which looks at
another process.
"""
from ._main import main

__all__ = ["main"]
