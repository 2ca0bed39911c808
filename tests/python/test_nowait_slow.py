"""Starts while nothing can be executed: what the caller does meanwhile (C30).

Each case is a program of its own, whose children's execve is held (slowexec.py)
until it says so: a start that waited would never come back.
"""
import os
import subprocess
import sys

import pytest
import slowexec
from conftest import CHILD

_HEAD = """if True:
    import sys
    sys.path.insert(0, %r)
    import asyncio, threading, xlchild
    from xlchild import aio
    from xlchild.pool import Pool
    import slowexec
    CHILD = %r
    gate = slowexec.Gate()
""" % (os.path.dirname(__file__), CHILD)


def held(code):
    """What it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::FutureWarning", "-c",
         _HEAD + code], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode == slowexec.NOT_HERE:
        pytest.skip("seccomp has no supervisor here")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("options", [
    "", ", starters=2", ", capture=False", ", on_output=lambda *_: None"])
def test_C30_C15_a_pool_starts_them_all(options):
    """One after the other they would not come as far as that."""
    assert held("""
    def let_go():
        gate.wait_for(5)
        print(gate.held)
        gate.open()
    threading.Thread(target=let_go).start()
    commands = [[CHILD, "exit", str(n)] for n in range(4)] + [["/nope"]]
    with Pool(jobs=5%s) as pool:
        results = list(pool.map(commands))
    print(*[r.returncode for r in results[:4]])
    error = results[4].error
    print(results[4].status, type(error).__name__, error.stage, error.errno,
          error.filename)
    """ % options) == "5 0 1 2 3 None SpawnError exec 2 /nope".split()


def test_C30_C13_a_pool_ends_what_is_on_its_way():
    assert held("""
    with Pool(jobs=2) as pool:
        def cancel():
            gate.wait_for(2)
            pool.cancel()
        threading.Thread(target=cancel).start()
        results = list(pool.as_completed([[CHILD, "pause"]] * 2))
    print(*[r.cancelled for r in results])
    gate.open()
    """) == "True True".split()


def test_C30_C13_a_timeout_counts_also_there():
    assert held("""
    with Pool(jobs=2, timeout=0.05) as pool:
        print(*[r.timed_out for r in pool.map([[CHILD, "pause"]] * 2)])
    gate.open()
    """) == "True True".split()


@pytest.mark.parametrize("module", ["trio", "anyio"])
def test_C30_C31_other_tasks_of_trio_go_on(module):
    if module == "anyio":
        pytest.importorskip("anyio")
    pytest.importorskip("trio")
    assert held("""
    import trio
    from xlchild import %s as ours
    async def main():
        ended = []
        async def start():
            try:
                done = await ours.run_process([CHILD, "exit", "0"])
                ended.append(done.returncode)
                await ours.open_process(["/nope"])
            except OSError as error:
                ended.append((error.stage, error.errno))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            while not gate.held:
                await trio.sleep(0)
            for _ in range(100):
                await trio.sleep(0)
            print(ended)
            gate.open()
        print(*ended)
    trio.run(main)
    """ % module) == "[] 0 ('exec', 2)".split()


def test_C30_B11_cancelled_in_trio_it_is_ended_and_reaped():
    pytest.importorskip("trio")
    assert held("""
    import os, trio
    from xlchild.trio import open_process
    async def main():
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(open_process, [CHILD, "pause"])
                while not gate.held:
                    await trio.sleep(0)
                scope.cancel()
        with open("/proc/thread-self/children") as file:
            print(scope.cancelled_caught, file.read().split())
    trio.run(main)
    gate.open()
    """) == "True []".split()
