"""A pytest plugin: end the output with `N passed, N failed, N skipped`.

Loaded by the Makefile (-p summary_line) for the house and docs tests;
scripts/check.py adds the lines of all areas up.
"""
import sys

import pytest

COUNTS = {"passed": 0, "failed": 0, "skipped": 0}


def pytest_runtest_logreport(report):
    """Count each test once; a broken fixture is a failure."""
    if report.when == "call" or report.outcome != "passed":
        outcome = "failed" if report.outcome == "failed" else report.outcome
        if report.when == "call" or outcome != "passed":
            COUNTS[outcome] += 1
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) \
            else str(report.longrepr)
        print(f"\nSKIP {report.nodeid}: {reason}")


def pytest_collectreport(report):
    """A file that cannot be read is a failure too."""
    if report.failed:
        COUNTS["failed"] += 1


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Print the line after everything else that pytest prints."""
    del config
    print("{passed} passed, {failed} failed, {skipped} skipped"
          .format(**COUNTS))
    sys.stdout.flush()
