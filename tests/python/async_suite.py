"""trio's and anyio's own tests of children, with our functions in the place
of theirs.

A plugin of pytest's, loaded by test_async_suites.py in a process of its own:

    python3 -m pytest -p async_suite --pyargs trio.tests.test_subprocess

Prints a line for each case: outcome, case and the last line of what went
wrong, separated by tabs.
"""
import os

import pytest

import xlchild.anyio
import xlchild.trio

FUNCTIONS = ("Process", "open_process", "run_process")


class Process(xlchild.trio.Process):
    """trio's cases look whether the pidfd is closed. There is none."""

    _pidfd = None


def pytest_collection_modifyitems(items):
    """Every start is ours."""
    for module in {item.module for item in items}:
        ours = xlchild.trio
        if "anyio" in module.__file__ or hasattr(module, "anyio"):
            ours = xlchild.anyio
        for name in FUNCTIONS:
            if hasattr(module, name):
                setattr(module, name, getattr(ours, name))
    share, _, shares = os.environ.get("XLCHILD_SHARE", "0/1").partition("/")
    items[:] = items[int(share)::int(shares)]


@pytest.fixture(params=["asyncio", "asyncio+uvloop", "trio"])
def anyio_backend(request):
    """As anyio's own configuration has them; for a conftest.py."""
    name, _, uvloop = request.param.partition("+")
    if name == "trio":
        return name
    return name, {"debug": True, "use_uvloop": bool(uvloop)}


def pytest_runtest_logreport(report):
    """A line for each case that ran, or could not."""
    if report.when != "call" and report.passed \
            or report.when == "teardown" and not report.failed:
        return
    case = report.nodeid.rpartition("/")[2]
    why = ""
    if report.failed:
        outcome = "failed"
        why = (str(report.longrepr).strip().splitlines() or [""])[-1]
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None:
            why = (crash.message.splitlines() or [""])[0]
    elif report.skipped and hasattr(report, "wasxfail"):
        outcome, why = "skipped", report.wasxfail
    elif report.skipped:
        outcome, why = "skipped", str(report.longrepr[-1])
    else:
        outcome = "ok"
    print("\n%s\t%s\t%s" % (outcome, case, why), flush=True)


xlchild.trio.Process = Process
