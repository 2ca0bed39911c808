"""Waiting under gevent and eventlet, which patch time.sleep.

A wait inside the library would stop every greenlet of the thread. Where the
sleep of the standard library has been replaced by one of theirs, waits of
this package look, and sleep a little in between: other greenlets run.
Called by Context, Process and Popen.
"""
import sys
import time

__all__ = ["pause", "sleeper", "stock_popen", "waited"]

_THEIRS = ("gevent", "eventlet")
_FIRST = 0.0005
_LONGEST = 0.02


def sleeper():
    """The sleep that lets other greenlets run; None: nothing is patched."""
    sleep = time.sleep
    module = getattr(sleep, "__module__", None)
    if module == "time" or module is None:
        return None
    return sleep if module.partition(".")[0] in _THEIRS else None


def pause(look, sleep, seconds):
    """Call look() until it returns something, seconds at most (None: for
    ever); what it returned last."""
    until = None if seconds is None else time.monotonic() + seconds
    step = _FIRST
    while True:
        found = look()
        if found:
            return found
        left = step if until is None else until - time.monotonic()
        if left <= 0:
            return found
        sleep(min(step, left))
        step = min(step * 2, _LONGEST)


def waited(context, identity, ms):
    """Context._wait, cooperative where that is wanted."""
    sleep = sleeper()
    if sleep is None or ms == 0:
        return context._wait(identity, ms)
    return pause(lambda: context._wait(identity, 0), sleep,
                 None if ms < 0 else ms / 1000)


def stock_popen():
    """subprocess.Popen as Python has it, not as gevent or eventlet do."""
    import subprocess  # slow to import
    for kind in subprocess.Popen.__mro__:
        if kind.__module__ == "subprocess":
            return kind
    monkey = sys.modules.get("gevent.monkey")
    found = monkey and monkey.get_original("subprocess", "Popen")
    return found or subprocess.Popen
