"""docs/tasks/pid-1.md, as process 1 of a namespace of its own."""
import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from conftest import CHILD, ROOT

pytestmark = pytest.mark.own_process
PAGE = (ROOT / "docs/tasks/pid-1.md").read_text()
ENTER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def namespace():
    """How to enter one here; skips the test where nobody may."""
    for command in (ENTER, ENTER[:1] + ["--user", "--map-root-user"]
                    + ENTER[1:]):
        try:
            if subprocess.run(command + ["true"],
                              stderr=subprocess.DEVNULL).returncode == 0:
                return command
        except FileNotFoundError:
            break
    pytest.skip("no pid namespace can be made here")


@pytest.fixture
def init(tmp_path):
    """The command that runs the page's program as process 1."""
    program = tmp_path / "init.py"
    program.write_text(re.search(r"```python\n(.*?)```", PAGE, re.S)[1])
    return namespace() + [sys.executable, str(program)]


# Waits until it is an orphan.
LAST = """
while read -r pid name state parent rest < /proc/$$/stat; do
    test $parent = 1 && exit $0
done
"""
ORPHANS = "LAST='" + LAST + """'
test $PPID = 1 || exit 99
for code in 7 8 9; do
    # the middle one is gone at once, and its child becomes process 1's
    orphan=$(sh -c 'sh -c "$1" "$0" > /dev/null & echo $!' $code "$LAST")
    while [ -e /proc/$orphan ]; do :; done
done
for status in /proc/[0-9]*/stat; do
    case $(cat $status 2>/dev/null) in *') Z '*) exit 98;; esac
done
exit 3
"""


def test_orphans_are_reaped_and_told_of(init):
    """Each once; none stays a zombie; the exit status is the command's."""
    done = subprocess.run(init + ["sh", "-c", ORPHANS], timeout=100,
                          stdout=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stdout.splitlines() == [b"orphan: exit %d" % code
                                        for code in (7, 8, 9)]


def test_sigterm_reaches_the_command(init):
    """Process 1 passes it on; the command's answer is the container's."""
    with subprocess.Popen(
            init + ["sh", "-c", "trap 'echo told; exit 5' TERM; "
                    "echo ready; while :; do sleep 0.02; done"],
            stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        # unshare does not pass signals on: name the process it has forked
        with open("/proc/%d/task/%d/children"
                  % (process.pid, process.pid)) as children:
            pid = int(children.read())
        assert pid > 1
        subprocess.run(["kill", "-TERM", str(pid)], check=True)
        lines = process.stdout.read().splitlines()
        assert lines[0] == b"told"
        assert process.wait(60) == 5


def test_a_killed_command_is_128_and_the_signal(init):
    done = subprocess.run(init + [CHILD, "signal", str(int(signal.SIGKILL))],
                          timeout=100, stdout=subprocess.DEVNULL)
    assert done.returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize("command, code", [
    (["/nonexistent"], 127), (["/etc/passwd"], 126)])
def test_a_command_that_cannot_be_executed(init, command, code):
    done = subprocess.run(init + command, timeout=100,
                          stderr=subprocess.PIPE)
    assert done.returncode == code
    assert command[0].encode() in done.stderr


def test_what_the_page_says_to_try(init):
    words = re.search(r"    (sh -c .*)\n", PAGE)[1]
    done = subprocess.run(init + shlex.split(words), timeout=100,
                          stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (3, b"orphan: exit 7\n")


def pid_of(unshare):
    """The process that it has forked."""
    with open("/proc/%d/task/%d/children" % (unshare, unshare)) as children:
        return int(children.read().split()[0])


@pytest.mark.parametrize("moment", range(12))
def test_sigterm_counts_at_any_moment(init, moment):
    """From the first instruction of the interpreter on."""
    entry = ast.literal_eval(re.search(r"ENTRYPOINT (.*)", PAGE)[1])
    at = len(init) - 2
    assert entry[-2:] == ["python3", "init.py"]
    with subprocess.Popen(init[:at] + entry[:-2] + init[at:]
                          + [CHILD, "pause"]) as process:
        deadline = time.monotonic() + 60
        while True:  # until process 1 is Python
            assert time.monotonic() < deadline
            try:
                pid = pid_of(process.pid)
                if "python" in os.readlink("/proc/%d/exe" % pid):
                    break
            except (OSError, IndexError):
                pass
        assert pid > 1
        for _ in range(moment * 3):
            os.readlink("/proc/%d/exe" % pid)
            time.sleep(0.002)  # the moment itself
        os.kill(pid, signal.SIGTERM)
        assert process.wait(60) in (128 + signal.SIGTERM, 143)
