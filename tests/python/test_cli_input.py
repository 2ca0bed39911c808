"""The command line: where values come from, and what is made of them."""
import os
import subprocess
import sys

import pytest
from clitools import PROGRAM, cli, out, rows

pytestmark = pytest.mark.own_process

# ---- sources ---------------------------------------------------------------


@pytest.mark.parametrize("arguments,expected", [
    (["echo", ":::", "a", "b", "::::", "F"], b"a 1\na 2\nb 1\nb 2\n"),
    (["-a", "F", "echo", ":::", "a"], b"1 a\n2 a\n"),
    (["-a", "F", "-a", "F", "echo"], b"1 1\n1 2\n2 1\n2 2\n"),
    (["echo", "::::", "F", "F"], b"1 1\n1 2\n2 1\n2 2\n"),
    (["echo", "::::", "F", "::::+", "F"], b"1 1\n2 2\n"),
    (["echo", ":::", "a", "b", ":::+", "1", "2", "3"], b"a 1\nb 2\n"),
    (["echo", ":::", "a", "b", ":::+", "1", "2", ":::", "x", "y"],
     b"a 1 x\na 1 y\nb 2 x\nb 2 y\n"),
    (["--link", "echo", ":::", "a", "b", "c", ":::", "1", "2"],
     b"a 1\nb 2\nc 1\n"),
    (["echo", "::::", "-"], b"in\n"), (["-a", "-", "echo"], b"in\n"),
    (["echo", "::::", "-", ":::", "z"], b"in z\n"),
    (["--link", "echo", ":::", ":::", "1"], b""),
    (["-E", "b", "echo", ":::", "a", "b", "c"], b"a\n"),
    (["-E", "2", "-a", "F", "echo"], b"1\n"),
    (["-E", "", "echo", "<{}>", ":::", "", "a"], b"<>\n<a>\n"),
    (["--trim", "lr", "echo", "<{}>", ":::", " a\t", "b "], b"<a>\n<b>\n"),
    (["--trim", "l", "echo", "<{}>", ":::", " a "], b"<a >\n"),
    (["-r", "echo", ":::"], b""), (["-r", "echo", "::::", "/dev/null"], b""),
])
def test_sources(arguments, expected, tmp_path):
    (tmp_path / "F").write_text("1\n2\n")
    assert out("-k", *arguments, text=b"in\n", cwd=tmp_path) == expected


def test_a_random_order_has_all_of_them():
    """Each once, in another order each time; combined and gathered, too."""
    values = list(map(str, range(60)))
    text = "\n".join(values).encode()
    runs = [out("-k", "--shuf", "echo", text=text).decode().split()
            for _ in range(2)]
    assert runs[0] != runs[1] != values
    assert sorted(runs[0]) == sorted(runs[1]) == sorted(values)
    found = out("-k", "--shuf", "-n7", "echo", text=text).decode().split()
    assert sorted(found) == sorted(values)
    found = out("-k", "--shuf", "echo", ":::", *values, ":::", "a", "b")
    assert len(set(found.splitlines())) == 120


def test_empty_lines_are_values_like_others():
    assert out("-k", "echo", "x", text=b"a\n\nb") == b"x a\nx \nx b\n"
    assert out("-k", "-0", "printf", "<%s>", text=b"a\0\0") == b"<a><>"
    assert out("-k", "-n2", "printf", "<%s>", text=b"\n\n\n") == b"<><><>"
    assert out("-k", "-d", ":", "printf", "<%s>", text=b"a:b:") == b"<a><b>"


def test_an_empty_line_is_no_command_but_has_a_number(tmp_path):
    report = tmp_path / "r"
    out("-k", "--report", report, text=b"echo a\n\necho b\n")
    assert [r["seq"] for r in rows(report)] == [1, 3]


def test_columns():
    text = b"a\tb\nc\n\td\n"
    assert out("-k", "--colsep", r"\t", "echo", "{2}={1}={3}", text=text) \
        == b"b=a=\n=c=\nd==\n"
    assert out("-k", "-C", ",", "printf", "<%s>", text=b"a b,c\n") \
        == b"<a b><c>"
    assert out("-k", "-C", " +|,", "echo", "{-1}", "{1.}", "{}",
               text=b"x.y  z,w\n") == b"w x x.y z w\n"
    assert out("-k", "-C", "-", "echo", ":::", "1-2", ":::", "3-4") \
        == b"1 2 3 4\n"


def test_headers():
    assert out("-k", "--header", ":", "echo", "{f1}", "{g}", "{1}", "{f1.}",
               ":::", "f1", "A.b", ":::", "g", "B", "C") \
        == b"A.b B A.b A\nA.b C A.b A\n"
    assert out("-k", "--header", ":", "-C", ",", "echo", "{b}{a}",
               text=b"a,b\n1,2\n3,4\n") == b"21\n43\n"
    assert out("--header", ":", "echo", "{x}", text=b"") == b""


def test_a_command_does_not_wait_for_lines_it_does_not_need():
    """Columns and headers are read as lines are: when they come."""
    inner, outer = os.pipe()
    with subprocess.Popen(
            PROGRAM + ["-C", ",", "--header", ":", "echo", "{b}"],
            stdin=inner, stdout=subprocess.PIPE) as process:
        os.close(inner)
        os.write(outer, b"a,b\n1,2\n")
        assert process.stdout.readline() == b"2\n"
        os.close(outer)
    assert process.returncode == 0


# ---- replacement strings ---------------------------------------------------


@pytest.mark.parametrize("words,expected", [
    (["{-1}", "{-2}", "{1}", "{3}"], b"d/e a.b a.b \n"),
    (["{-1/}", "{-2.}"], b"e a\n"), (["{#}"], b"1\n"), (["{%}"], b"1\n"),
    (["x{}y"], b"xa.b d/ey\n"), (["{.}", "{/}"], b"a d/e a.b e\n"),
    (["{3/}", "{name}", "{##}"], b" {name} {##}\n"),
])
def test_replacement_strings(words, expected):
    assert out("-k", "echo", *words, ":::", "a.b", ":::", "d/e") == expected


def test_slots_are_those_of_the_jobs_that_run(tmp_path):
    """No two that run at a time have the same, and none is above -j."""
    script = "mkdir %s/{%%} || echo taken; echo $S {%%}; " \
        "rmdir %s/{%%}" % (tmp_path, tmp_path)
    done = out("-j3", "--process-slot-var", "S", "--shell", script, ":::",
               *map(str, range(40)))
    seen = {tuple(map(int, line.split())) for line in done.splitlines()}
    assert seen <= {(0, 1), (1, 2), (2, 3)} and (0, 1) in seen


@pytest.mark.parametrize("style", ["--group", "-u", "--lb"])
def test_slots_of_retries_and_of_what_waits_for_its_turn(style, tmp_path):
    script = "test {%%} -le 2 || exit 9; test -e %s/$1 && exit 0; " \
        ": > %s/$1; exit 1" % (tmp_path, tmp_path)
    order = [] if style == "-u" else ["-k"]
    out(style, *order, "-j2", "--retries", "2", "--backoff", "0", "sh", "-c",
        script, "_", "{}", ":::", *map(str, range(12)))


def test_dry_run_shows_a_slot_and_what_cannot_run():
    assert out("--dry-run", "echo", "{%}", ":::", "a") == b"echo 1\n"
    done = cli("--dry-run", text=b"echo a\necho $b\n")
    assert (done.returncode, done.stdout) == (1, b"echo a\n")
    assert b"job 2: $" in done.stderr


# ---- many values a command -------------------------------------------------


@pytest.mark.parametrize("arguments,expected", [
    (["-n2", "echo", "x-{}"], b"x-1 2\nx-3\n"),
    (["-N2", "echo", "x-{}"], b"x-1 x-2\nx-3\n"),
    (["-L2", "echo", "{2}{1}"], b"21\n3\n"),
    (["-m", "-j1", "echo", "x-{}-y"], b"x-1 2 3-y\n"),
    (["-X", "-j1", "echo", "x-{}-y-{}", "z"], b"x-1-y-1 x-2-y-2 x-3-y-3 z\n"),
    (["-X", "-j2", "echo"], b"1 2\n3\n"), (["-m", "-j2", "echo"], b"1 2\n3\n"),
    (["-j2", "--xargs", "echo"], b"1 2 3\n"),
    (["-s", "9", "echo"], b"1 2\n3\n"), (["-s", "10", "echo"], b"1 2\n3\n"),
    (["-s", "11", "echo"], b"1 2 3\n"), (["-X", "-n1", "echo"], b"1\n2\n3\n"),
    (["--xargs", "-n2", "echo"], b"1 2\n3\n"),
    (["--shell", "-X", "-j1", "echo a-{} 'b'"], b"a-1 a-2 a-3 b\n"),
    (["--shell", "-n2", "echo a-{}"], b"a-1 2\na-3\n"),
])
def test_several_values_a_command(arguments, expected):
    assert out("-k", *arguments, text=b"1\n2\n3\n") == expected


def test_as_many_as_fit_are_as_many_as_xargs_takes():
    text = b"".join(b"%d\n" % n for n in range(100000))
    theirs = subprocess.run(["xargs", "echo"], input=text, check=True,
                            stdout=subprocess.PIPE).stdout
    assert out("-k", "--xargs", "echo", text=text) == theirs


@pytest.mark.parametrize("how", [["-X"], ["-m"], ["--xargs"], ["-n100000"]])
def test_what_is_put_together_is_never_too_long(how):
    """However large the environment is."""
    env = dict(os.environ, LARGE="x" * 100000, **{
        "V%d" % n: "y" * 100000 for n in range(12)})
    line = b"z" * 30000 + b"\n"
    done = cli(*how, "sh", "-c", 'echo "$#"', "_", text=line * 200, env=env)
    assert done.returncode == 0
    assert sum(map(int, done.stdout.split())) == 200


def test_a_line_that_does_not_fit_fails_or_ends_it():
    text = b"a\n" + b"b" * 30 + b"\nc\n"
    done = cli("-k", "-s", "20", "echo", text=text)
    assert (done.returncode, done.stdout) == (1, b"a\nc\n")
    assert b"job 2: 36 bytes do not fit into a command line of 20" \
        in done.stderr
    done = cli("-k", "-x", "-s", "20", "echo", text=text)
    assert done.returncode == 255 and b"do not fit" in done.stderr


# ---- the input as the jobs' own --------------------------------------------


def test_pipe_in_blocks_of_lines():
    text = b"".join(b"%d\n" % n for n in range(10))
    assert out("--pipe", "-N4", "-k", "wc", "-l", text=text) == b"4\n4\n2\n"
    assert out("--pipe", "-L", "4", "-k", "cat", text=text) == text
    assert out("--pipe", "--block", "7", "-k", "wc", "-l", text=text) \
        == b"3\n3\n3\n1\n"
    assert out("--pipe", "cat", text=b"") == b""
    assert out("--pipe", "-k", "-N1", "cat", text=b"a\nb") == b"a\nb"
    assert out("--pipe", "-k", "-0", "-N1", "od", "-An", "-c",
               text=b"a\0b\0").split() == [b"a", rb"\0", b"b", rb"\0"]


def test_pipe_loses_nothing_of_a_large_input(tmp_path):
    text = b"".join(b"%d %s\n" % (n, b"x" * (n % 300)) for n in range(40000))
    (tmp_path / "in").write_bytes(text)
    for style in ([], ["--lb"]):
        assert out("--pipe", "-k", "-j3", "--block", "300K", "-a",
                   tmp_path / "in", *style, "cat") == text
    long = b"y" * 300000 + b"\n"
    assert out("--pipe", "-k", "--block", "1K", "cat", text=long + text) \
        == long + text


def test_pipe_has_numbers_and_slots():
    assert out("--pipe", "-k", "-N1", "-j1", "sh", "-c",
               "read x; echo $x {#} {%}", text=b"a\nb\n") == b"a 1 1\nb 2 1\n"
    done = cli("--pipe", "cat", "{}", text=b"x\n")
    assert done.returncode == 255 and b"{} stands for nothing" in done.stderr


# ---- how many at a time ----------------------------------------------------


@pytest.mark.parametrize("jobs", ["-j0", "-P0", "-j+0", "-j-1", "-j+2",
                                  "-j200%", "-j1%", "--jobs=3", "-kj2",
                                  "-j-999"])
def test_forms_of_jobs(jobs):
    assert out(jobs, "echo", ":::", "a") == b"a\n"


def test_zero_is_as_many_as_there_are():
    """All of them run at a time: each waits for the last one."""
    script = "echo >&3; while test $(wc -l < $0) -lt 40; do sleep 0.05; done"
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"),
                        "xlchild-zero-%d" % os.getpid())
    try:
        out("-P0", "--timeout", "60", "sh", "-c", "exec 3>>$0; " + script,
            path, ":::", *map(str, range(40)))
    finally:
        os.unlink(path)


def test_load_and_memory_hold_starts_back(tmp_path):
    """But of --load one always runs."""
    assert out("-k", "--load", "0.001", "echo", ":::", "a", "b", "c") \
        == b"a\nb\nc\n"
    assert out("-k", "--memfree", "1K", "--load", "99999", "echo", ":::",
               "a", "b") == b"a\nb\n"
    done = cli("--memfree", "1000T", "--total-timeout", "1.5", "echo", ":::",
               "a")
    assert (done.returncode, done.stdout) == (124, b"")
    assert b"waiting for memory (--memfree)" in done.stderr


def test_a_share_of_the_median_is_a_time_limit():
    done = cli("--timeout", "1000%", "-j1", "--summary", "sleep", ":::",
               "0.1", "0.1", "0.1", "60")
    assert done.returncode == 1 and b"1 timed out" in done.stderr
    assert out("--timeout", "100000%", "-k", "echo", ":::", "a") == b"a\n"


@pytest.mark.parametrize("sequence,expected", [
    ("INT,60000,KILL", b"told\n"), ("INT,100,KILL", b"told\n"),
    ("KILL", b""), ("SIGINT", b"told\n")])
def test_termseq(sequence, expected):
    script = "trap 'echo told; %s' INT; while :; do sleep 0.02; done" % (
        ":" if "100,KILL" in sequence else "exit 3")
    done = cli("--termseq", sequence, "--timeout", "0.5", "sh", "-c", script)
    assert done.returncode == 0  # no input, no job
    done = cli("--termseq", sequence, "--timeout", "0.5", "sh", "-c", ":::",
               script)
    assert done.returncode == 1
    assert done.stdout[:5] == expected


# ---- accounts and output ---------------------------------------------------


def test_resume_by_a_joblog(tmp_path):
    log = tmp_path / "log"
    assert cli("-j1", "--joblog", log, "sh", "-c", "exit $0", ":::",
               "0", "1").returncode == 1
    assert out("-k", "--joblog", log, "--resume", "echo", ":::", "0", "1",
               "2") == b"2\n"
    assert out("-k", "--joblog", log, "--resume-failed", "echo", ":::", "0",
               "1", "2") == b"1\n"
    lines = log.read_text().splitlines()
    assert lines[0].startswith("Seq\t") and len(lines) == 5
    log.write_text(log.read_text() + "torn\n")
    done = cli("--joblog", log, "--resume", "echo", ":::", "0", "1", "2")
    assert done.stdout == b"" and b"line 6 is no row" in done.stderr


def test_a_joblog_has_nothing_of_what_was_ended_early(tmp_path):
    log = tmp_path / "log"
    cli("-j2", "--fail-fast", "--joblog", log, "sh", "-c", ":::", "exit 1",
        "sleep 60")
    assert [line.split("\t")[0] for line in log.read_text().splitlines()] \
        == ["Seq", "1"]
    done = cli("--joblog", log, "--resume", "echo", ":::", "x", "y")
    assert done.stdout == b"y\n"


def test_a_tag_of_ones_own():
    assert out("-k", "--tagstring", "{1}:{#}", "printf", "a\\nb\\n%.0s", ":::",
               "x", "y") == b"x:1\ta\nx:1\tb\ny:2\ta\ny:2\tb\n"
    assert out("-k", "--tagstring", "<{/.}>", "echo", "hi", ":::", "a/b.c") \
        == b"<b>\thi a/b.c\n"


def test_lines_in_order_at_once():
    """Of the command whose turn it is; the others wait, in files if they
    are large."""
    inner, outer = os.pipe()
    script = "echo $0; read x < /proc/%d/fd/%d; echo end$0" % (
        os.getpid(), inner)
    with subprocess.Popen(
            PROGRAM + ["--lb", "-k", "-j2", "sh", "-c", ":::", script,
                       "seq 300000", "echo third"],
            stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"sh\n"
        os.write(outer, b"go\n")
        rest = process.stdout.read()
    os.close(inner)
    os.close(outer)
    assert rest == b"endsh\n" + b"".join(
        b"%d\n" % n for n in range(1, 300001)) + b"third\n"


def test_what_is_run_is_said_where_it_is_asked_for():
    assert out("-k", "-v", "echo", ":::", "a b", "c") \
        == b"echo 'a b'\na b\necho c\nc\n"
    assert out("-k", "-v", "--lb", "echo", ":::", "a", "b") \
        == b"echo a\na\necho b\nb\n"
    assert out("-v", "-u", "-j1", "echo", ":::", "a") == b"echo a\na\n"
    done = cli("-t", "-k", "echo", "{%}", ":::", "a")
    assert (done.stdout, done.stderr) == (b"1\n", b"echo 1\n")


@pytest.mark.parametrize("arguments", [
    ["echo", b"\xff", ":::", b"\xfe"], ["-a", b"\xfe.x", "echo"],
    ["--tag", "echo", ":::", b"\xff"], ["--tagstring", b"\xff{}", "echo",
                                        ":::", b"\xfd"],
    ["-I", b"\xff", "echo", b"\xff", ":::", "x"],
    ["--header", ":", "echo", b"{\xff}", ":::", b"\xff", b"\xfe"],
    ["-C", b"\xff", "echo", "{2}", ":::", b"a\xffb"],
    ["-E", b"\xff", "echo", ":::", "a", b"\xff"],
    ["-d", b"\xff", "-a", b"\xfe.x", "echo"],
    ["--wd", b"\xfe.d", "pwd", ":::", "-L"],
    ["--tmpdir", b"\xfe.d", "echo", ":::", "a"],
    ["--results", b"\xfe.r", "echo", ":::", "a"],
    ["--report", b"\xfe.j", "echo", ":::", b"\xff"],
    ["--joblog", b"\xfe.l", "echo", ":::", b"\xff"],
    ["--dry-run", "echo", ":::", b"\xff"], ["-v", "echo", ":::", b"\xff"],
    ["-t", "echo", ":::", b"\xff"], ["--shell", b"echo \xff{}", ":::",
                                     b"\xfe"],
    ["-X", "echo", ":::", b"\xff", b"\xfe"],
    ["--process-slot-var", b"\xff", "echo", ":::", "a"],
])
def test_names_that_are_no_text(arguments, tmp_path):
    place = os.fsencode(tmp_path)
    with open(place + b"/\xfe.x", "wb") as file:
        file.write(b"\xfc\n")
    os.mkdir(place + b"/\xfe.d")
    done = subprocess.run(
        [sys.executable, "-m", "xlchild", "-k"] + arguments, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout and b"Traceback" not in done.stderr
    if b"\xfe.l" in arguments:
        with open(place + b"/\xfe.l", "rb") as file:
            assert b"echo '\xff'" in file.read()
