"""A user's program: test_types.py runs it, and has mypy --strict read it.

The lines of wrong() are what mypy must find: --strict complains about an
ignore that is not needed, so that a type which is Any fails the test.
"""
import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List, Sequence, Union

import xlchild
from xlchild import aio
from xlchild.pool import Halt, Pool, Result, run_many

Code = Union[None, int, xlchild.Lost]


def in_a_context() -> List[Code]:
    """Hooks, events, an operation."""
    codes: List[Code] = []

    def on_exit(process: xlchild.Process, status: xlchild.Status) -> None:
        codes.append(status.returncode)

    policy = xlchild.KillPolicy(signal.SIGTERM, grace=2.0)
    with xlchild.Context(xlchild.SigchldOwner.NONE) as ctx:
        child = ctx.spawn(["true"])
        codes.append(child.wait(timeout=60).exitcode)
        ctx.spawn(["sh", "-c", "exit 2"], on_exit=on_exit, kill=policy)
        while ctx.child_count:
            ctx.events(0.01)
        batch = ctx.spawn_many([["true"], (["sh"], {"cwd": "/"})],
                               stdin=xlchild.DEVNULL)
        for started in batch:
            if isinstance(started, xlchild.SpawnError):
                raise started
            status = ctx.wait_event(60).status
            if status is not None and status.kind is xlchild.Status.EXITED:
                codes.append(status.returncode)
        number: int = ctx.start(["echo", "x"], capture_output=True)
        completed = ctx.wait_event().completed
        if completed is not None and number:
            data: bytes = completed.stdout
            codes.append(len(data))
        done = ctx.run(["tr", "a", "b"], input="aa", text=True,
                       capture_output=True, kill=policy)
        codes.append(done.stdout.count("b"))
        reason: str = ctx.diagnose().words
        codes.append(0 if reason else 1)
    return codes


def as_with_subprocess() -> str:
    """Popen and run, in bytes and in text."""
    with xlchild.Popen(["cat"], stdin=xlchild.PIPE,
                       stdout=xlchild.PIPE) as bare:
        out, _ = bare.communicate(b"x")
    with xlchild.Popen(["cat"], stdin=xlchild.PIPE, stdout=xlchild.PIPE,
                       text=True) as p:
        text, _ = p.communicate("y")
    done: "xlchild.CompletedProcess[str]" = xlchild.run(
        ["echo", "z"], capture_output=True, text=True, check=True)
    usage = done.rusage
    assert usage is not None and usage.ru_maxrss > 0
    raw: bytes = xlchild.check_output(["echo", "-n", "w"])
    return out.decode() + text + done.stdout + raw.decode()


async def in_a_loop() -> int:
    """What aio has."""
    process = await aio.create_subprocess_exec("sh", "-c", "exit 3")
    shell = await aio.create_subprocess_shell("exit 4", stdin=xlchild.DEVNULL)
    done = await aio.run(["cat"], input=b"abc", capture_output=True)
    size = len(done.stdout)
    return await process.wait() + await shell.wait() + size


def in_a_pool() -> int:
    """A Pool with most of its keywords, and one with an executor."""
    parts: List[bytes] = []

    def on_output(result: Result, stream: int, data: bytes) -> None:
        parts.append(data)

    with Pool(2, timeout=60, attempts=2, halt="never", on_output=on_output,
              kill=xlchild.KillPolicy(signal.SIGTERM, 1.0)) as pool:
        results = list(pool.map([["echo", "a"], ["echo", "b"]]))
        for batch in pool.batches([(["cat"], b"c")]):
            results += batch
    with ThreadPoolExecutor(2) as threads, \
            Pool(2, executor=threads) as away:
        for result in away.as_completed([["true"]]):
            results.append(result)
    results += run_many([["true"]], keep_order=False)
    assert Halt("now,fail=1").after(False) == "now"
    assert all(r.status is not None and r.status.success for r in results)
    return len(results) + len(b"".join(parts))


def in_either_spelling(ctx: xlchild.Context) -> List[Code]:
    """Words of any kind, and options as Popen or as Context names them."""
    words: Sequence[str] = ["true"]
    done = [ctx.spawn(words).wait(), ctx.spawn(("true", b"x")).wait(),
            ctx.spawn(["true", Path("x")], new_session=True, uid=0).wait(),
            ctx.spawn(["true"], start_new_session=True, umask=0o77,
                      executable="/bin/true", env={"A": "b"}).wait(),
            ctx.run("true", shell=True, user="root", group="root").status]
    popen = xlchild.Popen(words, context=ctx, event=True, tag=3, nice=1)
    event = ctx.wait_event(60)
    assert event.user == 3 and popen.wait() == 0
    return [None if status is None else status.returncode for status in done]


def wrong(ctx: xlchild.Context, pool: Pool, result: Result) -> None:
    """Never called."""
    ctx.spawn(["true"], timeout=3)  # type: ignore[call-arg]
    ctx.spawn(["true"]).wait("1")  # type: ignore[arg-type]
    ctx.spawn("ls -l")  # type: ignore[arg-type]
    ctx.spawn(["sleep", 1])  # type: ignore[list-item]
    ctx.spawn(["true"], nice="x")  # type: ignore[arg-type]
    xlchild.run(["true"], cwdd="/")  # type: ignore[call-overload]
    xlchild.Popen(["true"], rlimit=[])  # type: ignore[call-overload]
    xlchild.call(["true"], users="x")  # type: ignore[call-arg]
    Pool(workers=3)  # type: ignore[call-arg]
    run_many(["a b"])  # type: ignore[list-item]
    ctx.run(["true"], check="x")  # type: ignore[call-overload]
    ctx.run(["true"]).stdout.encode()  # type: ignore[attr-defined]
    xlchild.check_output(["true"], text=True) + b""  # type: ignore[operator]
    xlchild.Popen(["true"], stdout=-1).colour  # type: ignore[attr-defined]
    aio.run(["true"], check="text")  # type: ignore[call-overload]
    Pool(jobs="many")  # type: ignore[arg-type]
    Pool(executor=3)  # type: ignore[arg-type]
    Pool(on_output=lambda result: None)  # type: ignore[arg-type,misc]
    pool.map([1, 2])  # type: ignore[list-item]
    result.status.exitcode  # type: ignore[union-attr]
    started = aio.create_subprocess_exec(
        "x", limits=3)  # type: ignore[call-arg]
    started.close()
    run_many([["true"]], 4, False)  # type: ignore[misc]
    xlchild.SigchldOwner.NOBODY  # type: ignore[attr-defined]


def main() -> int:
    """Assert that it all works, too."""
    assert in_a_context() == [0, 2, 0, 0, 2, 2, 0]
    assert as_with_subprocess() == "xyz\nw"
    assert asyncio.run(in_a_loop()) == 10
    if os.geteuid() == 0:
        with xlchild.Context() as ctx:
            assert in_either_spelling(ctx) == [0] * 5
    assert in_a_pool() == 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
