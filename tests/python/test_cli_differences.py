"""What users of xargs and GNU parallel write, run by theirs and by ours.

The lines are in cli_rows.txt. What ours does not do the same it refuses in
words, or it is different on purpose; docs/tasks/from-xargs-and-parallel.md
has the table, which is made here. XLCHILD_WRITE=1 writes it.
"""
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from clitools import in_folder, programs
from conftest import ROOT

from xlchild.cli._options import Wrong, parsed
from xlchild.cli._theirs import refusal, refused_names

pytestmark = pytest.mark.own_process
ROWS = ROOT / "tests/python/cli_rows.txt"
PAGE = ROOT / "docs/tasks/from-xargs-and-parallel.md"
HEAD = "<!-- the table is written by tests/python/test_cli_differences.py -->"
SECONDS = 120

FILES = {
    "abc": "A\nB\nC\n", "def": "D\nE\nF\n", "abc0": "A\0B\0C\0",
    "tsv": "f1\tf2\nA\tB\nC\tD\n", "num8": "1\n2\n3\n4\n5\n6\n7\n8\n",
    "cmds": "echo one\necho two | tr a-z A-Z\nexit 3\n",
    "quoted": "a 'b c' \"d e\" f\\ g\n\n  h  \n",
}


class Row:
    """One line: whose it is, what is expected, what it was."""

    def __init__(self, text):
        self.tool, self.verdict, self.command, *why = text.split("\t")
        self.why = why[0] if why else ""
        self.found = self.theirs = self.ours = None

    def __repr__(self):
        return "%s: %s" % (self.verdict, self.command)

    @property
    def words(self):
        """What ours said; of several jobs, which end as they like, the first."""
        said = [line[len("xlchild: "):] for line in self.ours[2].splitlines()
                if line.startswith("xlchild: ")]
        if said and said[0].startswith("job "):
            return min(said)
        return said[0] if said else ""


def rows():
    """All of them."""
    return [Row(line) for line in ROWS.read_text().splitlines()
            if line and not line.startswith("#")]


def run(command, folder, path):
    """(exit status, output, errors) in a folder with the files."""
    return in_folder(command, folder, path, FILES, SECONDS)


def compared(row, folder, path):
    """The row with what became of it."""
    row.ours = run(row.command.replace("TOOL", "xlchild"), folder / "ours",
                   path)
    if "not run by the tests" in row.why:
        row.found = row.verdict
        return row
    row.theirs = run(row.command.replace("TOOL", row.tool),
                     folder / "theirs", path)
    same = row.ours[0] == row.theirs[0]
    if re.search(r"TOOL.* (-k|-kj|--keep-order|-j1|-j1.*)\b", row.command):
        same = same and row.ours[1] == row.theirs[1]
    else:
        same = same and sorted(row.ours[1].splitlines()) \
            == sorted(row.theirs[1].splitlines())
    if row.words and (row.verdict == "refused" or not same):
        row.found = "refused"
    else:
        row.found = "same" if same else "different"
    return row


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every row, run."""
    folder = tmp_path_factory.mktemp("rows")
    path = programs(folder)
    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(
            lambda numbered: compared(
                numbered[1], folder / str(numbered[0]), path),
            enumerate(rows())))


def test_nothing_differs_in_silence(outcomes):
    """Each line does what theirs does, says why not, or is listed."""
    wrong = [(row, row.theirs, row.ours) for row in outcomes
             if row.found != row.verdict]
    assert wrong == []
    found = [row.verdict for row in outcomes]
    assert len(found) == 170 and found.count("same") >= 100
    for row in outcomes:
        assert bool(row.why) == (row.verdict == "different"), row
        assert row.verdict != "refused" or len(row.words) > 20, row


def cell(text):
    """Text in a table of Markdown."""
    return text.replace("|", "\\|")


def code(text):
    """A command there."""
    ticks = "``" if "`" in text else "`"
    return ticks + cell(text) + ticks


def table(outcomes):
    """The page's part that is made of the runs."""
    lines = [HEAD, ""]
    same = [row for row in outcomes if row.verdict == "same"]
    for title, verdict in (("Refused, in these words", "refused"),
                           ("Different on purpose", "different")):
        lines += ["### " + title, "", "| theirs | ours |", "| --- | --- |"]
        for row in outcomes:
            if row.verdict == verdict:
                words = row.why or row.words
                if words == row.words:
                    words = re.sub(r"[`*_<>]", r"\\\g<0>", words)
                lines.append("| %s | %s |" % (
                    code(row.command.replace("TOOL", row.tool)),
                    cell(words)))
        lines.append("")
    lines += ["### The same", "", "%d of the %d lines:" % (
        len(same), len(outcomes)), "", "```text"]
    lines += [row.command.replace("TOOL", row.tool) for row in same]
    lines += ["```", ""]
    return "\n".join(lines)


def test_the_page_has_the_table(outcomes):
    text = PAGE.read_text()
    assert HEAD in text
    written = text[:text.index(HEAD)] + table(outcomes)
    if os.environ.get("XLCHILD_WRITE"):
        PAGE.write_text(written)
    assert PAGE.read_text() == written


def said(*words):
    """What is said of a command line; None: it is understood."""
    try:
        parsed(list(words))
    except Wrong as wrong:
        return str(wrong)
    except SystemExit:
        pass
    return None


def options_of_parallel():
    """Every name that the installed program's own table has."""
    with open(shutil.which("parallel"), encoding="utf-8") as file:
        text = file.read()
    body = text[text.index("sub options_completion_hash"):]
    body = body[:body.index("\n}\n")]
    names = set()
    for entry in re.findall(r"""["']([\w|-]+)(?:[=:][sif])?(?:["'\[.]|$)""",
                            body, re.M):
        names.update(("--" if len(name) > 1 else "-") + name
                     for name in entry.split("|")
                     if re.fullmatch(r"[A-Za-z0-9][\w-]*", name))
    names.discard("--window")  # a word in an explanation
    assert len(names) > 250
    return sorted(names)


def options_of_xargs():
    text = subprocess.run(["xargs", "--help"], stdout=subprocess.PIPE,
                          check=True).stdout.decode()
    return sorted(set(re.findall(r"(?<![\w-])(--?[A-Za-z0-9][\w-]*)",
                                 "\n".join(line[:28] for line
                                           in text.splitlines()
                                           if line.startswith("  ")))))


@pytest.mark.parametrize("names", [options_of_parallel, options_of_xargs])
def test_every_option_of_theirs_is_known(names):
    """Understood, or refused with what to use instead."""
    unknown = [name for name in names()
               if "no such option" in (said(name, "1") or "")
               and name not in ("-l", "-e")]
    assert unknown == []


def test_refusals_name_the_option_and_are_not_understood():
    for name in refused_names():
        words = refusal(name)
        assert words.startswith(name + " is not supported: "), name
        assert said(name) == words


@pytest.mark.parametrize("words,named", [
    (["{= s/a/b/ =}"], "{= s/a/b/ =}"), (["echo", "x{=1 uc =}"], "{=1 uc =}"),
    (["echo", "|", "cat"], "'|'"), (["echo", "{}", ">", "x"], "'>'"),
    (["a", "&&", "b"], "'&&'"), (["a", "2>&1"], "'2>&1'"), (["a", ">{.}.txt"], "'>{.}.txt'"),
    (["a", "2>>x"], "'2>>x'"), (["a", "<{}"], "'<{}'"), (["a", "&>x"], "'&>x'"),
    (["--tty", "--bar", "x"], "--bar"),
    (["echo {}"], "--shell"), (["$(x)"], "--shell"), (["a;b"], "--shell"),
    (["--halt", "2", "true"], "now,fail=1"), (["-l3", "x"], "-L"),
    (["-e", "x"], "-E"), (["x", "::::"], "::::"), (["x", ":::+", "a"], ":::+"),
    (["--keep-orde"], "--keep-order"), (["--results", "x.csv", "x"], "--report"),
    (["-kz", "x"], "-z"), (["--header", "2", "x"], "--header"),
    (["--colsep", "(a)", "x"], "(?:"), (["--trim", "x", "x"], "--trim"),
    (["--bar=3"], "--bar"), (["-j"], "-j"), (["--jobs="], "--jobs"),
    (["--pipe", "x", ":::", "a"], ":::"), (["--pipe"], "COMMAND"),
    (["-X", "x", ":::", "a", ":::", "b"], "-X"), (["-X"], "-X"),
    (["--shell", "-q", "x"], "-q"), (["--tty", "-k", "x"], "--tty"),
    (["--group", "-u", "x"], "--group"), (["-m", "-X", "x"], "-X"),
    (["--jobserver=x", "x"], "pipe or fifo"), (["--load", "0", "x"], "--load"),
    (["--memfree", "x", "x"], "--memfree"), (["-s", "x", "x"], "-s"),
    (["--timeout", "0%", "x"], "--timeout"), (["--block", "1", "x"], "--pipe"),
    (["--termseq", "FOO", "x"], "--termseq"),
    (["--process-slot-var", "a=b", "x"], "--process-slot-var"),
])
def test_what_is_not_understood_is_refused(words, named):
    assert named in (said(*words) or ""), said(*words)


@pytest.mark.parametrize("line,named", [
    ("echo a | cat", "|"), ("echo a;b", ";"), ("echo $HOME", "$ is"),
    ('echo "$HOME"', "$H"), ("echo `x`", "`"), ("a > b", ">"),
    ("a 2>&1", ">&1 is"), ("X=1 env", "env X=1"), ("# nothing", "#"),
    ("echo ~", "~"), ("echo /et?", "?"), ("echo /etc/*", "*"),
    ("echo {a,b}", "{a,b}"), ("! true", "!"), ("(true)", "("),
    ("echo 'a", "quotation"), ('echo "a', "quotation"),
    ("echo a\\", "backslash"), ("cd /", "shell's own"),
])
def test_a_line_that_only_a_shell_understands_fails(line, named):
    """That job, with its number and what to do; the next one runs."""
    done = subprocess.run(
        [sys.executable, "-m", "xlchild", "-k"],
        input=line.encode() + b"\necho after\n", stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=SECONDS)
    assert done.returncode == 1 and done.stdout == b"after\n"
    assert done.stderr.startswith(b"xlchild: job 1: ")
    assert named in done.stderr.decode()


@pytest.mark.parametrize("line", [
    "echo 'a b'", 'echo "a b"', "echo a\\ b", "echo '$HOME' '|' '*'",
    'echo "a\\"b\\$\\x"', "echo a'b'\"c\"d", "echo ''", "echo $ a$",
    "echo /nowhere/*", "echo a=b {} {a} x#y x~", "echo [ ]", 'echo "a\\\\"',
    "  echo\ta  b ", "echo http://x/?a", "echo a!b", "echo \\'",
])
def test_a_line_has_the_words_that_a_shell_would_see(line):
    show = line.replace("echo", "printf '<%s>'", 1)
    theirs = subprocess.run(["sh", "-c", show], stdout=subprocess.PIPE,
                            check=True).stdout
    ours = subprocess.run(
        [sys.executable, "-m", "xlchild"], input=show.encode(),
        stdout=subprocess.PIPE, check=True).stdout
    assert ours == theirs
