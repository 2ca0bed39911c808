"""CPython's own tests of subprocess and of asyncio's children, on ours.

The system's Python always; with XLCHILD_SUITES=all (make check-pythons) the
other ones at hand too. What does not pass is listed in cpython_expected.txt,
with the suite, the versions and a reason; a case that is listed and passes, or
is not there, fails. A summary for each goes to build/cpython/.
"""
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT
from pythons import VERSIONS, build

import xlchild

pytestmark = pytest.mark.own_process
THIS = "%d.%d" % sys.version_info[:2]
SUITES = ["subprocess", "aio-watcher", "aio-created", "installed",
          "aio-installed"]
SHARES = 6
PERCENT = 95
SECONDS = 240
LIST = Path(__file__).with_name("cpython_expected.txt")
RUNNER = str(Path(__file__).with_name("cpython_suite.py"))


def number(version):
    """"3.11" as (3, 11)."""
    return tuple(map(int, version.split(".")))


def expected(version, suite):
    """The cases that are listed for this version and suite."""
    found = set()
    for line in LIST.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        versions, case, reason = line.split("\t")
        name, _, versions = versions.partition(" ")
        assert name in SUITES, line
        if name != suite:
            continue
        first, _, last = versions.partition("-")
        assert reason
        if number(first) <= number(version) <= number(last or first):
            found.add(case)
    return found


class Suite:
    """One suite in one interpreter."""

    def __init__(self, python, path, suite, folder):
        self.command = [python, "-B", RUNNER, suite]
        self.environment = dict(os.environ, PYTHONPATH=path)
        self.folder = folder

    def start(self, *arguments):
        """A process that runs a part, in a folder of its own."""
        cwd = tempfile.mkdtemp(dir=str(self.folder))
        return subprocess.Popen(
            self.command + list(arguments), cwd=cwd, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    @staticmethod
    def outcomes(process):
        """case -> (outcome, why) of a part."""
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("took too long; so far:\n" + out) from None
        assert process.returncode == 0, err
        lines = [line.split("\t", 2) for line in out.splitlines()
                 if line.count("\t") >= 2]
        return {case: (outcome, why) for outcome, case, why in lines}

    def run(self):
        """All cases, in parallel parts."""
        parts = [self.start(str(n), str(SHARES)) for n in range(SHARES)]
        found = {}
        for part in parts:
            found.update(self.outcomes(part))
        return found

    def alone(self, case):
        """One case once more, with the machine less busy."""
        return self.outcomes(self.start("0", "1", case))[case]


def check(version, suite, one):
    """Compare with the list; keep a summary."""
    listed = expected(version, suite)
    found = one.run()
    wrong = ["%s is listed and not there" % case
             for case in sorted(listed - found.keys())]
    for case, (outcome, why) in sorted(found.items()):
        if outcome == "failed" and case not in listed:
            outcome, why = found[case] = one.alone(case)
            if outcome == "failed":
                wrong.append("%s failed: %s" % (case, why))
        elif outcome == "ok" and case in listed:
            wrong.append("%s is listed and passes" % case)
    passed = sum(o == "ok" for o, _ in found.values())
    failed = sum(o == "failed" for o, _ in found.values())
    skipped = len(found) - passed - failed
    percent = 100 * passed / max(passed + failed, 1)
    summary = "%s %s: %d of %d pass (%.1f %%), %d skipped\n" \
        % (version, suite, passed, passed + failed, percent, skipped)
    kept = ROOT / "build" / "cpython"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / ("%s-%s.txt" % (version, suite))).write_text(summary)
    assert not wrong, summary + "\n".join(wrong)
    assert passed > 20, summary
    if suite == "subprocess":
        assert percent >= PERCENT, summary


def has(suite, version):
    """Is there such a suite in that version?"""
    return suite != "aio-watcher" or number(version) < (3, 14)


# "installed" is the whole suite once more, half a minute of it: check-all's.
@pytest.mark.parametrize("suite", [
    pytest.param(s, marks=pytest.mark.long) if s == "installed" else s
    for s in SUITES if has(s, THIS)])
def test_of_this_python(suite, tmp_path):
    """The system's Python; its suite is a package of Debian's."""
    if importlib.util.find_spec("test.test_subprocess") is None:
        pytest.skip("no test.test_subprocess (Debian: libpython%s-testsuite)"
                    % THIS)
    package = str(Path(xlchild.__file__).parent.parent)
    check(THIS, suite, Suite(sys.executable, package, suite, tmp_path))


if os.environ.get("XLCHILD_SUITES") == "all":
    @pytest.mark.parametrize("version", VERSIONS)
    def test_of_another_python(version, tmp_path):
        """The same there."""
        package = tmp_path / "package"
        package.mkdir()
        python = build(version, package)
        for suite in SUITES:
            if has(suite, version):
                folder = tmp_path / suite
                folder.mkdir()
                check(version, suite,
                      Suite(python, str(package), suite, folder))
