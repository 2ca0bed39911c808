"""Beside everything in Python that has children or signals of its own.

Each in the pidfd mode, and in the RFC's default mode, in which the library
reaps every child of the process and route_unknown_children gives the others
back. Both sides' statuses must be right.
"""
import asyncio
import concurrent.futures
import contextlib
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from unittest import mock

import pytest
from conftest import CHILD

import xlchild
from xlchild import SigchldOwner

CODES = [3, 0, 255, 17, 1, 99]


@contextlib.contextmanager
def pumped(ctx):
    """A thread that pumps, and a child without which no handler is set."""
    inner, outer = os.pipe()
    keeper = ctx.spawn([CHILD, "hold"], stdin=inner, event=True)
    os.close(inner)

    def pump():
        while keeper.status is None:
            ctx.events(None)

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield
    finally:
        os.close(outer)
        thread.join()


@pytest.fixture(params=["pidfd", "default"])
def ours(request):
    """Starts children of ours; at the end their statuses are compared."""
    started = []
    owner, router = SigchldOwner.NONE, None
    if request.param == "default":
        owner, router = SigchldOwner.LIBXL, xlchild.route_unknown_children
    with xlchild.Context(owner, childproc_exited_callback=router) as ctx:
        def start(*codes):
            for code in codes or CODES:
                started.append((ctx.spawn([CHILD, "exit", str(code)]), code))

        start.context = ctx
        with pumped(ctx):
            assert ctx.diagnose().handler_installed \
                == (request.param == "default")
            start()
            yield start
            start()
            for child, code in started:
                assert child.wait(60).exitcode == code
                assert child.status.source in (xlchild.Source.REAPED,
                                               xlchild.Source.PIDFD)


def test_c1_c4_subprocess(ours):
    theirs = [(subprocess.Popen([CHILD, "exit", str(c)]), c) for c in CODES]
    ours()
    for process, code in theirs:
        assert process.wait() == code
    killed = subprocess.Popen([CHILD, "pause"])
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    done = subprocess.run([CHILD, "say", "x", "exit", "7"],
                          stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (7, b"x\n")


def test_c1_c4_subprocess_polled(ours):
    theirs = {subprocess.Popen([CHILD, "exit", str(c)]): c for c in CODES}
    ours()
    while theirs:
        for process in list(theirs):
            if process.poll() is not None:
                assert process.returncode == theirs.pop(process)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_c1_c4_multiprocessing(ours, method):
    make = multiprocessing.get_context(method).Process
    theirs = [(make(target=os._exit, args=(code,)), code) for code in CODES]
    for process, _ in theirs:
        process.start()
    ours()
    for process, code in theirs:
        process.join()
        assert process.exitcode == code
        process.close()


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_c1_c4_concurrent_futures(ours, method):
    with concurrent.futures.ProcessPoolExecutor(
            2, mp_context=multiprocessing.get_context(method)) as pool:
        answers = pool.map(pow, range(20), [2] * 20)
        ours()
        assert list(answers) == [n * n for n in range(20)]
        workers = list(pool._processes.values())
    assert [w.exitcode for w in workers] == [0] * len(workers)


def test_c1_c4_a_broken_pool_is_noticed(ours):
    with concurrent.futures.ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn")) as pool:
        doomed = pool.submit(os._exit, 3)
        ours()
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            doomed.result(60)


def test_c1_c4_os_fork(ours):
    theirs = {}
    for code in CODES:
        pid = os.fork()
        if pid == 0:
            os._exit(code)
        theirs[pid] = code
    ours()
    for pid, code in theirs.items():
        assert os.waitpid(pid, 0) == (pid, code << 8)


def test_c1_c4_os_posix_spawn_waited_for_in_threads(ours):
    wrong = []

    def work(code):
        pid = os.posix_spawn(CHILD, [CHILD, "exit", str(code)], os.environ)
        if os.waitpid(pid, 0)[1] != code << 8:
            wrong.append(code)

    threads = [threading.Thread(target=work, args=(c,)) for c in CODES]
    for thread in threads:
        thread.start()
    ours()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_c7_signal_handlers(ours):
    """A handler of Python's for SIGCHLD hears of both sides' children."""
    seen = []
    other = signal.signal(signal.SIGUSR1, lambda *_: seen.append("usr1"))
    before = signal.getsignal(signal.SIGCHLD)
    if ours.context.diagnose().handler_installed:
        # while the library's handler is there, Python's would displace it
        assert before == signal.SIG_DFL
    else:
        signal.signal(signal.SIGCHLD, lambda *_: seen.append("chld"))
    try:
        process = subprocess.Popen([CHILD, "exit", "5"])
        ours()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert process.wait() == 5
        ours()
    finally:
        signal.signal(signal.SIGUSR1, other)
        if not ours.context.diagnose().handler_installed:
            signal.signal(signal.SIGCHLD, before)
    assert "usr1" in seen
    assert ours.context.diagnose().handler_installed or "chld" in seen


def test_c7_a_handler_of_pythons_is_chained():
    """It was there first: the library's own handler calls it."""
    seen = []
    before = signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
    try:
        with xlchild.Context(
                SigchldOwner.LIBXL, childproc_exited_callback=xlchild
                .route_unknown_children) as ctx:
            with pumped(ctx):
                process = subprocess.Popen([CHILD, "exit", "5"])
                assert ctx.spawn([CHILD, "exit", "6"]).wait().exitcode == 6
                assert process.wait() == 5
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert seen


def test_c7_faulthandler(ours, tmp_path):
    with open(tmp_path / "trace", "w+") as file:
        faulthandler.register(signal.SIGUSR1, file=file)
        try:
            process = subprocess.Popen([CHILD, "exit", "5"])
            ours()
            os.kill(os.getpid(), signal.SIGUSR1)
            assert process.wait() == 5
        finally:
            faulthandler.unregister(signal.SIGUSR1)
        file.seek(0)
        assert "test_c7_faulthandler" in file.read()


def watchers():
    """The kinds that asyncio has for its own children, by name."""
    found = [name for name in ("PidfdChildWatcher", "ThreadedChildWatcher")
             if hasattr(asyncio, name)]
    return found or [None]  # newer ones have no choice


@pytest.mark.parametrize("watcher", watchers())
def test_c1_c4_asyncios_own_children(ours, watcher):
    async def one(code):
        process = await asyncio.create_subprocess_exec(
            CHILD, "say", "x", "exit", str(code), stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        assert (out, process.returncode) == (b"x\n", code)

    async def main():
        if watcher is not None:
            chosen = getattr(asyncio, watcher)()
            chosen.attach_loop(asyncio.get_running_loop())
            asyncio.set_child_watcher(chosen)
        jobs = [asyncio.ensure_future(one(code)) for code in CODES]
        ours()
        await asyncio.gather(*jobs)
        if watcher is not None:
            # it warns of threads that have just done their work
            for thread in list(getattr(chosen, "_threads", {}).values()):
                thread.join()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            asyncio.run(main())
        finally:
            if watcher is not None:
                asyncio.set_child_watcher(None)


def test_x3_aio_beside_the_default_mode(ours):
    """A loop of xlchild.aio, whose context is in the pidfd mode."""
    from xlchild import aio

    async def main():
        jobs = [asyncio.ensure_future(aio.run([CHILD, "exit", str(code)]))
                for code in CODES]
        ours()
        return [(await job).returncode for job in jobs]

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(main()) == CODES
    finally:
        loop.close()
        aio._sweep()
    assert sys.exc_info() == (None, None, None)


# ---- every way of waiting, where the library reaps all ----------------------

def _exits(code, seconds=0):
    return os.posix_spawn("/bin/sh", ["sh", "-c", "sleep %s; exit %d"
                                      % (seconds, code)], os.environ)


WAITS = {
    "waitpid": lambda pid: os.waitpid(pid, 0)[1] >> 8,
    "waitpid(-1)": lambda pid: _checked(pid, os.waitpid(-1, 0)[:2]),
    "wait": lambda pid: _checked(pid, os.wait()),
    "wait3": lambda pid: _checked(pid, os.wait3(0)[:2]),
    "wait4": lambda pid: _checked(pid, os.wait4(pid, 0)[:2]),
    "wait4(-1)": lambda pid: _checked(pid, os.wait4(-1, 0)[:2]),
    "waitid": lambda pid: os.waitid(os.P_PID, pid, os.WEXITED).si_status,
    "waitid(P_ALL)": lambda pid: os.waitid(os.P_ALL, 0,
                                           os.WEXITED).si_status,
    "waitid(WNOWAIT)": lambda pid: _twice(pid),
}


def _checked(pid, found):
    assert found[0] == pid
    return found[1] >> 8


def _twice(pid):
    seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (seen.si_pid, seen.si_code) == (pid, os.CLD_EXITED)
    assert os.waitpid(pid, 0)[1] >> 8 == seen.si_status
    return seen.si_status


@pytest.mark.own_process
@pytest.mark.parametrize("reaped", ["before", "meanwhile"])
@pytest.mark.parametrize("way", WAITS)
def test_B4_every_wait_of_os_gets_its_status(way, reaped):
    """In a process of its own: wait() would take pytest's children."""
    inner, outer = os.pipe()
    runner = os.fork()
    if runner:
        os.close(outer)
        with open(inner) as said:
            words = said.read()
        assert os.waitpid(runner, 0)[1] == 0, words
        return
    code = 1
    try:
        xlchild.postfork_child_noexec()
        with xlchild.Context(
                SigchldOwner.LIBXL_ALWAYS, childproc_exited_callback=xlchild
                .route_unknown_children) as ctx:
            stop = threading.Event()

            def pump():
                while not stop.is_set():
                    ctx.events(0.02)

            thread = threading.Thread(target=pump)
            thread.start()
            for number in 0, 9, 200:
                pid = _exits(number, 0 if reaped == "before" else 0.1)
                while reaped == "before" \
                        and pid not in xlchild.route_unknown_children._kept:
                    time.sleep(0.005)
                assert WAITS[way](pid) == number
            for call in (os.wait, lambda: os.waitpid(-1, os.WNOHANG),
                         lambda: os.wait4(2 ** 22, os.WNOHANG)):
                with pytest.raises(ChildProcessError):
                    if call() == (0, 0, mock.ANY):
                        raise ChildProcessError  # as for an unknown pid
            stop.set()
            thread.join()
        code = 0
    except BaseException as error:
        os.write(outer, repr(error).encode())
    finally:
        os._exit(code)


@pytest.mark.parametrize("owner", ["LIBXL", "LIBXL_ALWAYS"])
def test_B4_os_system_beside_a_context_that_reaps_all(owner):
    with xlchild.Context(
            SigchldOwner[owner], childproc_exited_callback=xlchild
            .route_unknown_children) as ctx, pumped(ctx):
        assert {os.system("exit 3") for _ in range(60)} == {3 << 8}
        assert os.system("kill -9 $$") == 9
        assert os.system("trap - INT; kill -INT $$") == signal.SIGINT
        assert os.popen("exit 4").close() == 4 << 8
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
