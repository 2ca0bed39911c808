"""xlchild.aio where tasks run at once, up to their first await (Python 3.12).

    eager.py [debug]

Run by test_versions.py. Says "fine" if nothing is left of what was started.
"""
import asyncio
import os
import sys

import xlchild
from xlchild import aio


async def one():
    p = await aio.create_subprocess_exec("sh", "-c", "exit 3")
    return await p.wait()


async def captured():
    return (await aio.run(["echo", "x"], capture_output=True)).stdout


async def communicated():
    p = await aio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await p.communicate(b"hello")
    return out, p.returncode


async def late():
    try:
        await aio.run(["sleep", "100"], timeout=0.01)
    except xlchild.TimeoutExpired:
        return "late"


async def long():
    await aio.run(["sleep", "100"])


async def failing():
    await asyncio.sleep(0)
    raise KeyError("expected")


async def main():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    for _ in range(3):
        assert await asyncio.gather(one(), captured(), communicated(),
                                    late()) == \
            [3, b"x\n", (b"hello", 0), "late"]
    for work in one, captured, communicated, late, long:
        for turns in range(3):
            task = asyncio.create_task(work())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
                assert work is not long
            except asyncio.CancelledError:
                pass
        try:
            await asyncio.wait_for(work(), 0)
        except asyncio.TimeoutError:
            pass
    try:
        async with asyncio.TaskGroup() as group:
            for work in long, communicated, failing, long:
                group.create_task(work())
    except BaseExceptionGroup as error:
        assert [type(one) for one in error.exceptions] == [KeyError]
    assert aio._hub_of(loop).context.child_count == 0


asyncio.run(main(), debug="debug" in sys.argv)
try:
    os.waitpid(-1, os.WNOHANG)
    print("a child is left")
except ChildProcessError:
    print("fine")
