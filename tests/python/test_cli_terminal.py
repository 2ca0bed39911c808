"""The command line on a terminal: a pseudo-terminal of its own, with a shell
that has job control where that matters."""
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from clitools import PROGRAM, cli, out, rows

pytestmark = pytest.mark.own_process
SECONDS = 60
X = " ".join(PROGRAM)
STOPPED = "TD"  # D: its child was stopped between vfork and exec


class Terminal:
    """A process that leads a session on a terminal of its own."""

    def __init__(self, *command, size=(24, 80), env=None, ignore=()):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                for signo in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP,
                              signal.SIGHUP):
                    signal.signal(signo, signal.SIG_IGN if signo in ignore
                                  else signal.SIG_DFL)
                self.resize(*size, fd=0)
                os.execvpe(command[0], command,
                           {**os.environ, "TERM": "xterm", **(env or {})})
            finally:
                os._exit(127)

    def resize(self, lines, columns, fd=None):
        fcntl.ioctl(self.fd if fd is None else fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text)

    def _read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError as error:
            assert error.errno == errno.EIO
            data = b""
        self.seen += data
        return bool(data)

    def until(self, pattern):
        """Read until it is seen; what was before is forgotten."""
        end = time.monotonic() + SECONDS
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found
            assert time.monotonic() < end and self._read(0.2), \
                (pattern, self.seen)

    def end(self):
        """Its exit status; all that was written is read."""
        end = time.monotonic() + SECONDS
        while self._read(0.2):
            assert time.monotonic() < end, self.seen
        return self.wait()

    def wait(self):
        pid, self.pid = self.pid, None
        status = os.waitpid(pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status) \
            if hasattr(os, "waitstatus_to_exitcode") \
            else os.WEXITSTATUS(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid is not None and self.pid > 1:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def state(pid):
    """The letter of a process: S, T, Z; "" if there is none."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def reaches(pid, letters):
    """Wait until its state is one of these."""
    end = time.monotonic() + SECONDS
    while state(pid) not in letters:
        assert time.monotonic() < end, (pid, state(pid), letters)
        time.sleep(0.01)


# ---- who may use it --------------------------------------------------------

ASK = "read x < /dev/tty || exit 7; echo got $x"


@pytest.mark.parametrize("style", [[], ["-u"], ["--lb"], ["-k", "-j3"]])
def test_a_command_that_may_not_gets_an_error(style):
    """It is not stopped for ever, even if it insists."""
    with Terminal(*PROGRAM, *style, "sh", "-c", ASK, ":::", "1") as terminal:
        assert terminal.end() == 1
        assert b"got" not in terminal.seen
    with Terminal(*PROGRAM, *style, sys.executable, "-c",
                  "import os, sys, termios\n"
                  "try: os.open('/dev/tty', os.O_RDWR)\n"
                  "except OSError as error: print('no', error.errno)\n"
                  "try: os.read(2, 1)\n"
                  "except OSError as error: print('nor', error.errno)\n"
                  if "-u" not in style else "print('no 6')", ":::",
                  "1") as terminal:
        assert terminal.end() == 0
        assert b"no 6" in terminal.seen


def test_password_programs_are_told_that_there_is_no_terminal():
    program = "import getpass, warnings; warnings.simplefilter('error'); " \
        "getpass.getpass()"
    with Terminal(*PROGRAM, sys.executable, "-c", program, ":::",
                  "1") as terminal:
        assert terminal.end() == 1
        assert b"Can not control echo" in terminal.seen


@pytest.mark.parametrize("option", ["-o", "--tty", "--open-tty"])
def test_a_command_that_may_use_it_can(option):
    """One after the other, through standard input and by its name."""
    with Terminal(*PROGRAM, option, "sh", "-c",
                  "printf 'name: '; read x; echo 1$x; stty -echo </dev/tty; "
                  "echo off; read y </dev/tty; stty echo; echo 2$y", "_",
                  ":::", "a", "b") as terminal:
        for _ in "ab":
            terminal.until(b"name: ")
            terminal.type(b"me\n")
            terminal.until(b"1me\r\n")
            terminal.until(b"off\r\n")
            terminal.type(b"secret\n")
            terminal.until(b"2secret\r\n")
        assert terminal.end() == 0
        assert b"secret" not in terminal.seen


def test_a_terminal_also_in_lines_or_grouped():
    for style in (["--lb"], ["--group"]):
        with Terminal(*PROGRAM, "-o", *style, "sh", "-c",
                      "printf 'name: ' >/dev/tty; read x; echo got $x",
                      ":::", "a") as terminal:
            terminal.until(b"name: ")
            terminal.type(b"me\n")
            terminal.until(b"got me\r\n")
            assert terminal.end() == 0


def test_without_a_terminal_that_is_said():
    done = cli("--tty", "cat", ":::", "a", start_new_session=True)
    assert done.returncode == 255 and b"/dev/tty: " in done.stderr


# ---- keys ------------------------------------------------------------------


@pytest.mark.parametrize("style", ["--group", "-u", "--lb"])
def test_ctrl_z_stops_the_commands_and_fg_continues_them(style, tmp_path):
    """By an interactive shell; with all that a command has started."""
    pids = tmp_path / "pids"
    go = tmp_path / "go"
    script = "echo $$ >> %s; sh -c 'echo $$ >> %s; " \
        "while ! test -e %s; do sleep 0.02; done'; echo done" % (
            pids, pids, go)
    with Terminal("bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(("%s %s -j2 --report %s/r sh -c ::: \"%s\" "
                    "\"%s\"\n" % (
                        X, style, tmp_path, script.replace("$", "\\$"),
                        script.replace("$", "\\$"))).encode())
        end = time.monotonic() + SECONDS
        while not pids.exists() or len(pids.read_text().split()) < 4:
            assert time.monotonic() < end
            time.sleep(0.01)
        jobs = list(map(int, pids.read_text().split()))
        shell.type(b"\x1a")
        shell.until(rb"Stopped")
        for pid in jobs:
            reaches(pid, STOPPED)
        shell.type(b"fg; echo rc $?\n")
        for pid in jobs:
            reaches(pid, "SR")
        go.touch()
        assert shell.until(rb"rc (\d+)\r\n").group(1) == b"0"
        shell.type(b"exit\n")
        shell.end()
    assert [row["ok"] for row in rows(tmp_path / "r")] == [True, True]


def test_ctrl_z_of_a_command_on_the_terminal(tmp_path):
    """It gets the key itself; fg continues both."""
    with Terminal("bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(("%s --tty sh -c 'echo re\"\"ady $$; read x; echo got $x'"
                    " _ ::: a\n" % X).encode())
        job = int(shell.until(rb"ready (\d+)\r\n").group(1))
        shell.type(b"\x1a")
        shell.until(rb"Stopped")
        reaches(job, STOPPED)
        shell.type(b"fg\n")
        reaches(job, "SR")
        shell.type(b"me\n")
        shell.until(rb"got me\r\n")
        shell.type(b"echo rc $?\n")
        assert shell.until(rb"rc (\d+)\r\n").group(1) == b"0"


def test_the_time_that_it_stood_still_is_nobodys():
    """As if a command that takes 0.6 s had been stopped for a minute, with
    time limits of half a minute."""
    from xlchild.pool import Pool
    done = []
    with Pool(2, timeout=30, total_timeout=40) as pool:
        for result in pool.as_completed([["true"], ["sleep", "0.6"]]):
            done.append(result)
            if len(done) == 1:
                run = pool._run_now
                pool._time_passed(60)
                assert run.until - time.monotonic() > 60
                assert all(when - time.monotonic() > 60
                           for when, _ in run._deadlines)
    assert [result.success for result in done] == [True, True]
    with Pool(1, timeout=0.3) as pool:  # and after it the limit holds
        runs = pool.as_completed([["true"], ["sleep", "60"]])
        next(runs)
        pool._time_passed(0.2)
        (late,) = runs
    assert late.timed_out


def test_ctrl_z_and_then_it_is_ended(tmp_path):
    """`kill %1` of what is stopped ends the commands, too."""
    pids = tmp_path / "pids"
    with Terminal("bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(("%s sh -c ::: 'echo $$ >> %s; sleep 1000; true'\n"
                    % (X, pids)).encode())
        end = time.monotonic() + SECONDS
        while not pids.exists() or not pids.read_text():
            assert time.monotonic() < end
            time.sleep(0.01)
        job = int(pids.read_text())
        shell.type(b"\x1a")
        shell.until(rb"Stopped")
        reaches(job, STOPPED)
        with open("/proc/%d/stat" % job) as file:
            ours = int(file.read().rpartition(")")[2].split()[1])
        shell.type(b"kill %1\n")
        reaches(job, ("",))
        reaches(ours, ("",))


def test_ctrl_c_once_and_twice(tmp_path):
    script = "trap 'echo told' TERM; echo ready; while :; do sleep 0.02; done"
    with Terminal(*PROGRAM, "-u", "--kill-after", "0.2", "sh", "-c", ":::",
                  script) as terminal:
        terminal.until(b"ready")
        terminal.type(b"\x03")
        terminal.until(b"told")
        assert terminal.end() == 130
    with Terminal(*PROGRAM, "-u", "--kill-after", "1000", "sh", "-c", ":::",
                  script) as terminal:
        terminal.until(b"ready")
        terminal.type(b"\x03")
        terminal.until(b"told")
        terminal.type(b"\x03")
        assert terminal.end() == 130


def test_ctrl_c_of_a_command_on_the_terminal():
    """It gets the key itself, and may take its time; no other starts."""
    with Terminal(*PROGRAM, "--tty", "sh", "-c", "trap 'echo mine; exit 5' "
                  "INT; echo ready; while :; do sleep 0.02 & wait; done",
                  "_", ":::",
                  "a", "b") as terminal:
        terminal.until(b"ready")
        terminal.type(b"\x03")
        terminal.until(b"mine")
        assert terminal.end() == 130
        assert b"ready" not in terminal.seen


def test_the_terminal_goes_away(tmp_path):
    """SIGHUP ends the commands; nohup's do not mind."""
    told = tmp_path / "told"
    terminal = Terminal(*PROGRAM, "-u", "--kill-after", "50", "sh", "-c",
                        ":::", "trap 'echo bye > %s; exit' TERM; "
                        "echo ready; while :; do sleep 0.02; done" % told)
    terminal.until(b"ready")
    pid, terminal.pid = terminal.pid, None
    os.close(terminal.fd)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 129
    assert told.read_text() == "bye\n"


@pytest.mark.parametrize("style", ["--group", "-u", "--lb"])
@pytest.mark.parametrize("signo", ["HUP", "INT", "TERM", "USR1"])
def test_what_is_to_be_ignored_is_by_the_commands(style, signo):
    """As nohup has it; and nothing else is."""
    number = getattr(signal, "SIG" + signo)
    script = "kill -%s $$; echo survived" % signo
    assert out(style, "sh", "-c", ":::", script, preexec_fn=lambda:
               signal.signal(number, signal.SIG_IGN)) == b"survived\n"
    assert cli(style, "sh", "-c", ":::", script, preexec_fn=lambda:
               signal.signal(number, signal.SIG_DFL)).returncode == 1
    assert cli(style, "sh", "-c", ":::", "kill -PIPE $$; echo no"
               ).returncode == 1


def test_nohup(tmp_path):
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        ["nohup", *PROGRAM, "-k", "sh", "-c", ":::",
         "touch %s; while test -e %s; do sleep 0.02; done; echo end"
         % (ready, ready)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    end = time.monotonic() + SECONDS
    while not ready.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    ready.unlink()
    assert process.communicate(timeout=SECONDS)[0] == b"end\n"
    assert process.returncode == 0


# ---- the bar ---------------------------------------------------------------


def screen(data, columns):
    """The lines that a terminal would show, and what the last one had."""
    lines, line, at, most = [], [], 0, 0
    text = re.sub(rb"\x1b\[\d*m", b"", data)
    place = 0
    while place < len(text):
        if text[place:place + 3] == b"\x1b[K":
            del line[at:]
            place += 3
            continue
        sign = text[place:place + 1]
        place += 1
        if sign == b"\r":
            at = 0
        elif sign == b"\n":
            lines.append(b"".join(line))
            line, at = [], 0
        else:
            assert sign != b"\x1b", text[place - 1:place + 8]
            line[at:at + 1] = [sign]
            at += 1
            most = max(most, at)
    assert most < columns, most
    return lines, b"".join(line)


def drawn(*arguments, columns=80, env=None, stdout=None):
    """What is seen of a run on a terminal, and the raw bytes."""
    with Terminal("sh", "-c", '"$@" %s' % (stdout or ""), "sh", *PROGRAM,
                  *arguments, size=(24, columns), env=env) as terminal:
        code = terminal.end()
        return code, screen(terminal.seen, columns), terminal.seen


@pytest.mark.parametrize("kind,shown", [
    ("--bar", rb"100% \[#+\] 3/3"), ("--eta", rb"100% \[#+\] 3/3, ETA 0s"),
    ("--progress", rb"3/3, 0 running")])
def test_the_kinds_of_bar(kind, shown):
    """Drawn without any package; gone at the end, between the output."""
    code, (lines, last), raw = drawn(kind, "-k", "echo", ":::", *"abc")
    assert code == 0 and (lines, last) == ([b"a", b"b", b"c"], b"")
    assert re.search(shown, raw)
    assert b"tqdm" not in raw


def test_a_bar_of_lines_from_a_file_knows_how_many(tmp_path):
    (tmp_path / "in").write_text("1\n2\n3")
    code, _, raw = drawn("--bar", "-a", str(tmp_path / "in"), "true")
    assert code == 0 and b" 3/3" in raw
    code, _, raw = drawn("--bar", "--header", ":", "-n2", "-a",
                         str(tmp_path / "in"), "true")
    assert code == 0 and b" 1/1" in raw
    with Terminal("sh", "-c", "seq 3 | %s --bar true" % X) as terminal:
        assert terminal.end() == 0
        assert re.search(rb"\r3\x1b", terminal.seen)


def test_the_time_that_is_left_goes_on_while_nothing_ends(tmp_path):
    go = tmp_path / "go"
    with Terminal(*PROGRAM, "--eta", "-j1", "sh", "-c", ":::", "true",
                  "while ! test -e %s; do sleep 0.02; done" % go,
                  "true") as terminal:
        for seconds in (b"[1-9]", b"[2-9]"):
            terminal.until(rb"1/3, ETA %ss" % seconds)
        go.touch()
        assert terminal.end() == 0


@pytest.mark.parametrize("columns", [1, 2, 5, 12, 20, 40, 200])
def test_a_narrow_terminal(columns):
    code, (lines, last), _ = drawn(
        "--eta", "-j1", "sh", "-c", "exit $0", ":::", *"0101",
        columns=columns, stdout=">/dev/null")
    assert code == 2 and lines == [] and last.strip() == b""


def test_a_terminal_that_becomes_narrow(tmp_path):
    go = tmp_path / "go"
    with Terminal(*PROGRAM, "--bar", "-j1", "sh", "-c", ":::", "true",
                  "while ! test -e %s; do sleep 0.02; done" % go,
                  *["sleep 0.01"] * 30) as terminal:
        terminal.until(rb"1/32\x1b\[K")
        terminal.resize(24, 30)
        go.touch()
        assert terminal.end() == 0
        screen(terminal.seen, 30)
        assert b"32/32" in terminal.seen


def test_colours_only_where_they_are_wanted():
    failing = ["--bar", "-j1", "false", ":::", "a", "b"]
    assert b"\x1b[31m1 failed\x1b[0m" in drawn(*failing)[2]
    assert b"\x1b[31m" not in drawn(*failing, env={"NO_COLOR": "1"})[2]
    assert b"\x1b[31m" in drawn(*failing, env={"NO_COLOR": ""})[2]
    code, (lines, last), raw = drawn(*failing, env={"TERM": "dumb"})
    assert code == 2 and b"\x1b" not in raw and last.strip() == b""
    assert b"\x1b" not in drawn("--bar", "true", ":::", "a",
                                stdout="2>/dev/null")[2]


def test_a_bar_in_the_background_is_not_drawn(tmp_path):
    with Terminal("bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(("stty tostop; %s --bar true ::: 1 2 3 & wait; "
                    "echo rc $?\n" % X).encode())
        shell.until(rb"rc 0\r\n")
        shell.type(b"exit\n")
        shell.end()
        assert b"3/3" not in shell.seen


def test_reading_from_the_terminal_is_said():
    with Terminal(*PROGRAM, "-k", "echo", "got") as terminal:
        terminal.until(b"reading lines from the terminal")
        terminal.type(b"a\n\x04")
        assert terminal.end() == 0
        assert b"got a\r\n" in terminal.seen
