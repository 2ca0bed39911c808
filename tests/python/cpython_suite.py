"""One of CPython's own test modules, with our names in place of Python's.

Run by test_cpython.py, in the interpreter whose suite it is:

    cpython_suite.py SUITE SHARE SHARES [CASE...]

The suites are the keys of SUITES. Runs every SHARES-th case from SHARE on, or
the cases named, and prints a line for each: outcome, case and the last line
of what went wrong, separated by tabs.
"""
import asyncio
import importlib
import subprocess
import sys
import unittest

import xlchild
from xlchild import aio

FUNCTIONS = ("Popen", "run", "call", "check_call", "check_output",
             "getoutput", "getstatusoutput")


def drop_in():
    """test_subprocess: every start is ours."""
    for name in FUNCTIONS:
        setattr(subprocess, name, getattr(xlchild, name))
    module = importlib.import_module("test.test_subprocess")
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def asyncio_cases(mixin, **members):
    """The cases of asyncio's mixin, as a class of its own."""
    from test.test_asyncio import utils
    kind = type("Xlchild" + mixin.__name__, (mixin, utils.TestCase),
                dict(members, __module__=mixin.__module__))
    return unittest.defaultTestLoader.loadTestsFromTestCase(kind)


def watcher():
    """asyncio's starts, our child watcher."""
    from test.test_asyncio import test_subprocess as module
    return asyncio_cases(module.SubprocessWatcherMixin,
                         Watcher=staticmethod(aio.new_child_watcher),
                         _get_watcher=lambda self: aio.new_child_watcher())


def created():
    """asyncio.create_subprocess_* are ours; no watcher is asked."""
    from test.test_asyncio import test_subprocess as module
    mixin = module.SubprocessMixin
    for name in "create_subprocess_exec", "create_subprocess_shell":
        setattr(asyncio, name, getattr(aio, name))
        setattr(asyncio.subprocess, name, getattr(aio, name))

    def set_up(self):
        super(mixin, self).setUp()
        self.loop = asyncio.new_event_loop()
        self.set_event_loop(self.loop)

    return asyncio_cases(mixin, setUp=set_up)


def installed():
    """test_subprocess as it is, after install()."""
    module = importlib.import_module("test.test_subprocess")
    del module.ProcessTestCaseNoPoll  # the same over select(), not ours
    xlchild.install()
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def loops():
    """asyncio's own starts and loops, after install()."""
    from test.test_asyncio import test_subprocess as module
    xlchild.install()

    def set_up(self):
        super(module.SubprocessMixin, self).setUp()
        self.loop = asyncio.new_event_loop()
        self.set_event_loop(self.loop)

    return asyncio_cases(module.SubprocessMixin, setUp=set_up)


SUITES = {"subprocess": drop_in, "aio-watcher": watcher,
          "aio-created": created, "installed": installed,
          "aio-installed": loops}


def cases_of(suite):
    """The cases, flat and in the order of the suite."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases_of(item)
        else:
            yield item


class Lines(unittest.TestResult):
    """A line for each case."""

    def startTest(self, test):
        """Nothing has gone wrong yet."""
        super().startTest(test)
        self.outcome, self.why = "ok", ""

    def stopTest(self, test):
        """Say how it went."""
        super().stopTest(test)
        print(self.outcome, test.id(), self.why, sep="\t", flush=True)

    def went_wrong(self, error):
        """Keep the last line."""
        text = str(error[1]).strip().splitlines() or [""]
        self.outcome = "failed"
        self.why = "%s: %s" % (error[0].__name__, text[-1])

    def addFailure(self, test, error):
        """An assertion."""
        self.went_wrong(error)

    def addError(self, test, error):
        """Another exception."""
        if not hasattr(self, "outcome"):  # setUpModule
            print("failed", test.id(), error[1], sep="\t", flush=True)
        else:
            self.went_wrong(error)

    def addSubTest(self, test, subtest, error):
        """A part of a case."""
        if error is not None:
            self.went_wrong(error)

    def addSkip(self, test, reason):
        """Not for this machine."""
        self.outcome, self.why = "skipped", reason

    def addUnexpectedSuccess(self, test):
        """CPython itself expects a failure."""
        self.outcome, self.why = "failed", "unexpected success"


def main(name, share, shares, *named):
    """Run this share of the suite."""
    cases = list(cases_of(SUITES[name]()))
    if named:
        cases = [case for case in cases if case.id() in named]
    else:
        cases = cases[int(share)::int(shares)]
    unittest.TestSuite(cases).run(Lines())


if __name__ == "__main__":
    main(*sys.argv[1:])
