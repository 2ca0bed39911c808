"""Options have one spelling everywhere; a child may be told of in two ways.

Popen, run, Context.spawn, Context.run, aio and pool take the names that
subprocess has and those of Context.spawn. Popen(event=True), waiting for a
child that has an event or a callback, an adoption that is interrupted.
"""
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading

import pytest
from conftest import CHILD
from test_interrupted import raising_at

import xlchild
from xlchild import aio
from xlchild.pool import run_many

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534


def by_popen(args, **options):
    """stdout of a Popen."""
    with xlchild.Popen(args, stdout=xlchild.PIPE, **options) as p:
        return p.communicate()[0]


def by_run(args, **options):
    """stdout of run()."""
    return xlchild.run(args, capture_output=True, **options).stdout


def by_context_run(args, **options):
    """stdout of Context.run()."""
    with xlchild.Context() as ctx:
        return ctx.run(args, capture_output=True, **options).stdout


def by_spawn(args, **options):
    """What a spawned child wrote into a pipe."""
    inner, outer = os.pipe()
    with xlchild.Context() as ctx, open(inner, "rb") as file:
        try:
            child = ctx.spawn(args, stdout=outer, **options)
        finally:
            os.close(outer)
        out = file.read()
        child.wait()
    return out


def by_aio_run(args, **options):
    """stdout of aio.run()."""
    return asyncio.run(aio.run(args, capture_output=True, **options)).stdout


def by_aio_exec(args, **options):
    """stdout of a child of aio.create_subprocess_exec()."""
    async def main():
        child = await aio.create_subprocess_exec(
            *args, stdout=subprocess.PIPE, **options)
        return (await child.communicate())[0]

    return asyncio.run(main())


def by_pool(args, **options):
    """stdout of a command of a pool."""
    (done,) = run_many([args], **options)
    return done.stdout


WAYS = [by_popen, by_run, by_context_run, by_spawn, by_aio_run, by_aio_exec,
        by_pool]
each_way = pytest.mark.parametrize("way", WAYS,
                                   ids=[w.__name__[3:] for w in WAYS])


@each_way
def test_sessions_and_groups(way):
    for options in ({"start_new_session": True}, {"new_session": True}):
        assert way([CHILD, "session"], **options) \
            == b"sid self\ngroup self\n"
    for options in ({"process_group": 0}, {"new_group": True}):
        if sys.version_info >= (3, 11) or "new_group" in options:
            assert way([CHILD, "session"], **options) \
                == b"sid other\ngroup self\n"


@ROOT_ONLY
@each_way
def test_ids_by_either_name_and_by_names(way):
    for options in ({"uid": NOBODY, "gid": NOBODY},
                    {"user": "nobody", "gid": NOBODY},
                    {"user": "nobody", "group": "nogroup"},
                    {"uid": "nobody", "gid": "nogroup"}):
        out = way([CHILD, "ids"], **options).decode().split("\n")
        assert [int(word) for word in " ".join(out).split()
                if word.isdigit()][:6] == [NOBODY] * 6
    with pytest.raises((ValueError, KeyError)):
        way([CHILD, "ids"], uid="no such user")


@each_way
def test_the_others(way, tmp_path):
    program = tmp_path / "program"
    program.symlink_to(CHILD)
    for options in ({"executable": str(program)}, {"path": str(program)}):
        assert way(["odd", "argv0"], **options) == b"odd\n"
    assert way([CHILD, "nice"], nice=7) == b"7\n"
    assert way([CHILD, "umask"], umask=0o27) in (b"027\n", b"0027\n")


def test_popen_refuses_two_words_for_one():
    for options in ({"path": "/bin/true", "executable": "/bin/true"},
                    {"uid": 0, "user": 0}, {"nice": 3, "preexec_fn": id}):
        with pytest.raises(ValueError):
            xlchild.Popen(["true"], **options)
    with pytest.raises(TypeError):
        xlchild.Popen(["true"], nicer=3)


# ---- told of in two ways -----------------------------------------------------

@pytest.mark.parametrize("first", ["event", "wait"])
@pytest.mark.parametrize("more", [{}, {"preexec_fn": os.getpid}])
def test_a_popen_with_an_event(ctx, first, more):
    p = xlchild.Popen([CHILD, "exit", "7"], context=ctx, event=True, tag=5,
                      **more)
    if first == "wait":
        assert p.wait() == 7
    event = ctx.wait_event(30)
    assert event.process is p and event.user == 5
    assert event.status.exitcode == 7
    assert p.wait() == p.poll() == 7
    assert ctx.events() == [] and not ctx._children


def test_a_child_with_an_event_is_waited_for(ctx):
    for queued in False, True:
        child = ctx.spawn([CHILD, "exit", "6"], event=True, tag=9)
        if queued:  # another wait has found its end
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            ctx.spawn([CHILD, "exit", "0"]).wait()
        assert child.wait(30).exitcode == 6
        assert child.poll().exitcode == 6
        event = ctx.wait_event(30)
        assert event.process is child and event.user == 9
        assert event.status.exitcode == 6
    child = ctx.spawn([CHILD, "pause"], event=True)
    with pytest.raises(TimeoutError):
        child.wait(0.01)
    child.kill()
    assert child.wait(30).signal == signal.SIGKILL
    child = ctx.spawn([CHILD, "pause"], event=True)
    child.detach()
    with pytest.raises(ValueError):
        child.wait()
    ctx.kill(child.pid)


def test_a_child_with_a_callback_is_waited_for_by_many(ctx):
    told, got = [], []
    child = ctx.spawn([CHILD, "pause"],
                      on_exit=lambda process, status: told.append(status))
    threads = [threading.Thread(target=lambda: got.append(child.wait(30)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    child.kill()
    for thread in threads:
        thread.join()
    assert child.wait(30).signal == signal.SIGKILL
    while not told:
        ctx.events(0.01)
    assert len(told) == 1 and set(map(str, got)) == {"signal SIGKILL"}


# ---- adoption ----------------------------------------------------------------

@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("by", ["pid", "pidfd"])
def test_B10_an_interrupted_adoption_is_handed_over_later(ctx, event, by):
    if by == "pidfd" and not hasattr(os, "pidfd_open"):
        pytest.skip("os.pidfd_open came with Python 3.9")
    number = 0
    while True:
        pid = os.posix_spawn(CHILD, [CHILD, "pause"], os.environ)
        pidfd = os.pidfd_open(pid) if by == "pidfd" else -1
        how = {"pidfd": pidfd} if by == "pidfd" else {
            "pid": pid, "start_time": xlchild.start_time(pid)}
        fired, child = raising_at(
            number, lambda: ctx.adopt(event=event, **how))
        if child is None:
            child = ctx.adopt(event=event, **how)
        assert child.kill() and child.wait(30).signal == signal.SIGKILL
        if event:
            assert ctx.wait_event(30).process is child
        if pidfd >= 0:
            os.close(pidfd)
        child = None
        number += 1
        if not fired:
            break
    assert number > 10
    assert not ctx._adopted and not ctx._children


# ---- a kill that is refused --------------------------------------------------

SETUID = """
import asyncio, os, sys, xlchild
from xlchild import aio
os.setgroups([]); os.setgid(%d); os.setuid(%d)
inner, outer = os.pipe()  # they end with this process
command = [sys.argv[1]]
more = {"timeout": 0.3, "stdin": inner}
for way in (lambda: xlchild.Context().run(command, **more),
            lambda: xlchild.run(command, **more),
            lambda: asyncio.run(aio.run(command, **more))):
    try:
        way()
    except xlchild.TimeoutExpired as error:
        print(isinstance(error.__cause__, PermissionError), flush=True)
""" % (NOBODY, NOBODY)
BECOMES_ROOT = """
#define _GNU_SOURCE
#include <unistd.h>
int main(void)
{
    char byte;
    return setresuid(0, 0, 0) != 0 || read(0, &byte, 1) < 0;
}
"""


@ROOT_ONLY
@pytest.mark.own_process
def test_C24_a_timeout_whose_kill_is_refused_comes_back():
    """The child becomes root altogether; its parent is nobody."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = os.path.join(folder, "setuid")
        subprocess.run(["cc", "-x", "c", "-o", program, "-"],
                       input=BECOMES_ROOT, text=True, check=True)
        os.chmod(program, 0o4755)
        out = subprocess.run(
            [sys.executable, "-c", SETUID, program],
            stdout=subprocess.PIPE, text=True, timeout=60).stdout
    assert out.split() == ["True"] * 3
