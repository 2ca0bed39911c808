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

import xlchild

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


# ---- Context.spawn_async -----------------------------------------------------

_LOOPS = pytest.mark.parametrize("run, module", [
    ("asyncio.run", "asyncio"), ("trio.run", "trio"),
    ("uvloop.new_event_loop().run_until_complete", "uvloop")])


@_LOOPS
def test_C30_C31_C15_a_task_waits_and_its_loop_does_not(run, module):
    pytest.importorskip(module)
    call = "%s(main%s)" % (run, "" if module == "trio" else "()")
    sleep = "trio.sleep" if module == "trio" else "asyncio.sleep"
    assert held("""
    import os, %s
    async def main():
        with xlchild.Context() as ctx:
            def turn():
                turns.append(gate.held)
                if len(turns) > 100 and gate.held:
                    gate.open()
            turns = []
            async def others():
                while not gate._open:
                    turn()
                    await %s(0)
            async def start():
                child = await ctx.spawn_async([CHILD, "pause"], tag=5)
                print(gate._open, child.user, os.path.realpath(CHILD)
                      == os.readlink("/proc/%%d/exe" %% child.pid))
                print(child.kill(), child.wait().signal)
                for bad in ({"args": ["/nope"]}, {"args": [CHILD],
                                                  "cwd": "/nope"}):
                    try:
                        await ctx.spawn_async(**bad)
                    except xlchild.SpawnError as error:
                        print(error.stage, error.errno, error.filename)
            if %r == "trio":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(others)
                    nursery.start_soon(start)
            else:
                await asyncio.gather(others(), start())
            print(len(turns) > 100, ctx.child_count, ctx.events())
    %s
    """ % (module, sleep, module, call)) == (
        "True 5 True True 9 exec 2 /nope chdir 2 /nope True 0 []").split()


@_LOOPS
def test_C30_B11_cancelled_it_is_killed_and_reaped(run, module):
    pytest.importorskip(module)
    call = "%s(main%s)" % (run, "" if module == "trio" else "()")
    assert held("""
    import os, %s
    from conftest import children, fds
    async def cancelled(start):
        if %r == "trio":
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(start)
                    while not gate.held:
                        await trio.sleep(0)
                    scope.cancel()
            return scope.cancelled_caught
        task = asyncio.ensure_future(start())
        while not gate.held:
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return True
    async def main():
        others, open_fds = children(), []
        with xlchild.Context() as ctx:
            for again in range(2):  # what is opened once is there then
                print(await cancelled(
                    lambda: ctx.spawn_async([CHILD, "pause"])))
                gate.forget()
                while children() != others:
                    ctx.events(0.01)
                open_fds.append(fds())
            print(open_fds[0] == open_fds[1], ctx.events(), ctx._launches)
    %s
    gate.open()
    """ % (module, module, call)) == "True True True [] {}".split()


def test_C31_E1_a_thread_that_takes_all_events_takes_no_start():
    """Nor is it woken for one; what it takes for a task goes there."""
    assert held("""
    gate.open()
    async def main():
        with xlchild.Context() as ctx:
            taken = []
            def take():
                while not taken:
                    taken.extend(ctx.events(None))
            thread = threading.Thread(target=take)
            thread.start()
            for _ in range(100):
                child = await ctx.spawn_async([CHILD, "exit", "3"])
                assert child.wait().exitcode == 3
                try:
                    await ctx.spawn_async(["/nope"])
                except xlchild.SpawnError as error:
                    assert error.stage == "exec"
                else:
                    assert 0
            assert not taken
            ctx.spawn([CHILD, "exit", "4"], event=True)
            thread.join()
            print(*[event.status.exitcode for event in taken])
    asyncio.run(main())
    """) == ["4"]


def test_C30_B6_a_context_that_is_closed_meanwhile():
    assert held("""
    async def main():
        ctx = xlchild.Context()
        task = asyncio.ensure_future(ctx.spawn_async(
            [CHILD, "pause"], on_free=xlchild.FreePolicy.KILL))
        while not gate.held:
            await asyncio.sleep(0)
        ctx.close()
        try:
            await task
        except Exception as error:
            print(type(error).__name__)
        for again in range(2):
            try:
                await ctx.spawn_async([CHILD])
            except Exception as error:
                print(type(error).__name__)
    asyncio.run(main())
    gate.open()
    """) == ["ValueError"] * 3


def test_X5_spawn_async_outside_of_a_loop_and_what_does_not_go_with_it():
    with xlchild.Context() as ctx:
        for options, kind in (({}, RuntimeError),
                              ({"event": True}, TypeError),
                              ({"on_exit": print}, TypeError)):
            start = ctx.spawn_async([CHILD, "exit", "0"], **options)
            with pytest.raises(kind):
                start.send(None)
        assert ctx.child_count == 0 and not ctx._launches
