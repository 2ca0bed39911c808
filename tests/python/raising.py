"""Raises at a chosen instruction, as a signal handler of Python's may.

A handler runs between two instructions. A trace function raises instead: at
the first instruction of this package and of subprocess, at the second, and so
on. Used by test_interrupted.py and test_interrupted_loops.py.
"""
import dis
import subprocess
import sys
from pathlib import Path

import xlchild

# subprocess's own code leaves fds of pipes where it is interrupted: where
# there are pipes, only the points of this package
FILES = (str(Path(xlchild.__file__).parent), subprocess.__file__)
RETURNS = [dis.opmap[name] for name in ("RETURN_VALUE", "RETURN_CONST")
           if name in dis.opmap]
# in an await: from one that waits to whom it waits for, and back
AWAITS = [dis.opmap[name] for name in (
    "SEND", "YIELD_FROM", "JUMP_BACKWARD_NO_INTERRUPT") if name in dis.opmap]
RESUME = dis.opmap.get("RESUME")
LOADS = [dis.opmap[name] for name in ("LOAD_FAST", "LOAD_CONST")]


class Raised(BaseException):
    """By the handler."""


class RaisedTimeout(Raised, TimeoutError):
    """As many handlers of alarms do it: an OSError."""


class RaisedValue(Raised, ValueError):
    """What a wrong argument would raise."""


def returns(frame):
    """It is at the end of a function: with a value at hand it returns."""
    code, at = frame.f_code.co_code, frame.f_lasti
    if at < 0:
        return False
    return code[at] in RETURNS or code[at] in LOADS \
        and code[at + 2:at + 3] and code[at + 2] in RETURNS


def awaits(frame):
    """It hands on what is awaited: there Python runs no handler, so that an
    exception of one comes out of what waits, not beside it."""
    code, at = frame.f_code.co_code, frame.f_lasti
    if at < 0:
        return False
    if code[at] == RESUME:
        return code[at + 1] & 3 > 1
    before = code[max(at - 4, 0):at:2]  # the last is no instruction, perhaps
    return code[at] in AWAITS or code[at] == dis.opmap["YIELD_VALUE"] \
        and any(one in AWAITS for one in before)


def finalizes(frame):
    """A finalizer, or called by one: what it raises is only shown."""
    while frame is not None:
        if frame.f_code.co_name in ("__del__", "_end_now", "_end_started"):
            return True
        frame = frame.f_back
    return False


def raising_at(number, work, files=FILES, kind=Raised):
    """(it was raised, what work returned)."""
    passed = 0
    fired = False

    def trace(frame, event, arg):
        nonlocal passed, fired
        if event in ("return", "exception") or returns(frame) \
                or awaits(frame):
            return trace  # no handler runs there
        if passed == number:
            fired = True
            raise kind
        passed += 1
        return trace

    def tracer(frame, event, arg):
        code = frame.f_code
        if code.co_filename.startswith(files) and not finalizes(frame):
            frame.f_trace_opcodes = True
            return trace(frame, event, arg)
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        result = work()
    except Raised:
        result = None
    finally:
        sys.settrace(before)
    return fired, result


def sweep(work, after, step=1, files=FILES, kind=Raised):
    """work at every point; after(it was raised, result) judges each."""
    number = 0
    while True:
        fired, result = raising_at(number, work, files, kind)
        after(fired, result)
        if not fired:
            break
        number += step
    assert number >= 3
    return number


class Disturbed:
    """Awaits a coroutine, into whose step (0 is the first) an exception
    comes, at its instruction of that number.

    fired: it did. over: there was no such step.
    """

    def __init__(self, coroutine, number, step=0, files=FILES):
        self.steps = coroutine.__await__()
        self.number, self.step, self.files = number, step, files
        self.fired, self.over = False, True

    def _go_on(self, go, *value):
        before, self.step = self.step, self.step - 1
        if before:
            return go(*value)
        self.over = False
        came_out = False

        def work():
            nonlocal came_out
            try:
                return go(*value)
            except Raised:
                came_out = True
                raise

        self.fired, step = raising_at(self.number, work, self.files)
        if came_out:
            raise Raised
        return step  # also where it waits for something first

    def __await__(self):
        try:
            step = self._go_on(self.steps.send, None)
            while True:
                try:
                    value = yield step
                except BaseException as error:
                    step = self._go_on(self.steps.throw, error)
                else:
                    step = self._go_on(self.steps.send, value)
        except StopIteration as end:
            return end.value
