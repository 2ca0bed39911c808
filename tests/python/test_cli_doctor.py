"""xlchild doctor: what it says of processes whose state the test has made.

Each process says on a pipe that it is in that state, before the doctor looks.
"""
import os
import re
import subprocess
import sys
import time

import pytest
from clitools import PROGRAM, cli
from conftest import ROOT

from xlchild.cli import _doctor

pytestmark = pytest.mark.own_process
READY = "import os, signal, subprocess, sys, threading\n%s\n" \
    "print(os.getpid(), flush=True)\n%s\n"


class Patient:
    """A Python that does something, says so, and lives until its stdin ends."""

    def __init__(self, first, then="sys.stdin.read()", **options):
        self.process = subprocess.Popen(
            [sys.executable, "-c", READY % (first, then)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.pid = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


def doctor(pid):
    """What it says, line by line."""
    return _doctor.report(pid)


def line(lines, start):
    """The one that starts so."""
    (found,) = [each for each in lines if each.startswith(start)]
    return found


def until(pid, text):
    """Its lines once they say it: a thread that is about to wait says so
    nowhere else."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        lines = doctor(pid)
        if any(text in each for each in lines):
            return lines
    raise AssertionError("%r not in %r" % (text, lines))


def test_a_healthy_process():
    with Patient("") as patient:
        lines = doctor(patient.pid)
    assert lines[0].startswith("process %d (" % patient.pid)
    assert "at its default" in line(lines, "SIGCHLD:")
    assert line(lines, "children:") == "children: 0 live, 0 zombies"
    assert lines[-1] == "nothing is wrong, as far as /proc tells"


def test_ignored_sigchld_is_found():
    """C9: what the kernel throws away, and what to do."""
    with Patient("signal.signal(signal.SIGCHLD, signal.SIG_IGN)") as patient:
        lines = doctor(patient.pid)
    assert "ignored" in line(lines, "SIGCHLD:")
    assert "LOST 2" in line(lines, "- SIGCHLD is ignored")


def test_a_handler_that_is_blocked_everywhere_is_found():
    with Patient("signal.signal(signal.SIGCHLD, lambda *a: None)\n"
                 "signal.pthread_sigmask(signal.SIG_BLOCK, "
                 "[signal.SIGCHLD])") as patient:
        lines = doctor(patient.pid)
    assert "handled" in line(lines, "SIGCHLD:")
    assert "blocked in all" in line(lines, "threads: 1;")
    assert line(lines, "- SIGCHLD is handled, but blocked")


def test_zombies_and_live_children():
    first = "dead = subprocess.Popen(['true'])\n" \
        "os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)\n" \
        "live = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n" \
        "print(dead.pid, live.pid, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", READY % (first, "sys.stdin.read()")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    dead, live = process.stdout.readline().split()
    process.stdout.readline()
    lines = doctor(process.pid)
    process.communicate("")
    assert line(lines, "children:") == "children: 1 live, 1 zombies"
    assert "zombie" in line(lines, "  %s " % dead)
    assert " cat state " in line(lines, "  %s " % live)
    assert str(process.pid) in line(lines, "- 1 zombies")


def test_a_thread_that_waits_for_any_child():
    first = "child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n" \
        "waiter = threading.Thread(target=lambda: os.waitpid(-1, 0))\n" \
        "waiter.start()"
    with Patient(first, "sys.stdin.read()\nchild.stdin.close()\n"
                 "waiter.join()\nchild.returncode = 0") as patient:
        lines = until(patient.pid, "waits for any child")
    assert line(lines, "- thread ").endswith("(mainloop).")


def test_ours_are_told_from_others():
    """A child with a pidfd in a process that has the library mapped."""
    first = "import xlchild\n" \
        "mine = xlchild.Popen(['cat'], stdin=subprocess.PIPE)\n" \
        "other = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n" \
        "print(mine.pid, other.pid, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", READY % (
            first, "sys.stdin.read()\nmine.communicate()\n"
            "other.communicate()")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    mine, other = process.stdout.readline().split()
    process.stdout.readline()
    lines = doctor(process.pid)
    process.communicate("")
    assert "/xlchild/_libxl" in line(lines, "xlchild: ")
    assert "pidfd" in line(lines, "  %s " % mine)
    assert line(lines, "  %s " % mine).endswith("xlchild's, most likely")
    assert "no pidfd" in line(lines, "  %s " % other)


def test_full_fds_are_found():
    with Patient("import resource\n"
                 "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
                 "fds = [os.dup(0) for each in range(34)]") as patient:
        lines = doctor(patient.pid)
    assert "EMFILE" in line(lines, "- 37 of 40 fds")


def test_the_command():
    done = cli("doctor", os.getpid())
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"process %d (" % os.getpid() in done.stdout
    assert re.search(rb"^xlchild \S+, Python \S+, Linux ", done.stdout, re.M)
    assert b"kernel: pidfd " in done.stdout
    alone = cli("doctor")
    assert alone.returncode == 0 and b"kernel: pidfd " in alone.stdout
    assert cli("doctor", "--help").stdout.startswith(b"usage: xlchild doctor")


@pytest.mark.parametrize("words", [["x"], ["-1"], ["1", "2"], ["0"],
                                   ["999999999"]])
def test_what_is_no_process_is_refused_in_words(words):
    done = cli("doctor", *words)
    assert (done.returncode, done.stdout) == (255, b"")
    assert done.stderr.startswith(b"xlchild: ")


def test_a_program_of_that_name_can_be_run(tmp_path):
    program = tmp_path / "doctor"
    program.write_text("#!/bin/sh\necho \"mine $1\"\n")
    program.chmod(0o755)
    done = subprocess.run(
        [*PROGRAM, "--", "doctor", ":::", "a"], stdout=subprocess.PIPE,
        env=dict(os.environ, PATH="%s:%s" % (tmp_path, os.environ["PATH"])))
    assert (done.returncode, done.stdout) == (0, b"mine a\n")


def test_the_pages_it_names_are_there():
    text = (ROOT / "python/xlchild/cli/_doctor.py").read_text()
    named = set(re.findall(r"docs/[\w/.-]+\.md", text))
    assert named and all((ROOT / name).is_file() for name in named)
