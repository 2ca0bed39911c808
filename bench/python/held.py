#!/usr/bin/python3
"""How long a start keeps its event loop from everything else.

    bench/python/held.py --peer NAME [--starts N] [--held-ms N] --child PATH

Run by bench/run.py with plan_python.py. The child's execve is answered
--held-ms late, as by a slow file system: by a supervisor of seccomp's, the
one of the tests (tests/python/slowexec.py). Meanwhile the loop goes round as
quickly as it can; the longest pause between two rounds, from before the start
to the child's end, is the block of that start. Prints one line of JSON with
the blocks of all starts.
Exit status 77: this machine has not got what the peer needs.
"""

import argparse
import asyncio
import json
import os
import select
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/python"))

import slowexec  # noqa: E402: it is found by the line above


class Rounds:
    """The longest pause between two of them, in seconds."""

    def __init__(self):
        self.longest = 0.0
        self._last = time.perf_counter()

    def tick(self):
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now


async def longest_of_asyncio(start, argv):
    rounds = Rounds()

    async def go_round():
        while True:
            rounds.tick()
            await asyncio.sleep(0)

    going = asyncio.ensure_future(go_round())
    await asyncio.sleep(0)
    process = await start(*argv)
    code = await process.wait()
    rounds.tick()
    going.cancel()
    return rounds.longest, code


def asyncio_one(argv):
    return asyncio.run(longest_of_asyncio(asyncio.create_subprocess_exec,
                                          argv))


def aio_one(argv):
    from xlchild import aio
    return asyncio.run(longest_of_asyncio(aio.create_subprocess_exec, argv))


def spawn_async_one(argv):
    import xlchild

    class Child:
        """Whose end is looked for once a round."""

        def __init__(self, process):
            self._process = process

        async def wait(self):
            while self._process.poll() is None:
                await asyncio.sleep(0)
            return self._process.poll().returncode

    with xlchild.Context() as context:
        async def start(*argv):
            return Child(await context.spawn_async(list(argv)))

        return asyncio.run(longest_of_asyncio(start, argv))


def trio_one(argv):
    try:
        import trio
    except ImportError as why:
        print(f"{why} (Debian: python3-trio)", file=sys.stderr)
        sys.exit(slowexec.NOT_HERE)
    import xlchild.trio

    async def body():
        rounds = Rounds()

        async def go_round():
            while True:
                rounds.tick()
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go_round)
            await trio.lowlevel.checkpoint()
            process = await xlchild.trio.open_process(argv)
            code = await process.wait()
            rounds.tick()
            nursery.cancel_scope.cancel()
        return rounds.longest, code

    return trio.run(body)


def answer_late(seconds):
    """Each execve from now on, so long after it was asked for.

    By another process: a start that waits for its exec may do so with the
    interpreter's lock in its hand.
    """
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _, (fd,), _, _ = socket.recv_fds(its, 1, 1)
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.register(its, select.POLLIN)
            while not dict(poll.poll()).get(its.fileno()):
                number = slowexec.held_one(fd)
                time.sleep(seconds)
                slowexec.go_on(fd, number)
        finally:
            os._exit(0)
    its.close()
    fd = slowexec.listener()
    socket.send_fds(ours, [b"f"], [fd])
    os.close(fd)
    return ours  # it ends when this is closed


PEERS = {"asyncio": asyncio_one, "xlchild-aio": aio_one,
         "xlchild-spawn-async": spawn_async_one, "xlchild-trio": trio_one}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True, choices=sorted(PEERS))
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--held-ms", type=int, default=500)
    parser.add_argument("--child", required=True)
    options = parser.parse_args()
    one = PEERS[options.peer]
    one([options.child])  # imports, threads, what the first time costs
    supervisor = answer_late(options.held_ms / 1000)
    blocks = []
    for _ in range(options.starts):
        longest, code = one([options.child])
        if code != 0:
            raise SystemExit(f"a child ended with {code}")
        blocks.append(longest * 1000)
    supervisor.close()
    print(json.dumps({"peer": options.peer, "starts": options.starts,
                      "version": "Python " + sys.version.split()[0],
                      "block_ms": sorted(blocks)[len(blocks) // 2],
                      "block_ms_each": blocks}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
