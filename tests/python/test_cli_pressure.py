"""The command line and the pool where something is wanting: processes,
files, memory, room on a disk, a reader."""
import errno
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clitools import PROGRAM, cli, out, rows

pytestmark = pytest.mark.own_process
NOBODY = 61234  # a user that nobody else is

AS_NOBODY = """
import os, resource, sys
os.setgroups([]); os.setgid(%d); os.setuid(%d)
resource.setrlimit(resource.RLIMIT_NPROC, (8, 8))
os.environ["TMPDIR"] = "/tmp"
""" % (NOBODY, NOBODY)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def many(*arguments, count=40):
    """The command line as a user that may have eight processes."""
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY + "os.execv(%r, %r + sys.argv[1:])"
         % (sys.executable, PROGRAM)] + list(arguments),
        input=b"0.1\n" * count, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=100)


@needs_root
@pytest.mark.parametrize("style", ["--group", "-u", "--lb", "-k"])
def test_too_many_processes_hold_the_queue(style):
    """All are run, each once, as fast as may be."""
    done = many(style, "-j20", "--summary", "sh", "-c",
                "echo {#}; exec sleep {}")
    assert done.returncode == 0, done.stderr
    assert b"40 commands, 0 failed" in done.stderr
    assert sorted(map(int, done.stdout.split())) == list(range(1, 41))


@needs_root
def test_a_try_that_found_no_process_is_no_attempt(tmp_path):
    report = tmp_path / "r"
    os.chmod(tmp_path, 0o777)
    for parent in tmp_path.parents[:3]:
        if parent != Path("/tmp"):
            os.chmod(parent, 0o755)
    done = many("-j20", "--retries", "2", "--timeout", "50", "--report",
                str(report), "sleep")
    assert done.returncode == 0, done.stderr
    assert {r["attempts"] for r in rows(report)} == {1}
    assert len(rows(report)) == 40


@needs_root
def test_the_pool_holds_it_too():
    done = subprocess.run([sys.executable, "-c", AS_NOBODY + """
from xlchild.pool import run_many
for options in ({}, {"attempts": 3}, {"capture": False},
                {"on_output": lambda *_: None}, {"starters": 2}):
    done = run_many([["sleep", "0.05"]] * 40, 20, **options)
    print(sum(result.success for result in done))
"""], stdout=subprocess.PIPE, timeout=100)
    assert done.stdout.split() == [b"40"] * 5


@needs_root
def test_what_threads_of_an_executor_start_waits_too():
    done = subprocess.run([sys.executable, "-c", AS_NOBODY.replace(
        "(8, 8)", "(17, 17)") + """
import threading
from concurrent.futures import ThreadPoolExecutor
from xlchild.pool import run_many
with ThreadPoolExecutor(10) as executor:
    all_here = threading.Barrier(10)  # threads are no matter of ours
    list(executor.map(lambda _: all_here.wait(), range(10)))
    done = run_many([["sleep", "0.05"]] * 40, 20, executor=executor)
print(sum(result.success for result in done),
      {result.attempts for result in done})
"""], stdout=subprocess.PIPE, timeout=100)
    assert done.stdout == b"40 {1}\n"


@pytest.mark.parametrize("number,running,tried,held", [
    (errno.EAGAIN, 1, 1, True), (errno.ENOMEM, 0, 1, True),
    (errno.ENFILE, 0, 1, True), (errno.EMFILE, 1, 1, True),
    (errno.EMFILE, 0, 2, True), (errno.EMFILE, 0, 1, False),
    (errno.ENOENT, 1, 2, False), (errno.EACCES, 0, 1, False),
    (None, 1, 1, False)])
def test_what_is_wanting_for_now(number, running, tried, held):
    from xlchild.pool._pressure import Pressure
    error = Exception() if number is None else OSError(number, "")
    assert Pressure().holds(error, running, tried) is held


def test_nobody_waits_for_ever(monkeypatch):
    """Where none of ours runs, time is what ends it; once for all."""
    from xlchild.pool import _pressure
    now = [100.0]
    monkeypatch.setattr(_pressure.time, "monotonic", lambda: now[0])
    pressure = _pressure.Pressure()
    error = OSError(errno.EAGAIN, "")
    pauses = []
    while pressure.holds(error, 0, 1):
        until = pressure.until(now[0], 0)
        pauses.append(until - now[0])
        now[0] = until
        assert pressure.until(now[0], 0) is None
    assert len(pauses) > 5 and pauses[0] < 0.1 and max(pauses) <= 1.0
    assert 10 <= sum(pauses) < 12
    assert not pressure.holds(error, 0, 1)  # the next one fails at once
    pressure.started()  # there is a process, and no program yet
    assert not pressure.holds(error, 0, 1)
    pressure.ran()
    assert pressure.holds(error, 0, 1)


def test_few_files():
    """Even where the first that are tried take all of them."""
    for style in ("--group", "-u", "--lb"):
        done = cli("-j40", style, "--summary", "sh", "-c", ":::",
                   *["sleep 0.1"] * 40, preexec_fn=lambda: resource.setrlimit(
                       resource.RLIMIT_NOFILE, (50, 50)))
        assert done.returncode == 0, done.stderr
        assert b"40 commands, 0 failed" in done.stderr


FEW = """if True:
    import resource, sys
    from xlchild.pool import Pool
    begun = []
    options = {
        "captured": {}, "inherited": {"capture": False},
        "starters": {"starters": 4}, "input": {},
        "on_output": {"on_output": lambda result, stream, data: None},
    }[sys.argv[1]]
    command = ["sh", "-c", "sleep 0.02; cat >/dev/null"]
    if sys.argv[1] == "input":
        command = command, b"x"
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with Pool(32, **options) as pool:
        done = list(pool.map([command] * 80))
        assert [result.error for result in done] == [None] * 80
        assert all(result.success for result in done)
        assert all(result.attempts == 1 for result in done)
        # nothing of it is left over: one that needs a few still starts
        assert next(pool.map([["true"]])).success
"""


@pytest.mark.parametrize("kind", ["captured", "inherited", "starters",
                                  "input", "on_output"])
def test_many_workers_and_few_files(kind):
    """C25: what cannot start for want of a file waits, and is no attempt."""
    subprocess.run([sys.executable, "-c", FEW, kind], check=True,
                   stdin=subprocess.DEVNULL, timeout=60)


# ---- no room ---------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for a megabyte."""
    if os.geteuid() != 0 or subprocess.call(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path],
            stderr=subprocess.DEVNULL):
        pytest.skip("cannot mount a tmpfs")
    yield tmp_path
    subprocess.check_call(["umount", "-l", tmp_path])


@pytest.mark.parametrize("script", [
    "head -c 3000000 /dev/zero",
    "head -c 3000000 /dev/zero 2>/dev/null; true",  # it does not look
    "head -c 3000000 /dev/zero >&2; true"])
@pytest.mark.parametrize("where", ["--tmpdir", "--results"])
def test_a_full_disk_is_said(small_disk, tmp_path_factory, where, script):
    report = tmp_path_factory.mktemp("report") / "r"
    done = cli("-k", "-j2", where, small_disk / "x" if where == "--results"
               else small_disk, "--report", report, "sh", "-c", script,
               "_", ":::", *"abc")
    assert done.returncode == 255
    assert b"its output may not be all there: " in done.stderr
    assert b"No space left on device" in done.stderr
    found = rows(report)
    assert found and not any(row["ok"] for row in found)
    assert all("No space" in row["error"] for row in found)


def test_one_that_was_cut_while_another_filled_the_disk(small_disk):
    """Its room comes back before the first one ends: it is said all the
    same."""
    inner, outer = os.pipe()
    fill = "head -c 3000000 /dev/zero 2>/dev/null; true"
    cut = "sleep 0.3; head -c 3000 /dev/zero 2>/dev/null; " \
        "read x < /proc/%d/fd/%d; true" % (os.getpid(), inner)
    with subprocess.Popen(
            PROGRAM + ["-j2", "--tmpdir", str(small_disk), "sh", "-c", ":::",
                       cut, "sleep 0.1; %s; sleep 0.6" % fill],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert b"job 2: its output" in process.stderr.readline()
        os.write(outer, b"go\n")
        assert b"job 1: its output" in process.stderr.read()
    os.close(inner)
    os.close(outer)
    assert process.returncode == 255


def test_a_small_disk_that_is_not_full_is_no_matter(small_disk):
    assert len(out("-j1", "--tmpdir", small_disk, "head", "-c", "700000",
                   text=b"/dev/zero\n")) == 700000


def test_a_pool_tells_which_output_was_cut(small_disk):
    done = subprocess.run([sys.executable, "-c", """
import os, sys
os.environ["TMPDIR"] = sys.argv[1]
from xlchild.pool import run_many
full, whole = run_many([["sh", "-c", "head -c 2000000 /dev/zero; true"],
                        ["echo", "x"]], 1)
print(full.status.success, full.success, full.error.filename == sys.argv[1])
print(whole.success, whole.error)
""", str(small_disk)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        check=True)
    assert done.stdout == b"True False True\nTrue None\n"


def test_a_folder_that_goes_away(tmp_path):
    """What cannot be started for that ends the run, with a word."""
    place = tmp_path / "gone"
    place.mkdir()
    done = cli("-j1", "--tmpdir", place, "sh", "-c", ":::",
               "(sleep 60 2>&-) >&- & rmdir %s" % place,
               *["echo %d" % n for n in range(200)])
    assert done.returncode in (0, 255)
    if done.returncode == 255:
        assert str(place).encode() in done.stderr
    done = cli("-j3", "--tmpdir", place, "true", ":::", "a")
    assert done.returncode == 255 and str(place).encode() in done.stderr


# ---- a reader --------------------------------------------------------------


def blocked(*arguments):
    """Its output is a pipe that is full and not read."""
    inner, outer = os.pipe()
    process = subprocess.Popen(
        PROGRAM + list(arguments), stdout=outer, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler))
    os.close(outer)
    end = time.monotonic() + 60
    poll = select.poll()
    poll.register(inner, select.POLLIN)
    assert poll.poll(60000)
    while True:  # until nothing more comes in
        size = int.from_bytes(_waiting(inner), sys.byteorder)
        if size >= 1 << 16 or time.monotonic() > end:
            return process, inner
        time.sleep(0.01)


def _waiting(fd):
    import fcntl
    import termios
    return fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")


def test_time_limits_hold_while_nobody_reads(tmp_path):
    report = tmp_path / "r"
    process, inner = blocked(
        "-j2", "-k", "--timeout", "0.3", "--report", str(report), "sh", "-c",
        ":::", "seq 100000", "trap 'echo x > %s; exit 1' TERM; "
        "while :; do sleep 0.02; done" % (tmp_path / "told"))
    end = time.monotonic() + 60
    while not (tmp_path / "told").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    with os.fdopen(inner, "rb") as pipe:
        assert len(pipe.read()) == 588895
    assert process.wait(60) == 1
    process.stderr.close()
    assert [r["timed_out"] for r in rows(report)] == [False, True]


def test_a_second_ctrl_c_ends_it_while_nobody_reads():
    process, inner = blocked("-j1", "sh", "-c", ":::", "seq 100000", "true")
    process.send_signal(signal.SIGINT)
    end = time.monotonic() + 60
    while process.poll() is None:
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert time.monotonic() < end
    os.close(inner)
    assert process.returncode == 130
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_slow_reader_gets_everything():
    process = subprocess.Popen(
        PROGRAM + ["-k", "-j2", "seq", ":::", *["50000"] * 4],
        stdout=subprocess.PIPE)
    size = 0
    while True:
        data = process.stdout.read1(1000)
        if not data:
            break
        size += len(data)
        if size % 7 == 0:
            time.sleep(0.001)
    process.stdout.close()
    assert process.wait(60) == 0 and size == 4 * 288894
