"""What is imported when: the package pays for a name when it is asked for,
and the command line does without what is slow to import."""
import pickle
import subprocess
import sys

import pytest
from conftest import TINY

import xlchild

SLOW = {"argparse", "asyncio", "dataclasses", "enum", "inspect", "json",
        "locale", "logging", "re", "selectors", "shlex", "signal",
        "subprocess", "tempfile", "threading", "typing"}


def alone(*arguments):
    """Run this Python without what a site adds; its stderr."""
    done = subprocess.run([sys.executable, "-S", "-X", "importtime",
                           *arguments], input="1\n2\n",
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def imported(done):
    """The modules that -X importtime tells of."""
    return {line.split("|")[2].strip() for line in done.stderr.splitlines()
            if line.startswith("import time:") and line.count("|") == 2}


def test_import_xlchild_is_cheap():
    found = imported(alone("-c", "import xlchild"))
    assert "xlchild._libxl" in found
    assert not SLOW & found
    assert {name for name in found if name.startswith("xlchild")} \
        == {"xlchild", "xlchild._libxl"}


@pytest.mark.parametrize("options", [[], ["-u"], ["--timeout", "9", "-k"]])
def test_the_command_line_does_without_what_is_slow(options):
    found = imported(alone("-m", "xlchild", *options, TINY))
    assert "xlchild.pool._local" in found
    assert not SLOW & found


PROGRAM = """
import sys, xlchild
assert set(xlchild.__all__) <= set(dir(xlchild)), "dir"
before = set(sys.modules)
assert xlchild.DEVNULL == -3 and "Popen" not in vars(xlchild)
assert xlchild.run(["true"]).returncode == 0
assert "Popen" in vars(xlchild)
from xlchild import *
assert all(globals()[name] is getattr(xlchild, name)
           for name in xlchild.__all__), "*"
try:
    xlchild.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit("there is no such name")
try:
    from xlchild import nothing
except ImportError:
    pass
"""


def test_every_name_is_there_when_it_is_asked_for():
    alone("-c", PROGRAM)


def test_numbers_that_stand_for_subprocess_s_are_those():
    assert (xlchild.PIPE, xlchild.STDOUT, xlchild.DEVNULL) == (
        subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL)
    assert xlchild.TimeoutExpired is subprocess.TimeoutExpired


@pytest.mark.parametrize("name", [
    "KillScope.GROUP", "FreePolicy.KILL", "SigchldOwner.MAINLOOP",
    "LostReason.STOLEN", "Source.PIDFD", "StatusKind.LOST",
    "EventType.EXIT", "EndedBy.MEMORY"])
def test_enumerations_survive_a_pickle(name):
    kind, member = name.split(".")
    thing = getattr(getattr(xlchild, kind), member)
    assert pickle.loads(pickle.dumps(thing)) is thing
    assert xlchild.Status.LOST is xlchild.StatusKind.LOST


def test_a_name_may_be_replaced_before_it_is_asked_for():
    """As unittest.mock does, which takes the replacement away again."""
    alone("-c", """if True:
        from unittest import mock
        import xlchild
        with mock.patch("xlchild.Popen") as stand_in:
            stand_in.return_value.__enter__.return_value.communicate \\
                .return_value = b"x", None
            stand_in.return_value.__enter__.return_value.returncode = 0
            assert xlchild.run(["false"]).stdout == b"x"
        assert isinstance(xlchild.Popen, type)
        assert xlchild.call(["false"]) == 1
        """)


def test_threads_that_ask_at_once_get_the_same():
    alone("-c", """if True:
        import threading, xlchild
        ready = threading.Barrier(8)
        found = []
        def ask():
            ready.wait()
            found.append((xlchild.Popen, xlchild.run, xlchild.Status))
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert len(found) == 8 and len(set(found)) == 1
        """)


def test_signals_that_commands_are_to_ignore_are_found():
    """As nohup has it."""
    done = subprocess.run(
        ["sh", "-c", "trap '' HUP USR2; exec \"$@\"", "sh", sys.executable,
         "-m", "xlchild", "grep", "SigIgn"], input="/proc/self/status\n",
        capture_output=True, text=True)
    ignored = int(done.stdout.split()[1], 16)
    assert ignored == 1 << 0 | 1 << 11


def test_nothing_is_left_to_import_where_no_file_is_left():
    """What is asked of a status, or printed, needs no file of its own."""
    alone("-c", """if True:
        import os, resource, signal, xlchild
        done = xlchild.run(["sh", "-c", "kill -9 $$"])
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        assert str(done.status) == "signal SIGKILL"
        assert done.status.kind is xlchild.Status.SIGNALED
        assert done.rusage.ru_maxrss > 0 and done.lost is None
        assert done.status.source.name == "REAPED"
        assert xlchild.Lost(1).reason.text and xlchild.KillPolicy().scope == 0
        try:
            xlchild.spawn(["true"])
        except xlchild.SpawnError as error:
            words = str(error)
        assert "all 40 that RLIMIT_NOFILE allows" in words, words
        os.close(taken.pop())
        assert xlchild.spawn(["true"]).wait().success
        """)
