#!/usr/bin/python3
"""Run other programs' own tests plain and under xlchild, and compare.

usage: run.py [--quick] [--kept] [--write] [PROGRAM...]

Called by `make check-programs` and check-programs-quick. The rows are in
programs.py. A test whose verdict is another one under xlchild must stand in
differences.txt, with a reason; a listed one that is the same again, or that is
not there any more, fails, too.
Where a verdict differs the plain run is done once more: a test that differs
from itself says nothing. Results stay in build/programs; a run is done again
when the program, its row or xlchild has changed. --write: docs/programs.md.
--kept: nothing is run; what was kept last counts, of all of a program's tests
or of its quick ones.
Ends with `N passed, N failed, N skipped`.
"""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from fetch import Absent, fetch, missing
from programs import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "programs"
PACKAGE = ROOT / "build" / "python"
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
SHIMS = Path(__file__).with_name("shims")
USED = Path(__file__).with_name("used")
SOMETIMES = "sometimes: "  # a reason that is not of every run
LIST = Path(__file__).with_name("differences.txt")


def digest(*things):
    """A short name for what they are."""
    found = hashlib.sha256()
    for thing in things:
        found.update(repr(thing).encode())
    return found.hexdigest()[:16]


def package_digest():
    """Of xlchild as it is built."""
    parts = []
    for path in sorted((PACKAGE / "xlchild").rglob("*")):
        if path.suffix in (".py", ".so"):
            parts.append((str(path.relative_to(PACKAGE)),
                          hashlib.sha256(path.read_bytes()).hexdigest()))
    return digest(parts)


def listed(program):
    """test -> reason, of the differences that are known."""
    found = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            name, test, reason = line.split("\t")
            assert reason, line
            if name == program:
                found[test] = reason
    return found


def environment(folder):
    """The same for both runs; nothing of an outer make's."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHONPATH")}
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    kept.update(HOME=str(home), LC_ALL="C.UTF-8", TERM="dumb",
                PYTHONDONTWRITEBYTECODE="1", GIT_AUTHOR_NAME="a",
                PYTHONHASHSEED="0")
    return kept


def end_group(process):
    """What it has started, too."""
    if process.pid > 1:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Run:
    """One run of a program's tests."""

    def __init__(self, program, quick, source, folder):
        self.program = program
        self.quick = quick
        self.source = source
        self.folder = folder

    def done(self, under):
        """(test -> verdict, starts through, past by reason, note)."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        results = self.folder / "junit.xml"
        words = [word.format(results=results, folder=self.folder,
                             source=self.source, used=USED)
                 for word in self.program.arguments(self.quick)]
        report = self.folder / "starts"
        env = environment(self.folder)
        path = [str(self.source / self.program.path)] \
            if self.program.source and self.program.path else []
        path.append(str(SHIMS))
        if under:
            words = ["-m", "xlchild.under", "--children",
                     "--report=%s" % report] + words
            path.append(str(PACKAGE))
        env["PYTHONPATH"] = os.pathsep.join(path)
        where = self.source / self.program.where if self.source \
            else self.folder
        note = ""
        with open(self.folder / "stdout", "wb") as out:
            process = subprocess.Popen(
                [PYTHON] + words, cwd=str(where), env=env,
                stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True)
            try:
                process.wait(timeout=self.program.seconds)
            except subprocess.TimeoutExpired:
                note = "ended after %d s" % self.program.seconds
            finally:
                end_group(process)
                process.wait()
        try:
            verdicts = self.program.read(self.folder)
        except (OSError, ValueError) as error:
            verdicts, note = {}, note or "no verdicts: %s" % error
        through, past = 0, {}
        if under and report.exists():
            for line in report.read_text().splitlines():
                told = json.loads(line)
                through += sum(told["through"].values())
                for reason, number in told["past"].items():
                    past[reason] = past.get(reason, 0) + number
        return {"verdicts": verdicts, "through": through, "past": past,
                "note": note}


def kept(path, key, make):
    """What the file has for this key, or made and kept there."""
    try:
        found = json.loads(path.read_text())
        if found["key"] == key:
            return found["value"]
    except (OSError, ValueError, KeyError):
        pass
    value = make()
    if not value["note"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"key": key, "value": value}))
    return value


class Outcome:
    """What the comparison of one program came to."""

    def __init__(self, name, version):
        self.name = name
        self.version = version
        self.tests = self.alike = self.through = 0
        self.unsteady, self.known, self.wrong = [], {}, []
        self.past = {}


def compare(outcome, plain, under, again, reasons, part=False):
    """Fill in the outcome; again("plain") is a second run of that kind. One
    under xlchild is made only where a test passed there alone: what failed
    there alone has no second chance. ``part``: not all tests were run."""
    outcome.through, outcome.past = under["through"], under["past"]
    for kind, run in ("plain", plain), ("under xlchild", under):
        if run["note"]:
            outcome.wrong.append("%s: %s" % (kind, run["note"]))
    first, second = plain["verdicts"], under["verdicts"]
    outcome.tests = len(first.keys() | second.keys())
    if not outcome.tests:
        outcome.wrong.append("no test was run")
    if not outcome.through and not outcome.wrong:
        outcome.wrong.append("nothing was started through xlchild")
    differ = [test for test in sorted(first.keys() | second.keys())
              if first.get(test) != second.get(test)]
    more = again("plain")["verdicts"] if differ else {}
    luck = [test for test in differ if test not in reasons
            and second.get(test) == "passed" and more.get(test)
            == first.get(test)]
    lucky = again("under")["verdicts"] if luck else {}
    for test in differ:
        said = "%s: %s plain, %s under xlchild" % (
            test, first.get(test), second.get(test))
        if test in reasons:
            outcome.known[test] = reasons[test]
        elif more.get(test) != first.get(test) \
                or test in luck and lucky.get(test) != "passed":
            outcome.unsteady.append(test)
        else:
            outcome.wrong.append(said)
    for test in reasons:
        if test not in first and test not in second:
            if not part:
                outcome.wrong.append("%s: is listed, and not there" % test)
        elif test not in differ and not reasons[test].startswith(SOMETIMES):
            outcome.wrong.append("%s: is listed, and the same" % test)
    outcome.alike = outcome.tests - len(differ)
    return outcome


def place(program, quick):
    """The folder of its runs."""
    return BUILD / "runs" / program.name.replace(", ", "-").replace(
        " ", "-") / ("quick" if quick and program.quick !=
                     program.commands else "all")


def recall(program):
    """The Outcome of the last runs that were kept; Absent: there are none."""
    version = fetch(program, BUILD)[1]
    for folder in place(program, False), place(program, True):
        if (folder / "under.json").exists():
            def last(kind):
                return json.loads((folder / (kind + ".json")).read_text()
                                  )["value"]

            def again(kind):
                second = (folder / (kind + "-again.json")).exists()
                return last(kind + "-again" if second else kind)
            return compare(Outcome(program.name, version), last("plain"),
                           last("under"), again, listed(program.name),
                           folder != place(program, False))
    raise Absent("not run yet")


def check(program, quick):
    """Run what has to be run."""
    source, version = fetch(program, BUILD)
    folder = place(program, quick)
    used = [path.read_bytes() for path in sorted(USED.glob("*.py"))
            if "{used}/" + path.name in program.commands]
    key = digest(program.arguments(quick), program.where, version,
                 program.seconds, sys.version, *used)

    def run(kind):
        one = Run(program, quick, source, folder / kind)
        return one.done(kind.startswith("under"))

    plain = kept(folder / "plain.json", key, lambda: run("plain"))
    built = digest(key, package_digest())
    under = kept(folder / "under.json", built, lambda: run("under"))

    def again(kind):
        return kept(folder / (kind + "-again.json"),
                    built if kind == "under" else key,
                    lambda: run(kind + "-again"))
    return compare(Outcome(program.name, version), plain, under, again,
                   listed(program.name), folder != place(program, False))


def show(outcome):
    """A paragraph for those who watch."""
    print("%s %s: %d tests, %d alike, %d listed, %d unsteady, %d starts "
          "through xlchild" % (
              outcome.name, outcome.version, outcome.tests, outcome.alike,
              len(outcome.known), len(outcome.unsteady), outcome.through))
    for line in outcome.wrong:
        print("    DIFFERENT %s" % line)
    for test in outcome.unsteady:
        print("    unsteady %s" % test)
    sys.stdout.flush()


HEAD = """# Other programs' own tests, under xlchild

Written by `make check-programs`, from its runs (of some, here, the quick ones).
Each program's tests are run by
python and under [`xlchild.under --children`](tasks/under.md), and the
verdicts compared; a test that differs from itself, run plain twice, is
unsteady and says nothing. tests/programs/ has the rows and the reasons. Those
that are "used" are run by tests of ours, in tests/programs/used: what a program
of theirs does.

| program | version | tests | alike | different, with a reason | without | \
unsteady | starts through xlchild | past it |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def write(outcomes, skipped):
    """docs/programs.md."""
    text = HEAD
    for one in outcomes:
        past = ", ".join("%s %d" % (reason, one.past[reason]) for reason
                         in sorted(one.past, key=lambda r: -one.past[r]))
        text += "| %s | %s | %d | %d | %d | %d | %d | %d | %s |\n" % (
            one.name, one.version, one.tests, one.alike, len(one.known),
            len(one.wrong), len(one.unsteady), one.through, past or "-")
    known = [(one.name, test, reason) for one in outcomes
             for test, reason in one.known.items()]
    if known:
        text += "\n| program | test | why it differs |\n| --- | --- | --- |\n"
        text += "".join("| %s | %s | %s |\n" % row for row in known)
    if skipped:
        text += "\nNot run here:\n\n"
        text += "".join("- %s: %s\n" % row for row in skipped)
    (ROOT / "docs" / "programs.md").write_text(text)


def main(words):
    """Run the programs named, or all; return the exit status."""
    quick, table = "--quick" in words, "--write" in words
    names = [word for word in words if not word.startswith("--")]
    outcomes, skipped, failed = [], [], 0
    for program in PROGRAMS:
        if names and program.name not in names \
                or quick and program.quick is None and not names:
            continue
        lacking = missing(program)
        try:
            if lacking:
                raise Absent("not installed: %s" % " ".join(lacking))
            outcome = recall(program) if "--kept" in words \
                else check(program, quick)
        except Absent as error:
            print("SKIP %s: %s" % (program.name, error), flush=True)
            skipped.append((program.name, str(error)))
            continue
        show(outcome)
        outcomes.append(outcome)
    if table:
        write(outcomes, skipped)
    failed = sum(len(one.wrong) for one in outcomes)
    passed = sum(one.alike + len(one.known) for one in outcomes)
    left = sum(len(one.unsteady) for one in outcomes) + len(skipped)
    print("%d passed, %d failed, %d skipped" % (passed, failed, left))
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
