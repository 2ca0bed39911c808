"""xlchild.aio: starts that the loop does not wait for (C30, C31, B11).

A program that somebody has open for writing cannot be executed, and is tried
for a fifth of a second: that is a start which takes its time.
"""
import asyncio
import os
import shutil
import subprocess

import pytest
from conftest import CHILD, children, fds
from test_aio import play  # noqa: F401: a fixture

import xlchild
from xlchild import aio


@pytest.fixture
def busy(tmp_path):
    """The path of a program, and a call that lets it be executed."""
    path = str(tmp_path / "busy")
    shutil.copy(CHILD, path)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    open_still = [fd]

    def close():
        if open_still:
            os.close(open_still.pop())

    yield path, close
    close()


async def work_once():
    p = await aio.create_subprocess_exec("cat", stdin=-1, stdout=-1,
                                         stderr=-1)
    await p.communicate(b"x")
    await aio.run(["true"], capture_output=True)
    await asyncio.sleep(0.01)


async def turns_until(future):
    """How often the loop came round until it was done."""
    count = 0
    while not future.done():
        count += 1
        await asyncio.sleep(0)
    return count


@pytest.mark.parametrize("how", ["process", "run"])
def test_C30_the_loop_goes_on_while_a_program_is_not_there_yet(
        play, busy, how):  # noqa: F811
    path, close = busy

    async def main():
        start = asyncio.ensure_future(
            aio.create_subprocess_exec(path, "exit", "3")
            if how == "process" else aio.run([path, "exit", "3"]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not start.done()
        close()
        assert await turns_until(start) > 0
        if how == "run":
            return (await start).returncode
        return await (await start).wait()

    assert play(main()) == 3


@pytest.mark.parametrize("how", ["process", "run"])
def test_B11_cancelled_on_its_way_it_is_ended_and_reaped(
        play, busy, how):  # noqa: F811
    path, _ = busy

    async def main():
        await work_once()  # what hub and loop open once
        before, others = fds(), children()
        start = asyncio.ensure_future(
            aio.create_subprocess_exec(path, "pause", stdin=-1, stdout=-1)
            if how == "process" else
            aio.run([path, "pause"], capture_output=True))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not start.done()
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert children() == others
        for _ in range(10):  # what was closed is closed by the loop
            await asyncio.sleep(0)
        assert fds() == before

    play(main())


@pytest.mark.parametrize("args, options, kind, stage, subject", [
    (["/nope"], {}, FileNotFoundError, "exec", "/nope"),
    (["nope-nope"], {}, FileNotFoundError, "exec", "nope-nope"),
    ([CHILD], {"cwd": "/nope"}, FileNotFoundError, "chdir", "/nope"),
    (["/etc/passwd"], {}, PermissionError, "exec", "/etc/passwd"),
])
def test_C15_failures_are_what_they_were(play, args, options,  # noqa: F811
                                         kind, stage, subject):
    async def main():
        await work_once()  # what hub and loop open once
        before, others = fds(), children()
        for _ in range(10):
            with pytest.raises(kind) as caught:
                await aio.create_subprocess_exec(
                    *args, stdin=-1, stdout=-1, stderr=-1, **options)
            assert isinstance(caught.value, xlchild.SpawnError)
            assert caught.value.stage == stage
            assert caught.value.filename == subject
            with pytest.raises(kind):
                await aio.run(args, **options)
        for _ in range(10):  # what was closed is closed by the loop
            await asyncio.sleep(0)
        assert fds() == before
        assert children() == others

    play(main())


def test_C15_a_protocol_hears_nothing_of_what_never_ran(play):  # noqa: F811
    heard = []

    class Protocol(asyncio.SubprocessProtocol):
        def connection_made(self, transport):
            heard.append("made")

        def process_exited(self):
            heard.append("exited")

        def connection_lost(self, error):
            heard.append("lost")

    async def main():
        with pytest.raises(FileNotFoundError):
            await aio.subprocess_exec(Protocol, "/nope")
        for _ in range(5):
            await asyncio.sleep(0)

    play(main())
    assert heard == []


def test_C31_it_is_its_program_when_the_start_is_over(play):  # noqa: F811
    async def main():
        for _ in range(20):
            p = await aio.create_subprocess_exec(CHILD, "pause")
            assert os.readlink("/proc/%d/exe" % p.pid) == \
                os.path.realpath(CHILD)
            p.kill()
            assert await p.wait() == -9

    play(main())


def test_C15_asyncio_s_own_functions_raise_as_they_did():
    code = """if True:
        import asyncio, xlchild
        xlchild.install()
        async def main():
            try:
                await asyncio.create_subprocess_exec("/nope")
            except FileNotFoundError as error:
                print(type(error).__name__, error.errno, error.filename)
        asyncio.run(main())
        print(xlchild.report().through.get("asyncio", 0))
    """
    done = subprocess.run([os.environ.get("PYTHON", "python3"), "-c", code],
                          stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout == "FileNotFoundError 2 /nope\n0\n"
