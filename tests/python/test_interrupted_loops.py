"""An exception of a signal handler, in every step of a task that starts.

As test_interrupted.py, for what is awaited in asyncio. A handler runs in
whatever the loop's thread does; here it is in a step of the task. In trio:
test_interrupted_trio.py.
"""
import asyncio
import gc
import subprocess
import sys
from contextlib import closing

import pytest
from conftest import CHILD, children, fds, soon
from raising import FILES, Disturbed, Raised, raising_at

import xlchild
from xlchild import aio

LONG = [CHILD, "pause"]
SHORT = [CHILD, "exit", "3"]
# where it comes between the making of a coroutine and its awaiting
NEVER_AWAITED = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no child watchers")
def test_B10_an_adoption_for_asyncio(clean):
    """Whatever is raised: it is told of, or it is asyncio's own still."""
    async def main():
        watcher = aio.new_child_watcher()
        loop = asyncio.get_running_loop()
        hub = aio._hub_of(loop)
        number, fired = 0, True
        while fired:
            child = subprocess.Popen(["sh", "-c", "read x; exit 7"],
                                     stdin=subprocess.PIPE)
            told = loop.create_future()
            fired, _ = raising_at(number, lambda: watcher.add_child_handler(
                child.pid, lambda pid, code: told.set_result(code)))
            adopted = hub.context.child_count
            child.stdin.close()
            if adopted:
                assert await asyncio.wait_for(told, 20) == 7
                child.returncode = 7
            else:
                assert child.wait() == 7
            assert adopted or fired
            assert not hub.waiting
            number += 1
        assert number > 5

    asyncio.run(main())
    assert not clean()


@NEVER_AWAITED
def test_B11_a_run_in_a_loop(clean):
    """It is ended, and waited for, or there is none."""
    async def main():
        hub = aio._hub_of(asyncio.get_running_loop())
        living = children()
        number, fired = 0, True
        while fired:
            run = Disturbed(aio.run(LONG, stdin=subprocess.DEVNULL), number)
            task = asyncio.ensure_future(_awaited(run))
            await asyncio.sleep(0)
            fired = run.fired
            if not fired:
                task.cancel()
            await asyncio.wait((task,), timeout=20)
            assert task.done(), number
            for _ in range(2000):  # it may be about to end
                if children() == living and not hub.running:
                    break
                await asyncio.sleep(0.01)
            else:
                assert 0, number
            number += 5
        assert number > 50

    asyncio.run(main())
    assert not clean()


async def _awaited(thing):
    try:
        await thing
    except (asyncio.CancelledError, Raised):
        pass


def swept(make, judge, run, least):
    """Disturbed(make()) in each of its steps and at each of their points,
    awaited by run; judge has what it came to. No fd is left of all that."""
    judge(run(make, -1, 0))  # what is opened once is there then
    gc.collect()
    open_fds = fds()
    step = points = 0
    over = False
    while not over:
        number, fired = 0, True
        while fired:
            disturbed = run(make, number, step)
            judge(disturbed)
            fired, over = disturbed.fired, disturbed.over
            number += 7
            points += fired
        step += 1
    assert step >= 2 and points >= least
    gc.collect()
    assert fds() == open_fds


async def disturbed_by(make, number, step):
    disturbed = Disturbed(make(), number, step, FILES[:1])
    try:
        disturbed.result = await disturbed
    except Raised:
        disturbed.result = None
    return disturbed


@NEVER_AWAITED
def test_B11_spawn_async():
    """Its Process is the caller's, or nobody's and ended."""
    with xlchild.Context() as ctx, closing(asyncio.new_event_loop()) as loop:
        def run(make, number, step):
            return loop.run_until_complete(disturbed_by(make, number, step))

        def judge(disturbed):
            if disturbed.result is not None:
                assert disturbed.result.kill(), disturbed.number
                assert disturbed.result.wait().signal == 9
            soon(lambda: not (ctx.events(0) or ctx.child_count))
            assert not ctx._launches

        swept(lambda: ctx.spawn_async(LONG), judge, run, 30)


@NEVER_AWAITED
def test_B11_a_process_of_aio():
    living = set(children())
    with closing(asyncio.new_event_loop()) as loop:
        async def body(make, number, step):
            disturbed = await disturbed_by(make, number, step)
            process = disturbed.result
            if process is not None:
                process.kill()
                assert await asyncio.wait_for(process.wait(), 20) == -9
            hub = aio._hub_of(asyncio.get_running_loop())
            for _ in range(2000):
                if not hub.context.child_count \
                        and set(children()) == living:
                    break
                await asyncio.sleep(0.01)
            else:
                assert 0, (step, number)
            assert not hub.waiting and not hub.starting
            return disturbed

        def run(make, number, step):
            return loop.run_until_complete(body(make, number, step))

        swept(lambda: aio.create_subprocess_exec(*LONG), lambda _: None, run,
              30)
