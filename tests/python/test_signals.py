"""A signal reaches Python's handler out of every call that blocks.

The timer's signals go on until one handler raises: before the call blocks or
after, in a thread that waits itself or behind another one that does.
"""
import os
import signal
import subprocess
import threading

import pytest
from conftest import CHILD

import xlchild


class Interrupted(Exception):
    """What the handler raises."""


CALLS = {
    "events": lambda ctx, child: ctx.events(None),
    "wait": lambda ctx, child: child.wait(),
    "wait with a timeout": lambda ctx, child: child.wait(600),
    "run": lambda ctx, child: ctx.run([CHILD, "pause"]),
    "Popen.wait": lambda ctx, child: popen(ctx).wait(),
    "Popen.communicate": lambda ctx, child: popen(ctx).communicate(),
    "call": lambda ctx, child: xlchild.call([CHILD, "pause"], context=ctx),
}


def popen(ctx):
    """One that the test ends itself."""
    popen.last = xlchild.Popen([CHILD, "pause"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, context=ctx)
    return popen.last


@pytest.fixture
def alarms():
    """A timer; the fifth of its signals raises."""
    seen = []

    def handler(signo, frame):
        seen.append(signo)
        if len(seen) == 5:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    yield seen
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("behind", [False, True], ids=["leads", "follows"])
@pytest.mark.parametrize("name", CALLS)
def test_a_handlers_exception_ends_the_call(ctx, alarms, name, behind):
    popen.last = None
    inner, outer = os.pipe()
    child = ctx.spawn([CHILD, "hold"], stdin=inner)
    os.close(inner)
    other = ctx.spawn([CHILD, "pause"])
    thread = threading.Thread(target=other.wait)
    if behind:
        thread.start()
    with pytest.raises(Interrupted):
        CALLS[name](ctx, child)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(alarms) >= 5
    if popen.last is not None:
        with popen.last as process:
            process.kill()
    other.kill()
    if behind:
        thread.join()
    assert other.wait().signal == signal.SIGKILL
    os.close(outer)
    assert child.wait().success  # it lived on, and the ctx is usable
    assert ctx.child_count == 0
