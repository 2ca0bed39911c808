"""asyncio with its child watchers, and uvloop. Used by peer.py."""

import asyncio
import time
import warnings

from peer import Unavailable
from standard import expect_zero


async def worker(start, options, clock):
    while clock.take():
        process = await start(options.child)
        expect_zero(await process.wait())


async def rate(start, options, clock_of):
    """--concurrency tasks that start and wait, one child after another."""
    async def all_of(clock):
        await asyncio.gather(*(worker(start, options, clock)
                               for _ in range(options.concurrency)))

    await all_of(clock_of(options.warmup, 0))
    clock = clock_of(options.children, options.for_ms)
    before = time.perf_counter()
    await all_of(clock)
    took = time.perf_counter() - before
    return {"us_per_child": took / clock.started * 1e6,
            "reaped": clock.started}


def watched_by(name):
    """asyncio's own children with the watcher of that name."""
    def peer(options, clock_of):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            watcher = getattr(asyncio, name, None)
            if watcher is None:
                raise Unavailable("this Python has no " + name)

            async def body():
                watching = watcher()
                if hasattr(watching, "attach_loop"):
                    watching.attach_loop(asyncio.get_running_loop())
                asyncio.get_event_loop_policy().set_child_watcher(watching)
                return await rate(asyncio.create_subprocess_exec, options,
                                  clock_of)
            return asyncio.run(body())
    return peer


def uvloop_run(body):
    try:
        import uvloop
    except ImportError as why:
        raise Unavailable(f"{why} (Debian: python3-uvloop)") from None
    loop = uvloop.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(body)
    finally:
        loop.close()


def uvloop_peer(options, clock_of):
    return uvloop_run(rate(asyncio.create_subprocess_exec, options, clock_of))


PEERS = {"asyncio-pidfd": watched_by("PidfdChildWatcher"),
         "asyncio-threads": watched_by("ThreadedChildWatcher"),
         "uvloop": uvloop_peer}
