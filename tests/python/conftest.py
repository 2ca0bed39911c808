"""What every Python test gets: helpers, and nothing left behind.

After each test there are as many fds and children as before, the signal mask
and SIGCHLD's disposition are the same, and SIGCHLD has no stranger's handler.
"""
import ctypes
import gc
import os
import signal
import sys
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HELPERS = ROOT / "build" / "tests" / "helpers"
CHILD = str(HELPERS / "child")
TINY = str(HELPERS / "tiny")

sys.path.insert(0, str(Path(__file__).resolve().parent))

_libc = ctypes.CDLL(None, use_errno=True)


def fds():
    """The open fds of this process, by what they are open on."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return found


# The tests' programs are no part of the make that may have started this: its
# job server is none of theirs.
for _name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(_name, None)


def children():
    """Pids of this process's children, zombies included."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/%s/children" % task) as file:
                found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that ended since: it has no children
    return found


def sigchld():
    """SIGCHLD's disposition as the kernel has it: handler, mask, flags."""
    room = ctypes.create_string_buffer(256)
    assert _libc.sigaction(int(signal.SIGCHLD), None, room) == 0
    return room.raw[:16], room.raw[136:140]  # the rest is padding


def state():
    """What a test leaves as it was."""
    return fds(), children(), sigchld()[0][:8], \
        signal.pthread_sigmask(signal.SIG_BLOCK, [])


def loop_policy():
    """asyncio's, if there is one already; anyio sets its own, and leaves it."""
    events = sys.modules.get("asyncio.events")
    return events and events._event_loop_policy


@pytest.fixture(autouse=True)
def same_loops():
    """The next test's loops are of the kind that this one's were."""
    before = loop_policy()
    yield
    if loop_policy() is not before:
        sys.modules["asyncio.events"]._event_loop_policy = before


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Compare the process before and after the test."""
    if request.node.get_closest_marker("own_process"):
        yield
        return
    import xlchild
    xlchild.default_context().close()  # a new one is made when needed
    gc.collect()
    before = state()
    yield
    gc.collect()
    xlchild.default_context().close()
    after = state()
    until = time.monotonic() + 5
    while after != before and time.monotonic() < until:
        time.sleep(0.002)  # a child that was killed by close() is reaped soon
        after = state()
    assert set(after[0].items()) ^ set(before[0].items()) == set()
    assert after[1:] == before[1:]


@pytest.fixture
def ctx():
    """A Context in the default mode."""
    import xlchild
    with xlchild.Context() as context:
        yield context


def soon(condition):
    """It becomes true."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def clean():
    """Says when nothing is left of what was started."""
    import xlchild
    xlchild.run([CHILD, "exit", "3"], capture_output=True)
    living = set(children())
    open_fds = set(fds().items())

    def is_clean():
        gc.collect()
        soon(lambda: set(children()) == living)
        return set(fds().items()) - open_fds

    return is_clean


@pytest.fixture
def child():
    """The helper program's path."""
    return CHILD


def pytest_configure(config):
    """Markers of ours; warnings of leaks are errors. The process that
    multiprocessing keeps is there from the start."""
    resource_tracker.ensure_running()
    config.addinivalue_line("markers", "own_process: compares nothing")
    config.addinivalue_line("markers", "long: a part of check-all alone")
    config.addinivalue_line("filterwarnings", "error")
    # anyio 3 on trio 0.22, of themselves
    config.addinivalue_line("filterwarnings",
                            "ignore:trio.MultiError is deprecated")


def pytest_collection_finish():
    """What is loaded by now stays: the collector need not look at it twice a
    test."""
    gc.collect()
    gc.freeze()
