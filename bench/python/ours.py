"""xlchild, the ways in which a program would use it. Used by peer.py."""

import asyncio
import importlib
import time

from loops import rate, uvloop_run
from peer import Unavailable
from standard import RUNS, expect_zero, runs, timed

BATCH = 64
EVENABLES = 200


def xlchild():
    try:
        import xlchild as package
    except ImportError as why:
        raise Unavailable(f"{why}: the package is not built") from None
    return package


def take(context):
    """Waits for events; how many ended, all of them with 0."""
    events = context.events(timeout=None)
    for event in events:
        expect_zero(event.status.returncode)
    return len(events)


def spawn_events(options, clock_of):
    argv = [options.child]

    def run(options, clock):
        in_flight = 0
        while True:
            while in_flight < options.concurrency and clock.take():
                context.spawn(argv, event=True)
                in_flight += 1
            if not in_flight:
                return
            in_flight -= take(context)

    with xlchild().Context() as context:
        return timed(run, options, clock_of)


def batch(options, clock_of):
    """Batches of 64, at most 128 in flight, two starter threads."""
    argv = [options.child]

    def run(_, clock):
        in_flight = 0
        while True:
            while in_flight <= BATCH:
                n = clock.take(BATCH)
                if not n:
                    break
                context.spawn_many([argv] * n)
                in_flight += n
            if not in_flight:
                return
            in_flight -= take(context)

    with xlchild().Context() as context:
        context.set_starters(2)
        return timed(run, options, clock_of)


def popen(options, clock_of):
    start = xlchild().Popen
    argv = [options.child]

    def run(_, clock):
        while clock.take():
            expect_zero(start(argv).wait())

    return timed(run, options, clock_of)


def run_with(**keywords):
    """xlchild.run, one after another, with these keywords."""
    def peer(options, clock_of):
        return timed(runs(xlchild().run, keywords), options, clock_of)
    return peer


def aio_start():
    xlchild()
    try:
        module = importlib.import_module("xlchild.aio")
    except ImportError as why:
        raise Unavailable(str(why)) from None
    return module.create_subprocess_exec


def aio(options, clock_of):
    return asyncio.run(rate(aio_start(), options, clock_of))


def aio_uvloop(options, clock_of):
    return uvloop_run(rate(aio_start(), options, clock_of))


def callback(options, clock_of):
    """The price of one callback: the same children, each of whose ends is
    reported to a closure 200 times more, against not at all. The least of
    ten runs of each: what disturbs a run only ever adds to it."""
    package = xlchild()
    argv = [options.child]
    calls = 0

    def occurred(_):
        nonlocal calls
        calls += 1

    def run(context, n):
        before = time.perf_counter()
        for _ in range(n):
            process = context.spawn(argv)
            expect_zero(process.wait().returncode)
        return time.perf_counter() - before

    n, times = 10, 10
    with package.Context() as context:
        context.register_callbacks(occurred)
        run(context, n)
        without = min(run(context, n) for _ in range(times))
        for _ in range(EVENABLES):
            context.evenable_exit()
        run(context, 1)
        calls = 0
        took = min(run(context, n) for _ in range(times))
    if calls != times * n * EVENABLES:
        raise SystemExit(f"{calls} callbacks, not {times * n * EVENABLES}")
    return {"callback_us": (took - without) / (n * EVENABLES) * 1e6}


PEERS = {"xlchild": spawn_events, "xlchild-batch": batch,
         "xlchild-popen": popen, "xlchild-aio": aio,
         "xlchild-aio-uvloop": aio_uvloop, "xlchild-callback": callback,
         **{"xlchild-" + kind: run_with(**keywords)
            for kind, keywords in RUNS.items()}}
