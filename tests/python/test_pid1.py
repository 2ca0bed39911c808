"""docs/tasks/pid-1.md, as process 1 of a namespace of its own."""
import re
import signal
import subprocess
import sys

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
