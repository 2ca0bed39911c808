"""How many starts went through the library, and what went past it, and why.

Counted from install() on (_install.py). _popen.py tells of its own starts and
of those that it leaves to subprocess; os.fork and its like are heard of from
Python's audit events, by a hook in C (audit.c).
"""
import os
import sys
import threading

from . import _libxl

__all__ = ["Report", "hold", "held", "let_go", "listen", "past", "report", "through"]

_SPAWN = "os.spawn*"
# who called os.fork or os.forkpty: the module, and what that is called
_CALLERS = {"multiprocessing.popen_fork": "multiprocessing (fork)",
            "pty": "pty.fork"}

# Children of subprocess.Popen objects that the library holds: a set of
# (context, child). After uninstall(), late is called when another thread has
# started one all the same, emptied when the last one is let go of.
held = set()
late = [None]
emptied = [None]

_through = {}
_past = {}
_quiet = threading.local()
_counting = False
_lock = threading.RLock()  # a signal handler may start something
_before_exec = [None]


class Report:
    """What report() returns; str() of it is to be read.

    ``installed``: install() is in force. ``through``: starts by kind
    (``"subprocess"``, ``"asyncio"``). ``past``: those that went another way,
    by reason. Starts that failed are not in ``through``; of ``past`` nobody
    knows.

    >>> import xlchild
    >>> print(xlchild.Report(True, {"subprocess": 3}, {"os.fork": 1}))
    3 starts through xlchild: subprocess 3
    1 past it: os.fork 1
    """

    __slots__ = ("installed", "through", "past")

    def __init__(self, installed, through, past):
        self.installed = installed
        self.through = dict(through)
        self.past = dict(past)

    def __str__(self):
        return "%s\n%s" % (
            _line("%d start%s through xlchild", self.through),
            _line("%d past it", self.past))

    def __repr__(self):
        return "Report(%r, %r, %r)" % (self.installed, self.through,
                                       self.past)


def _line(text, counts):
    number = sum(counts.values())
    head = text % ((number, "" if number == 1 else "s")
                   if text.count("%") > 1 else number)
    if not counts:
        return head
    return head + ": " + ", ".join(
        "%s %d" % (name, counts[name])
        for name in sorted(counts, key=lambda n: (-counts[n], n)))


def through(kind, number=1):
    """A start of the library's has succeeded; or has not after all (-1)."""
    if _counting:
        with _lock:
            _through[kind] = _through.get(kind, 0) + number


def _note(reason):
    if _counting:
        with _lock:
            _past[reason] = _past.get(reason, 0) + 1


class past:
    """with past(reason): a start in another way, counted once."""

    def __init__(self, reason):
        self.reason = reason

    def __enter__(self):
        _note(self.reason)
        _quiet.depth = getattr(_quiet, "depth", 0) + 1

    def __exit__(self, *_):
        _quiet.depth -= 1


def hold(key):
    """The library holds this child."""
    held.add(key)
    if late[0] is not None:
        late[0]()


def let_go(key):
    """The library holds this child no more."""
    held.discard(key)
    if not held and emptied[0] is not None:
        emptied[0]()


def _heard(event, _):
    """An audit event; called in the thread that starts something."""
    if event == "os.exec":
        if _before_exec[0] is not None:
            _before_exec[0]()
        return
    if getattr(_quiet, "depth", 0):
        return
    if event in ("os.fork", "os.forkpty"):
        caller = sys._getframe(1)
        module = caller.f_globals.get("__name__")
        if module == "os" and caller.f_code.co_name == "_spawnvef":
            event = _SPAWN
        else:
            event = _CALLERS.get(module, event)
    _note(event)


def fork_exec_by_hand():
    """Called instead of _posixsubprocess.fork_exec."""
    if not getattr(_quiet, "depth", 0):
        _note("_posixsubprocess.fork_exec")


def listen(counting):
    """Count from now on, or no more. What has been counted stays."""
    global _counting
    _counting = counting
    _libxl.watch_starts(_heard if counting else None)


def before_exec(action):
    """Call action before this process becomes another program."""
    _before_exec[0] = action


def reset():
    """Start again at zero."""
    with _lock:
        _through.clear()
        _past.clear()


def report():
    """The starts since install(): a Report.

    In a forked child those of the child itself.

    >>> import os, subprocess, xlchild
    >>> installed = xlchild.install()
    >>> before = sum(xlchild.report().through.values())
    >>> subprocess.call(["true"]), os.system("true")
    (0, 0)
    >>> after = xlchild.report()
    >>> sum(after.through.values()) - before, after.past["os.system"] > 0
    (1, True)
    >>> uninstalled = xlchild.uninstall()
    """
    with _lock:
        return Report(_counting, _through, _past)


def _in_a_forked_child():
    global _lock
    _lock = threading.RLock()  # its owner may be gone
    held.clear()
    reset()


os.register_at_fork(after_in_child=_in_a_forked_child)
