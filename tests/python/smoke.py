"""A little of everything, in whatever Python runs it: prints "fine".

Called by test_versions.py with the helper's path.
"""
import asyncio
import os
import subprocess
import sys
import warnings

import xlchild
from xlchild import aio
from xlchild.pool import run_many

CHILD = sys.argv[1]


def main():
    """Assert, and say so."""
    warnings.simplefilter("error")
    with xlchild.Context() as ctx:
        done = ctx.run([CHILD, "cat", "exit", "3"], input="hello", text=True,
                       capture_output=True)
        assert (done.stdout, done.returncode) == ("hello", 3)
        child = ctx.spawn([CHILD, "signal", "SIGKILL"], event=True)
        event = ctx.wait_event(30)
        assert event.process is child and event.status.returncode == -9
        calls = []
        ctx.spawn([CHILD, "exit", "5"],
                  on_exit=lambda p, s: calls.append(s.exitcode))
        while not calls:
            ctx.events(0.02)
        assert calls == [5]
        try:
            ctx.spawn(["/nonexistent"])
        except FileNotFoundError as error:
            assert error.stage == "exec" and error.errno == 2
        else:
            raise AssertionError("no error")

        def bad(process, status):
            raise KeyError("x")

        ctx.spawn([CHILD], on_exit=bad)
        try:
            while True:
                ctx.events(0.5)
        except KeyError:
            pass
    hosts = []
    with xlchild.Context(
            xlchild.SigchldOwner.LIBXL, fork_replacement=os.fork,
            childproc_exited_callback=lambda pid, status: hosts.append(
                (pid, status.exitcode))) as ctx:
        child = ctx.spawn([CHILD, "hold"], stdin=subprocess.DEVNULL)
        assert child.wait().success
        keeper = ctx.spawn([CHILD, "pause"])
        pid = os.posix_spawn(CHILD, [CHILD, "exit", "9"], {})
        while not hosts:
            ctx.events(0.02)
        assert hosts == [(pid, 9)]
        keeper.kill()
        keeper.wait()
    for kind in xlchild.Popen, subprocess.Popen:
        with kind([CHILD, "cwd", "cat", "exit", "4"], stdin=-1, stdout=-1,
                  cwd="/", start_new_session=True, text=True) as p:
            assert p.communicate("x") == ("/\nx", None)
        assert p.returncode == 4
    assert [r.returncode for r in run_many(
        [[CHILD, "exit", str(n)] for n in range(20)])] == list(range(20))

    done = subprocess.run(
        [sys.executable, "-m", "xlchild", "-k", "--tag", "--report",
         os.devnull, CHILD, "say", "{}", "exit", "{#}", ":::", "a", "b"],
        stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, b"a\ta\nb\tb\n")

    async def several():
        return [r.returncode for r in await asyncio.gather(
            *[aio.run([CHILD, "exit", str(n)]) for n in range(10)])]

    assert asyncio.run(several()) == list(range(10))
    print("fine")


main()
