"""xlchild.pool and its command line, python -m xlchild."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import CHILD, TINY

from xlchild.pool import Pool, run_many


def codes(results):
    """The returncodes, in the order of the results."""
    return [r.returncode for r in results]


def command(*verbs):
    """The helper with verbs."""
    return [CHILD] + [str(v) for v in verbs]


def test_map_keeps_order_and_as_completed_reports_each_once():
    jobs = [command("say", n, "exit", n) for n in range(100)]
    with Pool(8) as pool:
        done = list(pool.map(jobs))
        assert codes(done) == list(range(100))
        assert [r.stdout for r in done] == [b"%d\n" % n for n in range(100)]
        assert [r.index for r in done] == list(range(100))
        free = list(pool.as_completed(jobs))
    assert sorted(codes(free)) == list(range(100))


def test_never_more_than_jobs_at_a_time(tmp_path):
    with Pool(3) as pool:
        most = 0
        for _ in pool.as_completed(command("exit", 0) for _ in range(30)):
            most = max(most, pool.running)
            assert pool.context.child_count <= 3
    assert 0 < most <= 3


def test_a_start_that_fails_is_a_result():
    done = run_many([["/nonexistent"], [TINY], ["a\0b"]])
    assert isinstance(done[0].error, FileNotFoundError)
    assert done[0].returncode is None and not done[0].success
    assert done[1].success
    assert isinstance(done[2].error, ValueError)


def test_input_and_timeout():
    done = run_many([(command("cat"), b"hello"), command("pause")],
                    timeout=0.5)
    assert done[0].stdout == b"hello"
    assert done[1].timed_out and done[1].returncode == -signal.SIGTERM


def test_retries(tmp_path):
    flag = tmp_path / "flag"
    script = 'test -e "$1" && exit 0; touch "$1"; exit 1'
    with Pool(2, retries=2, backoff=0.001) as pool:
        done = list(pool.map([["sh", "-c", script, "sh", str(flag)],
                              command("exit", 3)]))
    assert (done[0].success, done[0].attempts) == (True, 2)
    assert (done[1].returncode, done[1].attempts) == (3, 3)


def test_fail_fast_ends_the_others():
    with Pool(2, fail_fast=True) as pool:
        done = list(pool.as_completed([command("pause"),
                                       command("exit", 1)]
                                      + [command("pause")] * 5))
    assert 2 <= len(done) <= 3
    assert done[0].returncode == 1
    assert all(r.cancelled and r.status is not None for r in done[1:])


def test_leaving_in_the_middle_ends_what_runs():
    with Pool(4) as pool:
        results = pool.as_completed([command("exit", 0)]
                                    + [command("pause")] * 3)
        assert next(results).success
        assert pool.running == 3
        results.close()
    assert pool.running == 0 and pool.context.closed


def cli(*arguments, **options):
    """python -m xlchild."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([sys.executable, "-m", "xlchild"]
                          + list(arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=100,
                          **options)



def run_cli(text, *arguments):
    """python -m xlchild with lines on standard input."""
    return subprocess.run([sys.executable, "-m", "xlchild"]
                          + list(arguments), input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=100)


def test_cli_lines_are_commands():
    done = run_cli(b"echo one\necho 'two  three'\n", "-k", "-j2")
    assert (done.returncode, done.stdout) == (0, b"one\ntwo  three\n")
    assert b"2 commands, 0 failed" in done.stderr
    assert b"\r" not in done.stderr  # no bar without a terminal


def test_cli_template_file_and_null(tmp_path):
    lines = tmp_path / "lines"
    lines.write_bytes(b"a b\0c\nd\0")
    done = cli("-k", "-q", "-0", "-a", str(lines), "printf", "<%s>\n")
    assert done.stdout == b"<a b>\n<c\nd>\n" and done.stderr == b""
    done = cli("-k", "-q", "echo", "x{}y", ":::", "1", "2")
    assert done.stdout == b"x1y\nx2y\n"
    done = cli("-k", "-q", "--shell", "echo {} | tr a-z A-Z", ":::", "it's")
    assert done.stdout == b"IT'S\n"


def test_cli_exit_status_report_and_resume(tmp_path):
    report = tmp_path / "report"
    text = b"true\nsh -c 'exit 3'\n/nonexistent\nsh -c 'kill -9 $$'\n"
    done = run_cli(text, "-k", "--report", str(report))
    assert done.returncode == 3
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [r["ok"] for r in rows] == [True, False, False, False]
    assert [r["exit"] for r in rows] == [0, 3, None, None]
    assert rows[3]["signal"] == 9 and "nonexistent" in rows[2]["error"]
    assert b"4 commands, 3 failed" in done.stderr
    done = run_cli(text, "-k", "--report", str(report), "--resume")
    assert b"3 commands, 3 failed" in done.stderr
    assert len(report.read_text().splitlines()) == 7


def test_cli_timeout_and_halt():
    done = run_cli(b"sleep 30\n", "--timeout", "0.2")
    assert done.returncode == 1 and b"1 timed out" in done.stderr
    done = run_cli(b"false\nsleep 30\nsleep 30\n", "--halt", "-j2")
    assert done.returncode in (1, 2)


def test_cli_wrong_use(tmp_path):
    assert cli("-j0").returncode == 2
    assert cli("--resume").returncode == 2
    assert cli("-a", str(tmp_path / "none")).returncode == 2
    assert run_cli(b"a 'b\n").returncode == 2
    done = run_cli(b"rm -r x\n", "--dry-run")
    assert done.stdout == b"rm -r x\n"


def test_cli_ctrl_c_ends_the_children_and_exits_130():
    inner, outer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "xlchild", "-u", "-j2", ":::",
         CHILD + " say ready pause", CHILD + " say ready pause"],
        stdout=outer, stderr=subprocess.PIPE,
        # a background job of a shell has it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    os.close(outer)
    with os.fdopen(inner, "rb") as out:
        assert out.readline() == out.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert out.read() == b""  # nobody holds the pipe any more
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert b"commands" in err


@pytest.mark.own_process
def test_cli_thousands():
    begin = time.monotonic()
    done = run_cli(b"".join(b"%s exit %d\n" % (os.fsencode(CHILD), n % 2)
                            for n in range(2000)), "-j16", "-q")
    assert done.returncode == 101
    assert time.monotonic() - begin < 60
