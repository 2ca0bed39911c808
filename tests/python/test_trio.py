"""xlchild.trio and xlchild.anyio: what trio's and anyio's own tests do not ask.

Those are run by test_async_suites.py. Here: no thread and one fd a child,
cancellation at every moment, what outlives a run, and what is refused.
"""
import os
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest
from conftest import CHILD, children, fds

import xlchild

trio = pytest.importorskip("trio", reason="no trio (Debian: python3-trio)")
anyio = pytest.importorskip("anyio", reason="no anyio (Debian: python3-anyio)")
import uvloop  # noqa: E402

from xlchild import anyio as ours_of_anyio  # noqa: E402
from xlchild import trio as ours  # noqa: E402

PAUSE = [CHILD, "pause"]
BACKENDS = [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})]
each_backend = pytest.mark.parametrize(
    "backend, options", BACKENDS, ids=["asyncio", "uvloop", "trio"])


uvloop.new_event_loop().close()  # libuv keeps a pipe of the process for good


def in_anyio(main, backend, options):
    """Run it there."""
    return anyio.run(main, backend=backend, backend_options=options)


# ---- costs -------------------------------------------------------------------

def test_B2_no_thread_and_no_fd_a_child():
    async def main():
        await ours.run_process([CHILD, "exit", "0"])
        before = len(fds()), threading.active_count()
        for _ in range(5):
            await ours.run_process([CHILD, "exit", "0"])
        assert (len(fds()), threading.active_count()) == before
        many = [await ours.open_process(PAUSE) for _ in range(20)]
        # the pidfd of the library, and no other
        assert len(fds()) - before[0] == 20
        assert threading.active_count() == before[1]
        for process in many:
            process.kill()
            assert await process.wait() == -signal.SIGKILL

    trio.run(main)


def test_a_run_after_a_run_leaves_nothing():
    before = None
    for _ in range(30):
        trio.run(ours.run_process, [CHILD, "exit", "0"])
        if before is None:
            before = len(fds())
        assert len(fds()) <= before


# ---- cancellation ------------------------------------------------------------

def test_B11_a_cancelled_run_leaves_nothing():
    """Cancelled at each of its checkpoints."""
    living = children()

    async def main():
        open_fds = None
        for number in range(60):
            with trio.CancelScope() as scope:
                hits = 0

                class Count(trio.abc.Instrument):
                    def before_task_step(self, task):
                        nonlocal hits
                        if task is me:
                            hits += 1
                            if hits == number:
                                scope.cancel()

                me = trio.lowlevel.current_task()
                counting = Count()
                trio.lowlevel.add_instrument(counting)
                try:
                    await ours.run_process(
                        [CHILD, "cat"], stdin=b"x" * 300000,
                        capture_stdout=True)
                finally:
                    trio.lowlevel.remove_instrument(counting)
            if open_fds is None:
                open_fds = len(fds())
            assert len(fds()) == open_fds
            assert children() == living
            if hits < number:
                break
        assert 3 < number < 60

    trio.run(main)


def test_what_holds_the_pipe_is_not_waited_for_when_cancelled():
    """The child has ended; a grandchild has its stdout."""
    async def main():
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                process = await nursery.start(partial(
                    ours.run_process,
                    "%s pause & echo $!" % CHILD, shell=True,
                    capture_stdout=True))
                await process.wait()
                scope.cancel()
        return process.returncode

    before = set(children())
    assert trio.run(main) == 0
    assert set(children()) == before


def test_a_deliver_cancel_that_fails_kills():
    async def broken(process):
        raise OSError("no")

    async def main():
        process = None
        with pytest.raises(Exception) as caught:
            async with trio.open_nursery() as nursery:
                process = await nursery.start(partial(
                    ours.run_process, PAUSE, deliver_cancel=broken))
                nursery.cancel_scope.cancel()
        error = caught.value
        while getattr(error, "exceptions", None):
            error = error.exceptions[0]
        assert str(error) == "no"
        return process.returncode

    assert trio.run(main) == -signal.SIGKILL


@each_backend
def test_a_cancelled_run_of_anyio_leaves_nothing(backend, options):
    async def main():
        for seconds in (0, 0.01, 0.05):
            with anyio.move_on_after(seconds) as scope:
                await ours_of_anyio.run_process(
                    [CHILD, "say", "x", "pause"], input=b"y" * 300000)
            assert scope.cancel_called

    living = children()
    in_anyio(main, backend, options)
    assert children() == living


# ---- ends --------------------------------------------------------------------

def test_all_get_the_same():
    """Any number of tasks, and the Popen below, before the loop looks."""
    async def main():
        codes = []

        async def wait(process):
            codes.append(await process.wait())

        process = await ours.open_process([CHILD, "exit", "7"])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait, process)
            assert process.poll() == process.returncode == 7
        assert codes == [7] * 5
        assert process.status.exitcode == 7 and process.status.rusage

    trio.run(main)


def test_a_child_outlives_its_run():
    """It can be asked, and ended, afterwards, by a later run as well."""
    async def start():
        return await ours.open_process(PAUSE), \
            await ours.open_process(PAUSE)

    async def end(process):
        assert process.returncode is None
        process.terminate()
        return await process.wait()

    first, second = trio.run(start)
    assert trio.run(end, first) == -signal.SIGTERM
    second.kill()
    os.waitid(os.P_PID, second.pid, os.WEXITED | os.WNOWAIT)
    assert second.poll() == -signal.SIGKILL


def test_preexec_fn_and_options_of_either_spelling():
    async def main():
        done = await ours.run_process(
            [CHILD, "exit", "4"], preexec_fn=os.getpid, check=False)
        assert done.returncode == 4 and done.status.exitcode == 4
        for option in ({"new_session": True}, {"start_new_session": True}):
            done = await ours.run_process(
                [CHILD, "session"], capture_stdout=True, nice=3, **option)
            assert done.stdout == b"sid self\ngroup self\n"

    trio.run(main)


@each_backend
def test_input_of_wide_items(backend, options):
    """A buffer of items of 8 bytes goes there as a whole."""
    import array
    data = array.array("Q", range(40000))

    async def main():
        return (await ours_of_anyio.run_process(
            [CHILD, "count"], input=data)).stdout

    assert in_anyio(main, backend, options).split() == [b"320000"]


@each_backend
def test_input_that_nobody_reads(backend, options):
    async def main():
        return (await ours_of_anyio.run_process(
            [CHILD, "close", "0", "say", "x"], input=b"y" * 300000)).stdout

    assert in_anyio(main, backend, options) == b"x\n"


@each_backend
def test_what_cannot_be_started(backend, options):
    async def main():
        with pytest.raises(FileNotFoundError) as caught:
            await ours_of_anyio.open_process(["/nonexistent/program"])
        assert isinstance(caught.value, xlchild.SpawnError)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            await ours_of_anyio.run_process("echo x; exit 3")
        assert caught.value.stdout == b"x\n"
        with pytest.raises(ValueError):
            await ours_of_anyio.run_process(["true"], input=b"", stdin=0)

    before = len(fds())
    in_anyio(main, backend, options)
    assert len(fds()) == before


def test_the_fds_closed_by_the_program_are_told():
    """wait() does not sleep for ever."""
    async def main():
        process = await ours.open_process([CHILD, "exit", "0"],
                                          stdin=subprocess.DEVNULL)
        context = process._hub.context
        process._hub.failed = OSError(9, "closed")
        process._proc._internal_poll = lambda *_: None
        with pytest.raises(OSError):
            await process.wait()
        del process._proc._internal_poll
        process._hub.failed = None
        await process.wait()
        assert not context.closed

    trio.run(main)


# ---- without -----------------------------------------------------------------

@pytest.mark.parametrize("name", ["trio", "anyio"])
def test_without_the_library_it_says_what_to_install(name):
    """And the package itself does without."""
    script = ("import sys; sys.modules[%r] = None; import xlchild\n"
              "from xlchild import aio, pool\n"
              "try: import xlchild.%s\n"
              "except ImportError as error: print(error)" % (name, name))
    out = subprocess.run([sys.executable, "-W", "error", "-c", script],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "python3-" + name in out
    out = subprocess.run(
        [sys.executable, "-c", "import sys, xlchild, xlchild.aio, "
         "xlchild.pool; print({'trio', 'anyio'} & set(sys.modules))"],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    assert out == "set()\n"
