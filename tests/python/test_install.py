"""install(): the program's own subprocess and asyncio, started by xlchild.

What the standard library does without it is the yardstick; the counts of
report() show that the library was asked. under is test_under.py's.
"""
import asyncio
import importlib.util
import os
import pty
import signal
import subprocess
import sys
import threading
import warnings
from unittest import mock

import pytest
from conftest import CHILD, fds

import xlchild
from xlchild import _popen, aio

SAYS = [CHILD, "exit", "3"]
ABSENT = CHILD + ".not-there"


@pytest.fixture
def installed():
    """In force during the test."""
    assert xlchild.install()
    yield
    xlchild.uninstall()


def through(kind="subprocess"):
    return xlchild.report().through.get(kind, 0)


def past(reason):
    return xlchild.report().past.get(reason, 0)


# ---- what goes through ------------------------------------------------------

def check_output_fails():
    try:
        subprocess.check_output("echo x; exit 4", shell=True)
    except subprocess.CalledProcessError as error:
        return error.returncode, error.output


def times_out():
    try:
        subprocess.run([CHILD, "cat"], stdin=subprocess.PIPE, timeout=0.05)
    except subprocess.TimeoutExpired as error:
        return error.timeout, error.cmd


def popens():
    with os.popen("echo x; exit 5") as stream:
        return stream.read(), stream.close()


CALLS = {
    "Popen": lambda: subprocess.Popen(SAYS).wait(),
    "run": lambda: subprocess.run("echo $X", shell=True, env={"X": "y"},
                                  capture_output=True, text=True).stdout,
    "call": lambda: subprocess.call(SAYS),
    "check_call": lambda: subprocess.check_call([CHILD, "exit", "0"]),
    "check_output": check_output_fails,
    "getoutput": lambda: subprocess.getoutput("echo x; echo y >&2"),
    "getstatusoutput": lambda: subprocess.getstatusoutput("echo x; exit 6"),
    "TimeoutExpired": times_out,
    "os.popen": popens,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_same_and_through_the_library(name, installed):
    xlchild.uninstall()
    wanted = CALLS[name]()
    xlchild.install()
    before = through()
    assert CALLS[name]() == wanted
    assert through() == before + 1


ERRORS = {
    "no program": dict(args=[ABSENT]),
    "no program, shell": dict(args="x", shell=True, executable=ABSENT),
    "no folder": dict(args=["true"], cwd=ABSENT),
    "not to be run": dict(args=["/dev/null"]),
    "a number": dict(args=["true", 1]),
    "a zero": dict(args=["true", "a\0b"]),
    "an environment": dict(args=["true"], env={"A=B": "c"}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_same_errors(name, installed):
    """C15, B5: their classes are Python's own, and so is what they say."""
    def error():
        with pytest.raises(Exception) as caught:
            subprocess.Popen(**ERRORS[name])
        return (type(caught.value), str(caught.value),
                getattr(caught.value, "filename", None))

    ours = error()
    xlchild.uninstall()
    assert ours == error()


class Before(subprocess.Popen):
    """With names that a class of ours might have, too."""

    _id = _context = _result = status = "its own"

    def send_signal(self, number):
        self.sent = number
        super().send_signal(number)


def test_subclasses_made_before_and_after(installed):
    class After(subprocess.Popen):
        def wait(self, timeout=None):
            return super().wait(timeout) + 100

    count = through()
    first, second = Before([CHILD, "cat"], stdin=-1), After(SAYS)
    assert isinstance(first, subprocess.Popen) and through() == count + 2
    first.terminate()
    assert (first.wait(), first.sent) == (-signal.SIGTERM, signal.SIGTERM)
    assert (first._id, first.status) == ("its own", "its own")
    first.stdin.close()
    assert second.wait() == 103
    assert xlchild.Popen(SAYS).wait() == 3  # which is a subclass as well


def test_a_replaced_name_is_asked(installed):
    with mock.patch("subprocess.Popen") as fake:
        subprocess.call(SAYS)
        asyncio_error = OSError("from the fake")
        fake.side_effect = asyncio_error
        with pytest.raises(OSError) as caught:
            asyncio.run(asyncio.create_subprocess_exec(*SAYS))
    assert fake.call_args_list[0] == mock.call(SAYS)
    assert caught.value is asyncio_error
    if hasattr(subprocess, "_fork_exec"):
        with mock.patch("subprocess._fork_exec",
                        side_effect=RuntimeError("fake")):
            with pytest.raises(RuntimeError):
                subprocess.call(SAYS)
        assert past("fork_exec has been replaced") > 0


def test_C6_a_stolen_status(installed):
    """subprocess makes 0 of it."""
    child = subprocess.Popen(SAYS)
    os.waitpid(child.pid, 0)
    try:
        assert child.wait() == 3
    except xlchild.LostError:  # a kernel that does not tell it any more
        assert isinstance(child.returncode, xlchild.Lost)


def test_a_dropped_child_is_reaped_by_the_next_start(installed):
    ours, theirs = os.pipe()
    with pytest.warns(ResourceWarning):
        pid = subprocess.Popen(["cat"], stdin=ours).pid
    os.close(ours)
    os.close(theirs)  # it lives until now: subprocess reaps a dead one here
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    subprocess.call(SAYS)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_what_the_library_refuses_is_started_all_the_same(
        installed, monkeypatch):
    refuses = eval("lambda *_: (_ for _ in ()).throw(error)", {
        "__name__": "xlchild", "error": xlchild.UnavailableError("here")})
    monkeypatch.setattr(xlchild.Context, "_spawn", refuses)
    count = past("refused with UnavailableError")
    done = subprocess.run(SAYS, capture_output=True, input=b"x")
    assert done.returncode == 3
    assert past("refused with UnavailableError") == count + 1


def test_B10_a_handler_s_exception_comes_out(installed):
    """It is no refusal: nothing is started in another way."""
    def handler(*_):
        raise TypeError("of the handler")

    def spawn(*_):
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        count = xlchild.report().past
        with mock.patch.object(xlchild.Context, "_spawn", spawn):
            with pytest.raises(TypeError, match="of the handler"):
                subprocess.Popen(SAYS)
        assert xlchild.report().past == count
    finally:
        signal.signal(signal.SIGUSR1, before)


# ---- asyncio ------------------------------------------------------------------

class Protocol(asyncio.SubprocessProtocol):
    """Notes what it is told."""

    def __init__(self):
        self.told = []
        self.lost = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd, data):
        self.told.append((fd, data))

    def process_exited(self):
        self.told.append("exited")

    def connection_lost(self, error):
        self.lost.set_result(error)


async def in_a_loop():
    """All ways to start a child in the running loop."""
    loop = asyncio.get_running_loop()
    process = await asyncio.create_subprocess_exec(*SAYS)
    results = [await process.wait()]
    process = await asyncio.create_subprocess_shell("cat; exit 4", stdin=-1,
                                                    stdout=-1)
    results += [await process.communicate(b"x"), process.returncode]
    for start in (loop.subprocess_exec(Protocol, "sh", "-c", "echo x; exit 5"),
                  loop.subprocess_shell(Protocol, "echo x; exit 5")):
        transport, protocol = await start
        await protocol.lost
        assert set(protocol.told) == {(1, b"x\n"), "exited"}
        results.append(transport.get_returncode())
        transport.close()
    with pytest.raises(FileNotFoundError) as caught:
        await asyncio.create_subprocess_exec(ABSENT)
    assert type(caught.value) is FileNotFoundError
    return results


if importlib.util.find_spec("uvloop") is not None:
    # libuv keeps a pipe a process
    importlib.import_module("uvloop").new_event_loop().close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_loops(kind, installed, monkeypatch):
    if kind == "asyncio":
        new_loop = asyncio.new_event_loop
    elif importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    else:
        xlchild.uninstall()
        monkeypatch.delitem(sys.modules, "uvloop")  # others have it still
        xlchild.install()  # before it is imported
        new_loop = importlib.import_module("uvloop").new_event_loop
    count = through("asyncio")
    loop = new_loop()
    try:
        assert loop.run_until_complete(in_a_loop()) \
            == [3, (b"x", None), 4, 5, 5]
    finally:
        loop.close()
    assert through("asyncio") == count + 4
    assert not xlchild.report().past.get("os.fork")


def test_the_popen_of_a_transport_can_be_waited_for(installed):
    """In the loop's thread, where nothing else can run meanwhile, and in
    another one."""
    async def main():
        loop = asyncio.get_running_loop()
        process = await asyncio.create_subprocess_exec(*SAYS)
        popen = process._transport.get_extra_info("subprocess")
        first = popen.wait(), popen.poll(), await process.wait()
        process = await asyncio.create_subprocess_exec(CHILD, "cat", stdin=-1)
        popen = process._transport.get_extra_info("subprocess")
        with pytest.raises(subprocess.TimeoutExpired):
            popen.wait(0.01)
        waiter = loop.run_in_executor(None, popen.wait)
        process.stdin.close()
        return first, await waiter, await process.wait()

    assert asyncio.run(main()) == ((3, 3, 3), 0, 0)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no child watchers")
def test_beside_aios_child_watcher(installed):
    """A program that has chosen it before: it has nothing to adopt."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        aio.install_child_watcher()
        try:
            count = through("asyncio")
            assert asyncio.run(in_a_loop()) == [3, (b"x", None), 4, 5, 5]
            assert through("asyncio") == count + 4
        finally:
            asyncio.set_child_watcher(None)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no child watchers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_watcher_of_the_program_is_asked(installed):
    watcher = asyncio.SafeChildWatcher()
    asyncio.set_child_watcher(watcher)
    try:
        count = through("asyncio"), through()

        async def main():
            watcher.attach_loop(asyncio.get_running_loop())
            process = await asyncio.create_subprocess_exec(*SAYS)
            return await process.wait()

        assert asyncio.run(main()) == 3
        assert (through("asyncio"), through()) == (count[0], count[1] + 1)
    finally:
        asyncio.set_child_watcher(None)
        watcher.close()


# ---- what goes past, and is counted -------------------------------------------

def forked():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def forked_pty():
    pid, fd = pty.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(fd)


def fork_exec():
    from multiprocessing import util
    os.waitpid(util.spawnv_passfds(os.fsencode(CHILD), SAYS, []), 0)


PAST = {
    "preexec_fn": lambda: subprocess.call(SAYS, preexec_fn=int),
    "os.fork": forked,
    "pty.fork": forked_pty,
    "os.spawn*": lambda: os.spawnv(os.P_WAIT, CHILD, SAYS),
    "os.system": lambda: os.system("exit 3"),
    "os.posix_spawn": lambda: os.waitpid(
        os.posix_spawn(CHILD, SAYS, os.environ), 0),
    "_posixsubprocess.fork_exec": fork_exec,
}


@pytest.mark.parametrize("reason", PAST)
def test_what_goes_past_is_counted_once(reason, installed):
    before = xlchild.report()
    PAST[reason]()
    after = xlchild.report()
    assert after.through == before.through
    assert sum(after.past.values()) == sum(before.past.values()) + 1
    assert after.past[reason] == before.past.get(reason, 0) + 1
    assert "%s %d" % (reason, after.past[reason]) in str(after)


def test_a_listener_that_fails_stops_no_start(installed, monkeypatch):
    from xlchild import _libxl
    seen = []

    def listener(*event):
        seen.append(event)
        raise RuntimeError("of the listener")

    _libxl.watch_starts(listener)
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    assert os.system("exit 3") == 3 << 8
    assert [str(one.exc_value) for one in unraisable] == ["of the listener"]
    unraisable.clear()
    assert seen == [("os.system", (b"exit 3",))]
    with pytest.raises(TypeError, match="callback"):
        _libxl.watch_starts(3)


# ---- installing -----------------------------------------------------------------

def ways():
    """What the standard library's classes consist of."""
    return ({name: thing for name, thing in vars(subprocess.Popen).items()
             if not name.startswith("_xl_")},
            asyncio.unix_events._UnixSelectorEventLoop
            ._make_subprocess_transport,
            __import__("_posixsubprocess").fork_exec, list(sys.meta_path))


def test_twice_is_once_and_all_is_taken_back():
    before = ways()
    assert not xlchild.uninstall() and ways() == before
    assert xlchild.install() and not xlchild.install()
    assert xlchild.report().installed and ways() != before
    assert xlchild.uninstall() and not xlchild.uninstall()
    assert ways() == before and not xlchild.report().installed
    count = xlchild.report()
    subprocess.call(SAYS)
    os.system("true")
    assert repr(xlchild.report()) == repr(count)


def test_children_live_when_it_is_uninstalled():
    before, open_fds = ways(), fds()
    xlchild.install()
    child = subprocess.Popen([CHILD, "cat"], stdin=subprocess.PIPE)
    assert xlchild.uninstall()
    count = xlchild.report().through
    later = subprocess.Popen(SAYS)
    assert later._xl_id is None and xlchild.report().through == count \
        and child.poll() is None
    assert later.wait() == 3
    child.terminate()
    assert child.wait() == -signal.SIGTERM
    child.stdin.close()
    assert ways() == before  # the last of them was it
    xlchild.default_context().close()
    assert fds() == open_fds


def test_it_is_uninstalled_during_a_start(monkeypatch):
    """By another thread, say: the child's way to end is there all the same."""
    before = ways()
    xlchild.install()
    spawn = xlchild.Context._spawn

    def uninstalls(*args):
        assert xlchild.uninstall() and ways() == before
        return spawn(*args)

    with monkeypatch.context() as patch:
        patch.setattr(xlchild.Context, "_spawn", uninstalls)
        child = subprocess.Popen(SAYS)
    assert child.wait() == 3 and child._xl_result is not None
    assert ways() == before


def test_what_others_put_there_stays():
    def theirs(self, *args):
        raise RuntimeError("theirs")

    xlchild.install()
    own = subprocess.Popen._execute_child
    subprocess.Popen._execute_child = theirs
    try:
        xlchild.uninstall()
        assert subprocess.Popen._execute_child is theirs
    finally:
        subprocess.Popen._execute_child = own
        xlchild.install()
        subprocess.Popen._execute_child = own
        xlchild._install._theirs["_execute_child"] = \
            _popen._stock._execute_child
        xlchild.uninstall()
    assert subprocess.Popen._execute_child is _popen._stock._execute_child


def test_threads_install_and_start():
    """Statuses are right whichever way each of them went (B9)."""
    wrong, changed = [], []
    go = threading.Barrier(4)

    def work(number):
        go.wait()
        for turn in range(10):
            code = number * 10 + turn
            changed.append((xlchild.install if turn % 2 else
                            xlchild.uninstall)())
            got = subprocess.call([CHILD, "exit", str(code)])
            if got != code:
                wrong.append((code, got))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    xlchild.uninstall()
    assert wrong == [] and any(changed)
    assert not xlchild._starts.held
    assert subprocess.Popen._internal_poll is _popen._stock._internal_poll


def test_a_forked_child_inherits_it_and_counts_anew(installed):
    held = subprocess.Popen([CHILD, "cat"], stdin=subprocess.PIPE)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            empty = xlchild.report()
            assert empty.installed and not (empty.through or empty.past)
            assert subprocess.call(SAYS) == 3 and through() == 1
            assert xlchild.uninstall() and not xlchild._starts.held
            assert subprocess.call(SAYS) == 3
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    held.stdin.close()
    assert held.wait() == 0


def test_with_the_router(installed):
    """In a mode that reaps all, Python's own waits find the statuses."""
    with xlchild.Context(
            xlchild.SigchldOwner.LIBXL, childproc_exited_callback=xlchild
            .route_unknown_children) as ctx:
        ours = ctx.spawn([CHILD, "exit", "1"])
        assert subprocess.call(SAYS) == 3
        assert subprocess.call(SAYS, preexec_fn=int) == 3
        assert ours.wait().exitcode == 1
