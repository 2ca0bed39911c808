"""xlchild.aio: asyncio, and uvloop where it is installed."""
import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import CHILD, TINY, sigchld

from xlchild import aio


def loops():
    """The loops at hand."""
    found = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        return found
    uvloop.new_event_loop().close()  # libuv keeps a pipe a process
    return found + [pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.fixture(params=loops())
def play(request):
    """Runs a coroutine on a loop of its own."""
    loop = request.param()

    def run(coroutine):
        return loop.run_until_complete(asyncio.wait_for(coroutine, 100))

    yield run
    loop.close()
    aio._sweep()


def test_statuses_and_streams(play):
    async def main():
        async def one(code):
            p = await aio.create_subprocess_exec(
                CHILD, "cat", "say-err", "e", "exit", str(code), stdin=-1,
                stdout=-1, stderr=-1)
            out, err = await p.communicate(b"%d" % code)
            assert (out, err) == (b"%d" % code, b"e\n")
            assert p.returncode == await p.wait()
            return p.returncode
        return await asyncio.gather(*map(one, range(50)))

    before = sigchld()
    assert play(main()) == list(range(50))
    assert sigchld()[0][:8] == before[0][:8]


def test_signals_and_shell(play):
    async def main():
        p = await aio.create_subprocess_exec(CHILD, "ready", "1", "pause",
                                             stdout=-1)
        assert await p.stdout.read(1)
        p.terminate()
        assert await p.wait() == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            p.send_signal(signal.SIGTERM)
        p = await aio.create_subprocess_shell("exit 9")
        assert await p.wait() == 9
        with pytest.raises(FileNotFoundError):
            await aio.create_subprocess_exec("/nonexistent")

    play(main())


def test_wait_does_not_wait_for_a_grandchild_that_holds_the_pipe(play):
    inner, outer = os.pipe()

    async def main():
        p = await aio.create_subprocess_exec(
            CHILD, "grandchild", str(inner), stdout=-1, pass_fds=[inner])
        assert await p.wait() == 0
        os.close(outer)  # now the grandchild ends, and the pipe too
        assert await p.stdout.read() == b""

    play(main())
    os.close(inner)


def test_run(play):
    async def main():
        done = await aio.run([CHILD, "cat"], input=b"abc",
                             capture_output=True)
        assert (done.stdout, done.returncode) == (b"abc", 0)
        assert done.status.success
        with pytest.raises(subprocess.TimeoutExpired):
            await aio.run([CHILD, "pause"], timeout=0.1)
        with pytest.raises(subprocess.CalledProcessError):
            await aio.run([CHILD, "exit", "1"], check=True)
        assert (await aio.run("exit 5", shell=True)).returncode == 5

    play(main())


def test_cancelled_run_ends_its_child(play):
    inner, outer = os.pipe()

    async def main():
        task = asyncio.ensure_future(aio.run(
            [CHILD, "ready", str(outer), "pause"], pass_fds=[outer]))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, os.read, inner, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await loop.shutdown_default_executor()

    play(main())
    os.close(inner)
    os.close(outer)


def test_loops_in_several_threads():
    wrong = []

    def work(n):
        async def main():
            for turn in range(20):
                code = (n * 20 + turn) % 256
                done = await aio.run([CHILD, "exit", str(code)])
                if done.returncode != code:
                    wrong.append(code)
        asyncio.run(main())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    aio._sweep()
    assert wrong == []


def test_beside_the_loops_own_children(play):
    async def main():
        async def theirs(code):
            p = await asyncio.create_subprocess_exec(CHILD, "exit",
                                                     str(code))
            return await p.wait()

        async def ours(code):
            return (await aio.run([CHILD, "exit", str(code)])).returncode

        found = await asyncio.gather(*[f(n) for n in range(30)
                                       for f in (ours, theirs)])
        assert found == [n for n in range(30) for _ in range(2)]

    play(main())


@pytest.mark.own_process
@pytest.mark.skipif(not hasattr(asyncio, "AbstractChildWatcher"),
                    reason="this Python has no child watchers")
def test_child_watcher():
    program = """
import asyncio, sys
from xlchild import aio
aio.install_child_watcher()
async def main():
    async def one(n):
        p = await asyncio.create_subprocess_exec(
            sys.argv[1], "exit", str(n), stdout=-1)
        await p.communicate()
        return p.returncode
    return await asyncio.gather(*map(one, range(40)))
print(asyncio.run(main()) == list(range(40)))
"""
    done = subprocess.run([sys.executable, "-c", program, CHILD],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout == "True\n"


def test_tiny_ones_in_a_row(play):
    async def main():
        for _ in range(30):
            p = await aio.create_subprocess_exec(TINY)
            assert await p.wait() == 0

    play(main())
