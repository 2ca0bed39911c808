"""python -m xlchild: the options, the exit status, the accounts, the end."""
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import tempfile

import pytest
from clitools import PROGRAM, cli, out, rows
from conftest import CHILD

from xlchild.cli import main

pytestmark = pytest.mark.own_process

# ---- input and commands ----------------------------------------------------


def test_each_line_is_a_command():
    assert out("-k", "-j2", text=b"echo one\n\necho 'two  three'") \
        == b"one\ntwo  three\n"


@pytest.mark.parametrize("template,expected", [
    (["echo", "a"], b"a d/x.c\n"),
    (["echo", "<{}>"], b"<d/x.c>\n"),
    (["echo", "{.}", "{/}", "{//}", "{/.}", "{#}"], b"d/x x.c d x 1\n"),
    (["echo", "{1}", "{1/.}", "{2}"], b"d/x.c x \n"),
    (["-I", "%", "echo", "%", "{}"], b"d/x.c {}\n"),
    (["--shell", "echo {} | tr a-z A-Z"], b"D/X.C\n"),
])
def test_templates(template, expected):
    assert out(*template, text=b"d/x.c\n") == expected


def test_lines_are_quoted_for_the_shell():
    assert out("-k", "--shell", "printf '<%s>' {}", ":::", "it's $HOME", "") \
        == b"<it's $HOME><>"


def test_other_ends_of_lines_and_a_file(tmp_path):
    lines = tmp_path / "lines"
    lines.write_bytes(b"a b\0c\nd\0")
    assert out("-k", "-0", "-a", lines, "printf", "<%s>\n") \
        == b"<a b>\n<c\nd>\n"
    assert out("-k", "-d", ",", "printf", "<%s>", text=b"a,b\n,c") \
        == b"<a><b\n><c>"
    assert out("-d", r"\t", "echo", text=b"x\ty") in (b"x\ny\n", b"y\nx\n")


def test_bytes_that_are_no_text_come_through():
    assert out("echo", text=b"\xff\xfe\n") == b"\xff\xfe\n"


def test_several_lines_a_command():
    assert out("-k", "-n2", "echo", text=b"1\n2\n3\n4\n5\n") \
        == b"1 2\n3 4\n5\n"
    assert out("-k", "-n", "2", "echo", "{2}-{1}", ":::", "a", "b", "c") \
        == b"b-a\n-c\n"
    assert out("-n3", "printf", "<%s>", "{}", ":::", "a b", "c") \
        == b"<a b><c>"


def test_lists_are_combined():
    assert out("-k", "echo", ":::", "a", "b", ":::", "1", "2") \
        == b"a 1\na 2\nb 1\nb 2\n"


def test_nothing_to_do():
    assert out("false") == b"" and out("false", ":::") == b""


def test_dry_run_runs_nothing(tmp_path):
    assert out("--dry-run", "touch", tmp_path / "x", ":::", "a b") \
        == b"touch %s 'a b'\n" % os.fsencode(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_wd_and_nice(tmp_path):
    assert out("--wd", tmp_path, "pwd", ":::", "-P") \
        == os.fsencode(tmp_path) + b"\n"
    # what nice is asked to add to what it has
    assert out("--nice", "5", "nice", ":::", "nice") == b"15\n"


# ---- what is wrong is named ------------------------------------------------


@pytest.mark.parametrize("arguments,named", [
    (["-j--1"], "-j"), (["-j", "x"], "-j"), (["-j", "0%"], "-j"),
    (["--timeout", "x"], "--timeout"), (["--timeout=-1"], "--timeout"),
    (["--timeout", "5y"], "--timeout"), (["--delay", ""], "--delay"),
    (["--total-timeout", "nan"], "--total-timeout"),
    (["--retries", "0"], "--retries"), (["--backoff", "z"], "--backoff"),
    (["--kill-after", "z"], "--kill-after"), (["-n0", "x"], "-n"),
    (["--halt", "maybe"], "--halt"), (["--halt", "now,fail=0"], "--halt"),
    (["-d", "ab"], "-d"), (["-d", "x", "-0"], "-0"), (["-n2"], "-n"),
    (["-I", "", "x"], "-I"), (["-I", "x"], "-I"),
    (["--nice", "x"], "--nice"), (["--unknown"], "--unknown"),
    (["--resume"], "--report"), (["--resume-failed"], "--report"),
    (["-u", "-k"], "--keep-order"), (["-u", "--tag"], "--tag"),
    (["-u", "--lb"], "--line-buffer"),
    (["-n2", "x", ":::", "a", ":::", "b"], "-n"),
    (["--scheduler", "x", "-u"], "--scheduler"),
])
def test_wrong_use_is_named(arguments, named, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 255
    text = capsys.readouterr()
    assert text.out == "" and text.err.startswith("xlchild: ")
    assert named in text.err


@pytest.mark.parametrize("arguments,named", [
    (["-a", "/nonexistent/lines"], "/nonexistent/lines: No such file"),
    (["-a", "/"], "directory"),
    (["--report", "/nonexistent/r"], "/nonexistent/r: No such file"),
    (["--report", "/"], "/: Is a directory"),
    (["--joblog", "/nonexistent/r"], "/nonexistent/r: No such file"),
    (["--tmpdir", "/nonexistent"], "/nonexistent"),
    (["--results", "/dev/null/x"], "/dev/null/x: Not a directory"),
    (["--resume", "--report", "/"], "/: Is a directory"),
    (["echo", "{0}", ":::", "a"], "{0}"),
])
def test_what_cannot_be_used_is_named(arguments, named):
    done = cli(*arguments, text=b"true\n")
    assert (done.returncode, done.stdout) == (255, b"")
    assert named in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_line_that_is_no_command_is_one_that_fails(tmp_path):
    """Those before and after it run; the account has all."""
    report = tmp_path / "report"
    done = cli("-k", "--report", report, "--retries", "3",
               text=b"echo a\necho 'b\necho c\necho d\\")
    assert (done.returncode, done.stdout) == (2, b"a\nc\n")
    assert b"job 2: no closing quotation" in done.stderr
    assert b"job 4: a backslash at the end" in done.stderr
    assert [(r["seq"], r["ok"], r["args"]) for r in rows(report)] == [
        (1, True, ["echo", "a"]), (2, False, ["echo 'b"]),
        (3, True, ["echo", "c"]), (4, False, ["echo d\\"])]


def test_help_has_every_exit_status():
    text = out("--help").decode()
    for code in ("101", "124", "130", "143", "141", "255"):
        assert code in text


# ---- exit status and halting -----------------------------------------------


def test_exit_status_counts_failures():
    assert cli("-j4", "sh", "-c", ":::", *["exit 1"] * 3,
               "exit 0").returncode == 3
    assert cli("-j4", "false", ":::", *"abcdefghij" * 11).returncode == 101
    done = cli(":::", "/nonexistent")
    assert done.returncode == 1
    assert b"job 1: [stage exec]" in done.stderr
    assert b"/nonexistent" in done.stderr


def test_timeouts():
    done = cli("--summary", "--timeout", "0.2s", "sleep", ":::", "30")
    assert done.returncode == 1 and b"1 timed out" in done.stderr
    done = cli("--summary", "--total-timeout", "0.2", "-j2", "sleep", ":::",
               "30", "30", "30")
    assert done.returncode == 124 and b"2 ended early" in done.stderr


def test_a_timeout_ends_the_whole_group():
    """sh waits for its own child, which holds the pipe."""
    inner, outer = os.pipe()
    with subprocess.Popen(
            PROGRAM + ["-u", "--timeout", "0.2", "--shell",
                       CHILD + " pause; true", ":::", "x"],
            stdout=outer) as process:
        os.close(outer)
        with os.fdopen(inner, "rb") as pipe:
            assert pipe.read() == b""
        assert process.wait() == 1


def test_halt():
    assert cli("-j1", "--halt", "soon,fail=2", "sh", "-c", ":::",
               *["exit 1"] * 5).returncode == 2
    done = cli("-j2", "--fail-fast", "--summary", "sh", "-c", ":::",
               "exit 1", "sleep 30", "sleep 30")
    assert done.returncode == 1 and b"1 ended early" in done.stderr
    assert cli("-j2", "--halt", "now,success=1", "sh", "-c", ":::",
               "sleep 30", "exit 0").returncode == 0


def test_retries(tmp_path):
    text = 'echo x >> %s; test $(wc -l < %s) = 3' % ((tmp_path / "n",) * 2)
    assert out("--retries", "3", "--backoff", "0.01", "sh", "-c", ":::",
               text) == b""
    assert cli("--retries", "2", "--backoff", "0", "sh", "-c", ":::",
               text.replace("= 3", "= 9")).returncode == 1
    assert (tmp_path / "n").read_text() == "x\n" * 5


# ---- output ----------------------------------------------------------------


def test_grouped_output_does_not_mix():
    text = "for n in 1 2 3 4 5; do echo $0$n; echo e$0 >&2; done"
    done = cli("-j8", "sh", "-c", text, ":::", *"abcdefgh")
    lines = done.stdout.splitlines()
    assert len(lines) == 40
    for at in range(0, 40, 5):
        letter = lines[at][:1]
        assert lines[at:at + 5] == [b"%s%d" % (letter, n)
                                    for n in range(1, 6)]
    assert sorted(done.stderr.splitlines()) == sorted(
        b"e%c" % c for c in b"abcdefgh" for _ in range(5))


def test_keep_order_of_large_outputs(tmp_path):
    """More than fits into memory bounds: they wait in files."""
    text = b"".join(b"seq %d\n" % (n * 20000) for n in range(5, -1, -1))
    expected = b"".join(b"%d\n" % k for n in range(5, -1, -1)
                        for k in range(1, n * 20000 + 1))
    assert out("-k", "-j4", "--tmpdir", tmp_path, text=text) == expected
    assert list(tmp_path.iterdir()) == []


# A small process in between: a fork of a large one counts as large.
MEASURE = """
import resource, subprocess, sys
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as process:
    size = 0
    while True:
        data = process.stdout.read(1 << 20)
        if not data:
            break
        size += len(data)
print(size, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_memory_stays_bounded():
    """200 MB of output, of which at most a part is ever in memory."""
    script = "head -c 50000000 /dev/zero"
    done = subprocess.run(
        [sys.executable, "-c", MEASURE] + PROGRAM
        + ["-k", "-j4", "sh", "-c", script, ":::", *"abcd"],
        stdout=subprocess.PIPE, check=True)
    size, kibibytes = map(int, done.stdout.split())
    assert size == 200_000_000 and kibibytes < 60_000


def test_ungrouped_output_is_the_same_file(tmp_path):
    with open(tmp_path / "o", "wb") as file:
        subprocess.run(PROGRAM + ["-u", "readlink", ":::",
                                  "/proc/self/fd/1"], stdout=file,
                       check=True)
    assert (tmp_path / "o").read_text() == str(tmp_path / "o") + "\n"


def test_lines_come_through_whole_and_at_once():
    inner, outer = os.pipe()
    script = "printf 'a\\nb'; read x <&%d; printf 'c\\nlast'" % inner
    with subprocess.Popen(
            PROGRAM + ["--lb", "-j1", "sh", "-c", ":::",
                       script.replace("<&%d" % inner,
                                      "< /proc/%d/fd/%d"
                                      % (os.getpid(), inner))],
            stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"a\n"
        os.write(outer, b"go\n")
        assert process.stdout.read() == b"bc\nlast\n"
    assert process.returncode == 0
    os.close(inner)
    os.close(outer)


@pytest.mark.parametrize("style", ["--group", "--lb"])
def test_tags(style):
    assert out(style, "--tag", "-j1", "printf", "1\\n2\\n\\n3%.0s", ":::",
               "x") == b"x\t1\nx\t2\nx\t\nx\t3" \
        + (b"\n" if style == "--lb" else b"")
    done = out(style, "--tag", "-j1", "seq", ":::", "30000")
    assert done == b"".join(b"30000\t%d\n" % n for n in range(1, 30001))
    assert sorted(out(style, "--tag", "echo", ":::", "a", "b", ":::", "c")
                  .splitlines()) == [b"a c\ta c", b"b c\tb c"]


def test_results_stay_in_files(tmp_path):
    place = tmp_path / "r"
    done = cli("-k", "--results", place, "sh", "-c",
               "echo $0; echo e$0 >&2", ":::", "a", "b")
    assert (done.stdout, done.stderr) == (b"a\nb\n", b"ea\neb\n")
    assert (place / "2/stdout").read_text() == "b\n"
    assert (place / "1/stderr").read_text() == "ea\n"


def test_verbose_says_what_is_run():
    done = cli("-t", "echo", ":::", "a b")
    assert done.stderr == b"echo 'a b'\n"


def test_nobody_reads_the_output():
    """As `| head -1`: what runs is ended, exit 141, no complaint."""
    process = subprocess.Popen(
        PROGRAM + ["-j2", "sh", "-c", "echo $0; exec sleep 0.02", ":::",
                   *map(str, range(500))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


@pytest.mark.parametrize("closed,named", [
    ("<&-", b"standard input: Bad file descriptor"),
    (">&-", b"standard output: Bad file descriptor"), ("2>&-", b"")])
def test_a_closed_standard_stream(closed, named):
    """None of our own files takes its place."""
    script = 'exec "$@" %s' % closed
    done = subprocess.run(["sh", "-c", script, "sh"] + PROGRAM, timeout=60,
                          input=b"echo a\nls /nonexistent\n",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 255 and named in done.stderr


@pytest.mark.parametrize("style", ["--group", "--lb"])
def test_a_full_disk_is_said(style):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(PROGRAM + [style, "echo", ":::", "x", "y"],
                              stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 255
    assert done.stderr == b"xlchild: standard output: No space left on " \
        b"device\n"


# ---- bar -------------------------------------------------------------------


def on_terminal(*arguments):
    """What stderr gets when it is a terminal."""
    main, side = pty.openpty()
    process = subprocess.Popen(PROGRAM + list(arguments), stderr=side,
                               stdout=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL,
                               env=dict(os.environ, TERM="xterm"))
    os.close(side)
    seen = b""
    while True:
        try:
            data = os.read(main, 4096)
        except OSError:
            break  # the other side is closed
        if not data:
            break
        seen += data
    os.close(main)
    assert process.wait() == 0
    return seen


def test_bar_only_on_a_terminal():
    assert b"\x1b[" in on_terminal("--bar", "true", ":::", "1", "2") \
        or b"\r" in on_terminal("--bar", "true", ":::", "1", "2")
    assert on_terminal("true", ":::", "1", "2") == b""
    assert out("--bar", "true", ":::", "1") == b""


# ---- accounts --------------------------------------------------------------


def test_report(tmp_path):
    report = tmp_path / "report"
    done = cli("-k", "-j1", "--report", report, "--timeout", "0.5", text=(
        b"true\nsh -c 'exit 3'\n/nonexistent\nsh -c 'kill -9 $$'\n"
        b"sleep 30\necho \xff\n"))
    assert done.returncode == 4
    found = rows(report)
    assert [r["seq"] for r in found] == [1, 2, 3, 4, 5, 6]
    assert [r["ok"] for r in found] \
        == [True, False, False, False, False, True]
    assert [r["exit"] for r in found] == [0, 3, None, None, None, 0]
    assert found[2]["stage"] == "exec" \
        and "nonexistent" in found[2]["error"]
    assert found[3]["signal"] == 9 and found[4]["timed_out"]
    assert found[5]["args"] == ["echo", "\udcff"]
    assert all(r["attempts"] == 1 and r["seconds"] >= 0 for r in found)
    assert found[0]["maxrss"] > 0 and found[0]["start"] > 1e9


def test_joblog_has_the_columns_of_gnu_parallel(tmp_path):
    log = tmp_path / "log"
    cli("-j1", "--joblog", log, text=b"sh -c 'exit 3'\nsh -c 'kill $$'\n")
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    assert lines[0] == ["Seq", "Host", "Starttime", "JobRuntime", "Send",
                        "Receive", "Exitval", "Signal", "Command"]
    assert [line[6:9] for line in lines[1:]] == [
        ["3", "0", "sh -c 'exit 3'"], ["0", "15", "sh -c 'kill $$'"]]


def test_resume(tmp_path):
    report = tmp_path / "report"
    text = b"true\nsh -c 'exit 3'\ntrue\n"
    assert cli("--report", report, text=text[:5]).returncode == 0
    # one of two that are the same has been done
    assert cli("--report", report, "--resume", text=text).returncode == 1
    assert len(rows(report)) == 3
    assert sorted(r["seq"] for r in rows(report)) == [1, 2, 3]
    assert cli("--report", report, "--resume", text=text).returncode == 0
    assert len(rows(report)) == 3
    done = cli("--report", report, "--resume-failed", text=text)
    assert done.returncode == 1 and len(rows(report)) == 4
    # without --resume a report begins anew
    assert cli("--report", report, text=b"true\n").returncode == 0
    assert len(rows(report)) == 1


def test_resume_without_a_report_yet(tmp_path):
    report = tmp_path / "report"
    assert out("--report", report, "--resume", "echo", ":::", "a") == b"a\n"


def test_resume_after_a_torn_line(tmp_path):
    """It is no row, is said to be none, and the next row is whole."""
    report = tmp_path / "report"
    cli("-k", "--report", report, "echo", ":::", "a", "b")
    whole = report.read_bytes()
    report.write_bytes(whole[:-20])
    done = cli("-k", "--report", report, "--resume", "echo", ":::", "a", "b",
               "c")
    assert (done.returncode, done.stdout) == (0, b"b\nc\n")
    assert b"line 2 is no row" in done.stderr
    lines = report.read_text().splitlines()
    assert len(lines) == 4
    assert [json.loads(lines[n])["args"][1] for n in (0, 2, 3)] \
        == ["a", "b", "c"]
    done = cli("--report", report, "--resume", "echo", ":::", "a", "b", "c")
    assert (done.returncode, done.stdout) == (0, b"")


def test_resume_takes_the_last_of_duplicate_rows(tmp_path):
    report = tmp_path / "report"
    row = {"seq": 1, "args": ["echo", "a"], "ok": True, "cancelled": False}
    report.write_text("".join(json.dumps(dict(row, ok=ok)) + "\n"
                              for ok in (True, True, False)))
    assert out("--report", report, "--resume-failed", "echo", ":::", "a",
               "a") == b"a\na\n"
    assert len(rows(report)) == 5


@pytest.mark.parametrize("line", [
    "[]", "7", "null", '{"seq": 1}', '{"seq": 1, "args": 3, "ok": 1}',
    '{"seq": [], "args": ["x"], "ok": 1, "cancelled": 0}',
    '{"seq": 1, "args": [7], "ok": 1, "cancelled": 0}', "\x00", "{"])
def test_resume_leaves_out_what_is_no_row(tmp_path, line):
    report = tmp_path / "report"
    report.write_text(line + "\n")
    done = cli("--report", report, "--resume", "echo", ":::", "x")
    assert (done.returncode, done.stdout) == (0, b"x\n")
    assert b"line 1 is no row" in done.stderr


def test_a_report_that_cannot_be_written_stops_it():
    done = cli("-j1", "--report", "/dev/full", "sh", "-c", ":::",
               *["exit 0"] * 1000)
    assert done.returncode == 255
    assert done.stderr == b"xlchild: /dev/full: No space left on device\n"


# ---- signals ---------------------------------------------------------------


def begun(*arguments, ready=2):
    """A process whose children have said that they run; and their output."""
    inner, outer = os.pipe()

    def own_signals():
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signo, signal.SIG_DFL)

    process = subprocess.Popen(
        PROGRAM + ["-u"] + list(arguments), stdout=outer,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=own_signals)  # a shell's background jobs ignore some
    os.close(outer)
    pipe = os.fdopen(inner, "rb")
    for _ in range(ready):
        assert pipe.readline() == b"ready\n"
    return process, pipe


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM,
                                   signal.SIGHUP])
def test_signals_end_the_children_in_order(signo, tmp_path):
    report = tmp_path / "report"
    script = "trap 'echo bye; exit 5' TERM; echo ready; " \
        "while :; do sleep 0.05; done"
    process, pipe = begun("-j2", "--report", str(report), "sh", "-c", ":::",
                          script, script, script)
    process.send_signal(signo)
    assert pipe.read() == b"bye\nbye\n"  # and nobody holds the pipe
    pipe.close()
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signo
    assert b"2 commands, 0 failed" in err and b"2 ended early" in err
    assert [r["cancelled"] for r in rows(report)] == [True, True]
    assert cli("--report", report, "--resume", "--dry-run", "sh", "-c",
               ":::", *[script] * 3).stdout.count(b"\n") == 3


def test_ctrl_c_kills_after_the_grace_and_twice_at_once():
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    process, pipe = begun("--kill-after", "0.1", "sh", "-c", ":::", script,
                          ready=1)
    process.send_signal(signal.SIGINT)
    assert pipe.read() == b""
    process.communicate(timeout=60)
    assert process.returncode == 130
    pipe.close()
    process, pipe = begun("--kill-after", "1000", "sh", "-c", ":::",
                          "trap 'echo told' TERM; echo ready; "
                          "while :; do sleep 0.05; done", ready=1)
    process.send_signal(signal.SIGINT)
    assert pipe.readline() == b"told\n"
    process.send_signal(signal.SIGINT)
    assert pipe.read() == b""
    process.communicate(timeout=60)
    assert process.returncode == 130
    pipe.close()


def test_ctrl_c_while_waiting_for_input():
    inner, outer = os.pipe()
    with tempfile.TemporaryFile() as err, subprocess.Popen(
            PROGRAM + ["echo"], stdin=inner, stdout=subprocess.PIPE,
            stderr=err, preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.default_int_handler)) as process:
        os.close(inner)
        os.write(outer, b"first\n")
        assert process.stdout.readline() == b"first\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        os.close(outer)
        err.seek(0)
        assert b"Traceback" not in err.read()


# ---- size ------------------------------------------------------------------


def test_thousands(tmp_path):
    """Every status right, in a report."""
    report = tmp_path / "report"
    done = cli("-j16", "--report", report, CHILD, "exit", "{}",
               text=b"".join(b"%d\n" % (n % 256) for n in range(3000)))
    assert done.returncode == 101
    assert {r["seq"]: r["exit"] for r in rows(report)} \
        == {n + 1: n % 256 for n in range(3000)}


def test_more_at_a_time_than_there_are_fds():
    """Those that find no fd wait for one; all are done."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    done = cli("-j40", "--summary", "sh", "-c", ":::", *["sleep 0.3"] * 40,
               preexec_fn=few)
    assert done.returncode == 0
    assert b"40 commands, 0 failed" in done.stderr
    assert select.select([], [], [], 0) == ([], [], [])
