"""docs/tasks/pid-1.md, as process 1 of a namespace of its own: its program in
Python and its program in C, and beside them tini, which is an init and no more.
"""
import ast
import os
import re
import shlex
import shutil
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


ENTRY = ast.literal_eval(re.search(r"ENTRYPOINT (.*)", PAGE)[1])
assert ENTRY[-2:] == ["python3", "init.py"]
SIGNALS_KEPT = ENTRY[:-2]  # what goes before an init so that none is lost
# As tini has it: its own, and whatever the program has to say beside it.
TINI = ["tini", "--"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The page's programs, by language: words that run them."""
    folder = tmp_path_factory.mktemp("init")
    (folder / "init.py").write_text(
        re.search(r"```python\n(.*?)```", PAGE, re.S)[1])
    source = folder / "init.c"
    source.write_text(re.search(r"```c\n(.*?)```", PAGE, re.S)[1])
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror",
                    "-Wno-unused-parameter", "-I%s" % (ROOT / "c/include"),
                    "-o", folder / "init", source,
                    ROOT / "build/c/libxlchild.a", "-lpthread"], check=True)
    return {"python": [sys.executable, str(folder / "init.py")],
            "c": [str(folder / "init")]}


@pytest.fixture(scope="module")
def enter():
    return namespace()


@pytest.fixture(params=["python", "c"])
def init(request, programs, enter):
    """The command that runs the page's program as process 1."""
    return enter + programs[request.param]


@pytest.fixture
def orphan_line(init):
    """How it tells of an orphan."""
    return b"orphan: exit %d" if "init.py" in init[-1] else b"orphan: %d"


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


def test_orphans_are_reaped_and_told_of(init, orphan_line):
    """Each once; none stays a zombie; the exit status is the command's."""
    done = subprocess.run(init + ["sh", "-c", ORPHANS], timeout=100,
                          stdout=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stdout.splitlines() == [orphan_line % code
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


def test_what_the_page_says_to_try(init, orphan_line):
    words = re.search(r"    (sh -c .*)\n", PAGE)[1]
    done = subprocess.run(init + shlex.split(words), timeout=100,
                          stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (3, orphan_line % 7 + b"\n")


def pid_of(unshare):
    """The process that it has forked."""
    with open("/proc/%d/task/%d/children" % (unshare, unshare)) as children:
        return int(children.read().split()[0])


def begun(process, init):
    """Process 1's pid, from the instant at which it is the init."""
    own = os.path.basename(os.path.realpath(init[0]))
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        try:
            pid = pid_of(process.pid)
            if os.path.basename(os.readlink("/proc/%d/exe" % pid)) == own:
                assert pid > 1
                return pid
        except (OSError, IndexError):
            pass


@pytest.mark.parametrize("moment", range(8))
@pytest.mark.parametrize("language", ["python", "c"])
def test_sigterm_counts_at_any_moment(programs, enter, language, moment):
    """From the first instruction of the program on: before the command is
    started, meanwhile and after."""
    init = programs[language]
    with subprocess.Popen(enter + SIGNALS_KEPT + init
                          + [CHILD, "pause"]) as process:
        pid = begun(process, init)
        for _ in range(moment * (4 if language == "python" else 1)):
            os.readlink("/proc/%d/exe" % pid)
            time.sleep(0.002)  # the moment itself
        os.kill(pid, signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("language", ["python", "c"])
@pytest.mark.parametrize("command, code", [
    (["true"], 0), ([CHILD, "exit", "5"], 5), (["/nonexistent"], 127)])
def test_a_storm_of_signals_hides_no_status(programs, enter, language,
                                            command, code):
    """One a millisecond until it is gone: also between the lines of its end."""
    gate = ["sh", "-c", 'echo; read gate; exec "$@"', "sh"]
    for _ in range(2):
        with subprocess.Popen(
                enter + gate + SIGNALS_KEPT + programs[language] + command,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"\n"
            pid = pid_of(process.pid)
            assert pid > 1
            process.stdin.write(b"\n")
            process.stdin.close()
            try:
                while True:
                    os.kill(pid, signal.SIGWINCH)  # which harms no command
                    time.sleep(0.001)  # or its handlers never get to end
            except ProcessLookupError:
                pass
            said = process.stderr.read()
            assert process.wait(60) == code
            assert b"Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT,
                                    signal.SIGQUIT, signal.SIGUSR1,
                                    signal.SIGUSR2, signal.SIGTERM])
def test_signals_are_passed_on(init, number):
    with subprocess.Popen(
            init + [CHILD, "on-signal-exit", str(int(number)), "9", "say",
                    "ready", "pause"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        pid = pid_of(process.pid)
        assert pid > 1
        os.kill(pid, number)
        assert process.wait(60) == 9


@pytest.mark.parametrize("command", [
    ["true"], [CHILD, "exit", "42"], [CHILD, "signal", "9"],
    [CHILD, "signal", "15"], ["/nonexistent"], ["nonexistent-command"],
    ["/etc/passwd"], ["sh", "-c", ORPHANS]],
    ids=lambda command: " ".join(command[:3])[-24:].replace("\n", " "))
def test_beside_tini(programs, enter, command):
    """The exit status is the same as under an init that is nothing else."""
    if shutil.which("tini") is None:
        pytest.skip("tini is not installed")
    codes = {name: subprocess.run(
        enter + words + command, timeout=100, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL).returncode
        for name, words in dict(programs, tini=TINI).items()}
    assert codes["python"] == codes["c"] == codes["tini"]
