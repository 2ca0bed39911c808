"""GNU make's job server: the command line below one, and as one.

How many jobs run at a time the jobs count themselves.
"""
import contextlib
import os
import select
import signal
import subprocess
import sys
import time

import pytest
from clitools import PROGRAM, cli

pytestmark = pytest.mark.own_process
SECONDS = 100
X = " ".join(PROGRAM)

COUNT = """#!/bin/sh
# one job: how many run now is written down
exec 9>>"$D/lock"; flock 9
: > "$D/run.$$"; ls "$D" | grep -c ^run >> "$D/counts"
exec 9>&-
sleep "${1:-0.1}"
flock "$D/lock" rm "$D/run.$$"
"""


@pytest.fixture
def place(tmp_path):
    """A folder with the job, and one that it counts in."""
    (tmp_path / "count").write_text(COUNT)
    (tmp_path / "count").chmod(0o755)
    (tmp_path / "d").mkdir()
    return tmp_path


def counts(place):
    """What the jobs counted."""
    return list(map(int, (place / "d/counts").read_text().split()))


def environment(place, **more):
    env = dict(os.environ, D=str(place / "d"), **more)
    if "MAKEFLAGS" not in more:
        env.pop("MAKEFLAGS", None)
    return env


def run(place, *command, code=0, **more):
    """Run it there; what it said."""
    done = subprocess.run(command, cwd=place, env=environment(place, **more),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SECONDS)
    assert done.returncode == code, done.stdout
    return done.stdout.decode()


# ---- as a client -----------------------------------------------------------


def test_eight_below_make_run_no_more_than_it_allows(place):
    """And as many, most of the time."""
    (place / "Makefile").write_text(
        "all: 1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 8:\n"
        "\t+@%s -j8 ./count ::: 0.1 0.1 0.1 0.1 0.1 0.1\n" % X)
    assert run(place, "make", "-sj4") == ""
    found = counts(place)
    assert len(found) == 48 and max(found) == 4


def test_one_below_make_gets_what_there_is(place):
    """Also where ninja stands between."""
    (place / "Makefile").write_text("all:\n\t+@%s ./count ::: %s\n" % (
        X, "0.3 " * 9))
    assert run(place, "make", "-sj3") == ""
    assert len(counts(place)) == 9 and max(counts(place)) == 3
    os.unlink(place / "d/counts")
    (place / "Makefile").write_text("all:\n\t+@ninja --quiet\n")
    (place / "build.ninja").write_text(
        "rule run\n  command = %s -u -j4 ./count ::: %s\n"
        "build a: run\nbuild b: run\n" % (X, "0.2 " * 4))
    run(place, "make", "-sj3")
    assert len(counts(place)) == 8
    assert max(counts(place)) <= 4  # ninja itself runs two, and asks nobody


@contextlib.contextmanager
def server(tmp_path, tokens, style):
    """A job server with so many tokens: its MAKEFLAGS, fds, and a function
    that says how many tokens are there."""
    if style == "fifo":
        path = tmp_path / "jobs"
        os.mkfifo(path)
        fd = os.open(path, os.O_RDWR)
        reading = writing = fd
        mark, fds = "fifo:%s" % path, ()
    else:
        reading, writing = os.pipe()
        mark, fds = "%d,%d" % (reading, writing), (reading, writing)
    os.write(writing, tokens)

    def there():
        found = b""
        while select.select([reading], [], [], 0)[0]:
            found += os.read(reading, 100)
        os.write(writing, found)
        return sorted(found)

    try:
        yield " -j%d --jobserver-auth=%s" % (len(tokens) + 1, mark), fds, \
            there
    finally:
        for fd in {reading, writing}:
            os.close(fd)


@pytest.mark.parametrize("style", ["fifo", "pipe"])
@pytest.mark.parametrize("output", ["--group", "-u", "--lb"])
def test_tokens_are_taken_and_given_back(place, style, output):
    """The same ones; never more run than there are, and one."""
    with server(place, b"abc", style) as (flags, fds, there):
        done = subprocess.run(
            PROGRAM + [output, "-j9", "./count", ":::"] + ["0.1"] * 12,
            cwd=place, env=environment(place, MAKEFLAGS=flags),
            pass_fds=fds, stderr=subprocess.PIPE, timeout=SECONDS)
        assert (done.returncode, done.stderr) == (0, b"")
        assert there() == sorted(b"abc")
    assert max(counts(place)) == 4 and len(counts(place)) == 12


@pytest.mark.parametrize("style", ["fifo", "pipe"])
def test_no_token_is_held_that_is_not_used(place, style):
    """While the last command runs, all tokens are back."""
    inner, outer = os.pipe()
    with server(place, b"abc", style) as (flags, fds, there):
        wait = "read x < /proc/%d/fd/%d" % (os.getpid(), inner)
        with subprocess.Popen(
                PROGRAM + ["sh", "-c", ":::", wait] + ["sleep 0.1"] * 8,
                env=environment(place, MAKEFLAGS=flags),
                pass_fds=fds) as process:
            end = time.monotonic() + SECONDS
            seen = []
            while seen[-20:] != [sorted(b"abc")] * 20:
                assert time.monotonic() < end
                time.sleep(0.02)
                seen.append(there())
            os.write(outer, b"go\n")
        assert process.returncode == 0
        assert there() == sorted(b"abc")
    os.close(inner)
    os.close(outer)


@pytest.mark.parametrize("style", ["fifo", "pipe"])
@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM])
def test_every_token_comes_back_however_it_ends(place, style, signo):
    """And its commands are gone by then."""
    with server(place, b"abc", style) as (flags, fds, there):
        process = subprocess.Popen(
            PROGRAM + ["-j4", "-u", "sh", "-c", ":::"]
            + ["echo ready; exec sleep 1000"] * 4,
            env=environment(place, MAKEFLAGS=flags), pass_fds=fds,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(4):
            assert process.stdout.readline() == b"ready\n"
        assert there() == []
        os.kill(process.pid, signo)
        process.wait(SECONDS)
        assert process.stdout.read() == b""  # nobody has it open any more
        process.stdout.close()
        end = time.monotonic() + SECONDS
        while there() != sorted(b"abc"):
            assert time.monotonic() < end, there()
            time.sleep(0.01)


def test_makes_among_the_commands_share_it(place):
    """The fds reach them."""
    (place / "Makefile").write_text(
        "all:\n\t+@%s -j2 --lb $(MAKE) -sf sub ::: X=1 X=2\n" % X)
    (place / "sub").write_text("all: 1 2 3 4\n1 2 3 4:\n\t@./count 0.1\n")
    assert run(place, "make", "-sj3") == ""
    assert len(counts(place)) == 8 and max(counts(place)) == 3


@pytest.mark.parametrize("flags,named", [
    (" -j3 --jobserver-auth=97,98", "begin the line of the recipe with +"),
    (" -j3 --jobserver-auth=-2,-2", "recipe with +"),
    (" -j3 --jobserver-fds=0,1", "recipe with +"),
    (" -j3 --jobserver-auth=fifo:/nonexistent", "/nonexistent: No such"),
    (" -j3 --jobserver-auth=fifo:/dev/null", "/dev/null is no fifo"),
    (" -j3 --jobserver-auth=nonsense", "recipe with +"),
])
def test_a_job_server_out_of_reach_is_said(flags, named):
    done = cli("-k", "echo", ":::", "a",
               env=dict(os.environ, MAKEFLAGS=flags))
    assert (done.returncode, done.stdout) == (0, b"a\n")
    assert b"the job server of make cannot be used" in done.stderr
    assert named in done.stderr.decode()


@pytest.mark.parametrize("flags", ["", "k", " -j3", "n -- X=1"])
def test_no_job_server_no_word(flags):
    done = cli("echo", ":::", "a", env=dict(os.environ, MAKEFLAGS=flags))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\n", b"")


# ---- as the server ---------------------------------------------------------


@pytest.mark.parametrize("output", ["--group", "-u", "--lb"])
def test_makes_below_share_the_jobs(place, output):
    """Three makes, four jobs; one make, four jobs; other commands beside."""
    (place / "M").write_text("all: 1 2 3 4 5 6\n1 2 3 4 5 6:\n"
                             "\t@./count 0.2\n")
    for many in (1, 3):
        done = run(place, *PROGRAM, output, "--jobserver", "-j4", "make",
                   "-sf", "M", ":::", *["X=%d" % n for n in range(many)])
        assert done == ""
        assert len(counts(place)) == 6 * many and max(counts(place)) == 4
        os.unlink(place / "d/counts")
    run(place, *PROGRAM, output, "--jobserver", "-j4", "sh", "-c", ":::",
        "make -sf M", *["./count 0.2"] * 6)
    assert len(counts(place)) == 12 and max(counts(place)) <= 4


def test_what_a_killed_make_had_comes_back(place):
    """The next one gets all of it."""
    (place / "M").write_text("all: 1 2 3\n1 2 3:\n\t@./count 0.2\n")
    (place / "K").write_text(
        "all: 1 2 3\n1 2 3:\n\t@echo x >> $(D)/begun; while ! test -e "
        "$(D)/gone; do sleep 0.02; done\n")
    kill = "make -sf K & while test \"$(wc -l < $D/begun 2>/dev/null)\" " \
        "!= 2; do sleep 0.02; done; kill -9 $!; wait $!; touch $D/gone"
    run(place, *PROGRAM, "-j3", "--jobserver", "sh", "-c", ":::", kill,
        "while ! test -e $D/gone; do sleep 0.02; done; "
        "for n in 1 2 3; do make -sf M; done")
    assert len(counts(place)) == 9 and max(counts(place)) == 3


@pytest.mark.parametrize("style", ["pipe", "fifo"])
def test_tokens_by_pipe_and_by_fifo(place, style):
    """As a client that is no make sees them: N minus what runs; and what it
    keeps when it is killed comes back."""
    program = """
import os, re, select, sys, time
mark = re.search("--jobserver-auth=(\\\\S+)", os.environ["MAKEFLAGS"]).group(1)
if mark.startswith("fifo:"):
    fd = os.open(mark[5:], os.O_RDWR)
else:
    fd = int(mark.split(",")[0])
got = b""
while len(got) < 3:
    assert select.select([fd], [], [], 60)[0]
    got += os.read(fd, 1)
assert not select.select([fd], [], [], 0.3)[0]
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        PROGRAM + ["--jobserver=" + style, "-j4", "--retries", "2",
                   sys.executable, "-c", program, ":::", "1"],
        env=environment(place), stderr=subprocess.PIPE, timeout=SECONDS)
    assert done.returncode == 1, done.stderr
    assert b"AssertionError" not in done.stderr


def test_nothing_is_left_of_the_fifos(place):
    env = environment(place, TMPDIR=str(place / "d"))
    done = subprocess.run(
        PROGRAM + ["--jobserver=fifo", "-j2", "-k", "--shell",
                   "echo $MAKEFLAGS {}", ":::", "1", "2"], env=env,
        stdout=subprocess.PIPE, check=True)
    assert done.stdout.count(b"--jobserver-auth=fifo:") == 2
    assert os.listdir(place / "d") == []


def test_a_server_below_make_hands_makes_own_on(place):
    (place / "Makefile").write_text(
        "all:\n\t+@%s --jobserver -j8 $(MAKE) -sf sub ::: X=1 X=2\n" % X)
    (place / "sub").write_text("all: 1 2 3 4\n1 2 3 4:\n\t@./count 0.1\n")
    assert run(place, "make", "-sj3") == ""
    assert len(counts(place)) == 8 and max(counts(place)) == 3
