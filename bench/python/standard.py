"""What Python itself offers without an event loop. Used by peer.py."""

import os
import subprocess
import time


def timed(run, options, clock_of):
    """Runs once to warm up and once for the figures."""
    run(options, clock_of(options.warmup, 0))
    clock = clock_of(options.children, options.for_ms)
    before = time.perf_counter()
    run(options, clock)
    took = time.perf_counter() - before
    return {"us_per_child": took / clock.started * 1e6,
            "reaped": clock.started}


def expect_zero(status):
    if status != 0:
        raise SystemExit(f"a child ended with {status}")


def run_posix_spawn(options, clock):
    argv = [options.child]
    environ = os.environ
    in_flight = 0
    while True:
        while in_flight < options.concurrency and clock.take():
            os.posix_spawn(options.child, argv, environ)
            in_flight += 1
        if not in_flight:
            return
        expect_zero(os.waitpid(-1, 0)[1])
        in_flight -= 1


def run_popen(options, clock):
    argv = [options.child]
    while clock.take():
        expect_zero(subprocess.Popen(argv).wait())


def run_with(**keywords):
    """subprocess.run, one after another, with these keywords."""
    def peer(options, clock_of):
        return timed(runs(subprocess.run, keywords), options, clock_of)
    return peer


def runs(function, keywords):
    """What a script does all day: function(argv, **keywords)."""
    def run(options, clock):
        argv = [options.child]
        while clock.take():
            expect_zero(function(argv, **keywords).returncode)
    return run


def posix_spawn(options, clock_of):
    return timed(run_posix_spawn, options, clock_of)


def popen(options, clock_of):
    return timed(run_popen, options, clock_of)


# the kinds of run() that both have, by their keywords
RUNS = {"run": {}, "run-captured": {"capture_output": True},
        "run-timeout": {"timeout": 60}}

PEERS = {"posix_spawn": posix_spawn, "popen": popen,
         **{kind: run_with(**keywords) for kind, keywords in RUNS.items()}}
