"""Families of children that a loop has: aio, trio, anyio, and spawn_async.

Whoever a command leaves behind is made by the helper stray, in one of several
ways, and found by a mark in its command line.
"""
import asyncio
import gc
import os
import signal
import subprocess
import uuid

import pytest
from conftest import HELPERS, fds
from test_family import FAILS, LEAVES, STAYS, cgroups, families

import xlchild
from xlchild import aio

STRAY = str(HELPERS / "stray")
WAYS = ["and", "nohup", "setsid", "twice", "closed"]


@pytest.fixture(autouse=True)
def no_cgroup_is_left():
    yield
    assert cgroups() == []


@pytest.fixture
def mark():
    """A name for those that are left; none is, when the test is over."""
    name = "mark-%s" % uuid.uuid4().hex
    yield name
    assert left(name) == []


def left(mark):
    """Who has the mark in its command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as file:
                if mark.encode() in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            pass
    return found


def holds():
    """Those that are to be had here."""
    with xlchild.Context() as ctx:
        found = []
        for family in families(ctx):
            found.append(family.hold)
            family.close()
        return found


class InAsyncio:
    """Each loop in the same words."""

    def go(self, main):
        return asyncio.run(main())

    async def run(self, argv, **options):
        return await aio.run(argv, **options)

    async def open(self, argv, **options):
        return await aio.create_subprocess_exec(*argv, **options)

    def family(self, *args, **options):
        return aio.family(*args, **options)

    async def in_time(self, seconds, work):
        """What it returns; None: it was cancelled."""
        try:
            return await asyncio.wait_for(work, seconds)
        except asyncio.TimeoutError:
            return None


try:
    import uvloop
    uvloop.new_event_loop().close()  # libuv keeps a pipe a process
except ImportError:
    uvloop = None


class InUvloop(InAsyncio):
    def __init__(self):
        if uvloop is None:
            pytest.skip("uvloop is not installed")

    def go(self, main):
        loop = uvloop.new_event_loop()
        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()


class InTrio:
    backend = None

    def __init__(self):
        self.trio = pytest.importorskip("trio")
        from xlchild import trio as ours
        self.ours = ours

    def go(self, main):
        return self.trio.run(main)

    async def run(self, argv, **options):
        return await self.ours.run_process(argv, **options)

    async def open(self, argv, **options):
        return await self.ours.open_process(argv, **options)

    def family(self, *args, **options):
        return self.ours.family(*args, **options)

    async def in_time(self, seconds, work):
        with self.trio.move_on_after(seconds):
            return await work


class InAnyio(InTrio):
    def __init__(self):
        self.trio = pytest.importorskip("anyio")
        from xlchild import anyio as ours
        self.ours = ours

    def go(self, main):
        return self.trio.run(main)


class InAnyioOnTrio(InAnyio):
    def go(self, main):
        pytest.importorskip("trio")
        return self.trio.run(main, backend="trio")


@pytest.fixture(params=[InAsyncio, InUvloop, InTrio, InAnyio, InAnyioOnTrio],
                ids=lambda kind: kind.__name__)
def loop(request):
    return request.param()


def test_F3_in_whatever_way_nobody_is_left(loop, mark):
    """Where nobody can leave it; by group, those that stay in it."""
    ways = WAYS if "cgroup" in holds() else WAYS[:2]

    async def main():
        for way in ways:
            done = await loop.run([STRAY, way, mark], family="always",
                                  account=True)
            assert done.returncode == 0
            assert done.account.ended_by is xlchild.EndedBy.ITSELF
            assert left(mark) == []
            process = await loop.open([STRAY, way, mark, "0"],
                                      family="always")
            assert await process.wait() == 0
            assert await process.family.wait_async()
            assert left(mark) == []
    loop.go(main)


def test_F3_the_policies(loop):
    async def main():
        for argv, when, code in (FAILS, "failure", 3), (LEAVES, "always", 0):
            end, out = os.pipe()
            try:
                done = await loop.run(argv, family=when, check=False,
                                      stdout=out)
                os.close(out)
                out = -1
                assert done.returncode == code
                assert os.read(end, 1) == b""  # nobody has it open
            finally:
                os.close(end)
                if out >= 0:
                    os.close(out)
        with loop.family("failure") as family:
            assert family.when == "failure"
            process = await loop.open(LEAVES, family=family)
            assert process.family is family and await process.wait() == 0
            assert await family.wait_async(0) is False
            assert await family.wait_async(0.01) is False
            assert not family.ending and family.end()
            assert await family.wait_async() is True
    loop.go(main)


def test_F3_cancelled_it_is_ended(loop):
    async def main():
        for when in "timeout", "always":
            end, out = os.pipe()

            async def cancelled():
                return await loop.in_time(0.2, loop.run(
                    STAYS, family=when, stdout=out))
            assert await cancelled() is None
            os.close(out)
            assert os.read(end, 1) == b""  # nobody has it open
            os.close(end)
    loop.go(main)


def test_F1_what_is_wrong_is_said_and_nothing_stays(loop):
    async def main():
        await loop.run(["true"], family="always")  # what is opened once
        before = fds()
        for work in loop.run, loop.open:
            with pytest.raises(xlchild.InvalidArgumentError, match="when"):
                await work(["true"], family="now and then")
            with pytest.raises(TypeError, match="family: a Family"):
                await work(["true"], family=7)
            with pytest.raises(xlchild.SpawnError):
                await work(["/nonexistent"], family="always")
            with xlchild.Context() as other, other.family() as stranger:
                with pytest.raises(ValueError, match="another Context"):
                    await work(["true"], family=stranger)
        assert fds() == before
    loop.go(main)


def test_F2_a_wait_is_cancelled_and_costs_nothing(loop):
    async def main():
        with loop.family() as family:
            process = await loop.open(STAYS, family=family)
            before = fds()
            for _ in range(3):
                assert await loop.in_time(0.01, family.wait_async()) is None
            assert fds() == before and not family.context._launches
            assert not family._asked_for._tells
            family.end(signal.SIGTERM, grace=5)
            assert await family.wait_async()
            await process.wait()
    loop.go(main)


def test_F2_a_context_of_its_own_is_watched_meanwhile(loop):
    async def main():
        with xlchild.Context() as ctx:
            for family in families(ctx, when="always"):
                with family:
                    child = await ctx.spawn_async(LEAVES, family=family)
                    assert await family.wait_async() is True
                    assert child.wait().success
        with pytest.raises(ValueError):
            await family.wait_async()
    loop.go(main)


def test_F2_a_process_that_is_dropped_takes_its_family_along(loop, recwarn):
    async def main():
        process = await loop.open(LEAVES, family="always", stdin=None,
                                  stdout=None, stderr=None)
        context = process.family.context
        await process.wait()
        del process
        gc.collect()
        family = context.family()  # sweeps
        family.close()
        while context._families:
            context.family().close()
    loop.go(main)
    assert not [one for one in recwarn.list
                if "family" in str(one.message)]


# ---- when_empty --------------------------------------------------------------

def test_F2_callbacks_are_told_once_and_an_exception_stops_none(ctx):
    for family in families(ctx, when="always"):
        told = []

        def raises(*_):
            told.append("raises")
            raise KeyError("callback")

        with family:
            child = ctx.spawn(LEAVES, family=family)
            for tell in (lambda *a: told.append(a), raises,
                         lambda *a: told.append(a)):
                family.when_empty(tell)
            with pytest.raises(KeyError, match="callback"):
                while not told:
                    ctx.events(0.05)
            assert told == [(family, None), "raises", (family, None)]
            family.when_empty(lambda *a: told.append("at once"))
            assert told[3:] == ["at once"]
            assert child.wait().success
            with pytest.raises(TypeError, match="callback"):
                family.when_empty(None)


def test_F2_one_that_is_closed_says_so(ctx):
    told = []
    with ctx.family(holds="group") as family:
        child = ctx.spawn(["sleep", "1000"], family=family)
        family.when_empty(lambda *answer: told.append(answer))
    while not told:
        ctx.events(0.05)
    assert told[0][0] is family
    assert isinstance(told[0][1], xlchild.NotFoundError)
    with pytest.raises(xlchild.NotFoundError):
        family.when_empty(print)
    child.kill()
    child.wait()
    with xlchild.Context() as other:
        family = other.family(holds="group")
        child = other.spawn(["sleep", "1000"], family=family,
                            on_free=xlchild.FreePolicy.KILL)
        family.when_empty(lambda *answer: told.append(answer))
    assert told[1][0] is family and len(told) == 2
    assert isinstance(told[1][1], xlchild.NotFoundError)


def test_F2_a_callback_keeps_the_family_that_is_forgotten(ctx, recwarn):
    told = []
    inner, outer = os.pipe()

    def start():
        family = ctx.family()
        child = ctx.spawn(["sh", "-c", "read x"], stdin=inner, family=family)
        family.when_empty(lambda family, error: told.append(error))
        return child
    child = start()
    os.close(inner)
    gc.collect()
    assert not told
    os.close(outer)
    while not told:
        ctx.events(0.05)
    assert told == [None] and child.wait().exitcode == 1
    gc.collect()
    assert not recwarn.list and not ctx._families


def test_F2_asyncio_s_own_process_class_is_still_what_one_gets():
    async def main():
        process = await aio.create_subprocess_exec("true")
        assert isinstance(process, asyncio.subprocess.Process)
        assert process.family is process.account is None
        assert await process.wait() == 0 and process.status.success
    asyncio.run(main())


def test_C32_the_errors_of_checked_runs_have_accounts(loop):
    async def main():
        with pytest.raises(subprocess.CalledProcessError) as caught:
            await loop.run(["false"], check=True, account=True)
        assert caught.value.account.ended_by is xlchild.EndedBy.ITSELF
    loop.go(main)
