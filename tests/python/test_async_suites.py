"""trio's and anyio's own tests of children, on ours.

trio's are a part of its Debian package. anyio's are in the source package
alone, which is fetched to build/ by `make check-async`, or named by
XLCHILD_ANYIO_SUITE (a test_subprocesses.py). What does not pass is listed in
async_expected.txt with a reason; a case that is listed and passes, or is not
there, fails.
"""
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import xlchild

pytestmark = pytest.mark.own_process
LIST = Path(__file__).with_name("async_expected.txt")
SECONDS = 300
SHARES = 4


def found(name):
    """There is such a module; its parents are imported for that."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def trio_suite():
    """The module's name, or None."""
    for name in "trio.tests.test_subprocess", "trio._tests.test_subprocess":
        if found(name):
            return name
    return None


def anyio_suite():
    """The file, or None."""
    named = os.environ.get("XLCHILD_ANYIO_SUITE")
    if named:
        return Path(named)
    kept = sorted((ROOT / "build" / "anyio").glob(
        "*/tests/test_subprocesses.py"))
    return kept[-1] if kept else None


def start(folder, share, *arguments):
    """A process that runs a part: every SHARES-th case from share on."""
    package = str(Path(xlchild.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-B", "-W", "ignore", "-m", "pytest", "-q",
         "-p", "no:cacheprovider", "-p", "async_suite", "--rootdir",
         str(folder), *arguments],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env=dict(os.environ, XLCHILD_SHARE=share, PYTHONPATH=os.pathsep.join(
            [package, str(Path(__file__).parent)])))


def run(folder, *arguments, shares=1):
    """case -> (outcome, why), in processes of their own."""
    parts = [start(folder, "%d/%d" % (n, shares), *arguments)
             for n in range(shares)]
    found = {}
    for part in parts:
        with part:
            try:
                out, _ = part.communicate(timeout=SECONDS)
            except BaseException:
                part.kill()
                raise
        lines = [line.split("\t", 2) for line in out.splitlines()
                 if line.count("\t") >= 2]
        assert lines, out
        found.update({case.rpartition("::")[2]: (outcome, why)
                      for outcome, case, why in lines})
    return found


def check(name, outcomes, again):
    """Compare with the list; one that failed is asked once more, alone."""
    lines = [line.split("\t") for line in LIST.read_text().splitlines()
             if line and not line.startswith("#")]
    listed = {case for suite, case, reason in lines if suite == name}
    wrong = ["%s is listed and not there" % case
             for case in sorted(listed - outcomes.keys())]
    for case, (outcome, why) in sorted(outcomes.items()):
        if outcome == "failed" and case not in listed:
            outcome, why = outcomes[case] = again(case)[case]
            if outcome == "failed":
                wrong.append("%s failed: %s" % (case, why))
        elif outcome == "ok" and case in listed:
            wrong.append("%s is listed and passes" % case)
    passed = sum(o == "ok" for o, _ in outcomes.values())
    failed = sum(o == "failed" for o, _ in outcomes.values())
    summary = "%s: %d of %d pass, %d skipped" % (
        name, passed, passed + failed, len(outcomes) - passed - failed)
    kept = ROOT / "build" / "async"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / (name + ".txt")).write_text(summary + "\n")
    assert not wrong, summary + "\n" + "\n".join(wrong)
    assert passed > 20, summary


def test_trios_own(tmp_path):
    """Process, open_process and run_process are ours."""
    suite = trio_suite()
    if suite is None:
        pytest.skip("no trio with its tests (Debian: python3-trio)")
    check("trio", run(tmp_path, "--pyargs", suite, shares=SHARES),
          lambda case: run(tmp_path, "--pyargs", suite + "::" + case))


if os.environ.get("XLCHILD_SUITES") == "all":
    def test_anyios_own(tmp_path):
        """On asyncio, uvloop and trio."""
        suite = anyio_suite()
        if suite is None:
            pytest.skip("Debian's source package of anyio is not to be had")
        file = shutil.copy(suite, tmp_path)
        (tmp_path / "conftest.py").write_text(
            "from async_suite import anyio_backend\n")
        check("anyio", run(tmp_path, file),
              lambda case: run(tmp_path, "%s::%s" % (file, case)))
