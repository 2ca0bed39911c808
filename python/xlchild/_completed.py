"""What became of an operation, and the exception that it amounts to.

The run() of Context (_context.py), of _run.py and of aio.py return a
CompletedProcess. Apart from _events.py since subprocess is slow to import, and
with whatever a Status needs to be asked or printed: where that happens, there may
be no file left to import with.
"""
import errno
import os
import resource  # noqa: F401
import signal  # noqa: F401
import struct  # noqa: F401
import subprocess

from . import _enums, _libxl  # noqa: F401
from ._errors import AbortedError, SpawnError, XlchildError
from ._status import Status

__all__ = ["CompletedProcess", "judged", "never_ran", "unkilled"]

_REFUSED = _libxl.ERROR_PERMISSION
_SPAWN = _libxl.ERROR_SPAWN


class CompletedProcess(subprocess.CompletedProcess):
    """As subprocess has it, with the Status and what was held back.

    ``status`` is the Status (None with preexec_fn). From Context.run:
    ``timed_out`` and ``aborted`` say whether it was ended early,
    ``stdin_written`` how many bytes its pipe took, ``dropped`` how many bytes
    of (stdout, stderr) were beyond the limit, ``held_open`` whether somebody
    still held a captured pipe; ``account`` is the Account (account=True), or
    None.

    >>> import xlchild
    >>> done = xlchild.run(["sh", "-c", "exit 3"])
    >>> done.returncode, done.status.kind is xlchild.Status.EXITED
    (3, True)
    >>> done.lost is None and done.rusage.ru_maxrss > 0
    True
    """

    account = None
    timed_out = aborted = held_open = False
    stdin_written = 0
    dropped = (0, 0)

    def __init__(self, args, returncode, stdout=None, stderr=None, *,
                 status=None):
        super().__init__(args, returncode, stdout, stderr)
        self.status = status

    @classmethod
    def _of(cls, args, outcome):
        """From the tuple of bindings/python/operations.c."""
        status = Status(outcome[1])
        self = cls(args, status.returncode, outcome[5], outcome[6],
                   status=status)
        self.timed_out = bool(outcome[2])
        self.aborted = bool(outcome[3])
        self.stdin_written = outcome[4]
        self.dropped = (outcome[7], outcome[8])
        self.held_open = bool(outcome[9])
        return self

    @property
    def rusage(self):
        """The child's resource usage, or None."""
        return None if self.status is None else self.status.rusage

    @property
    def lost(self):
        """The LostReason, or None."""
        return None if self.status is None else self.status.lost


def unkilled(error, refused=None):
    """The error, which says now that the child was left running: the kernel
    did not permit the kill."""
    if refused is None:
        refused = PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    error.__cause__ = refused
    if hasattr(error, "add_note"):
        error.add_note("it could not be killed: %s" % refused)
    return error


_STREAMS = ("stdin_stream", "stdout_stream", "stderr_stream")


def never_ran(result, args, options):
    """The SpawnError of a child that was not its program yet when the call
    returned, and never was. args and options are those of Context._spawn."""
    stage, number = result[6:]
    about = {"exec": options.get("path", args[0]),
             "chdir": options.get("cwd"),
             "cgroup": options.get("cgroup")}
    return SpawnError(stage, number, about.get(stage))


def _not_started(request, outcome):
    """The same of an operation; one of its streams may be what failed."""
    if outcome[10] in _STREAMS:
        stage, number = outcome[1][6:]
        return SpawnError(stage, number,
                          request[2 + _STREAMS.index(outcome[10])][1])
    return never_ran(outcome[1], *request[:2])


def judged(done, outcome, timeout, check, request):
    """The CompletedProcess, or the exception that it amounts to. request is
    what was asked for (Context._request)."""
    code = outcome[0]
    if code in (-9, _REFUSED) and done.timed_out:
        error = _accounted(subprocess.TimeoutExpired(
            done.args, timeout, done.stdout, done.stderr), done)
        raise unkilled(error) if code == _REFUSED else error
    if code in (-22, _REFUSED):
        error = _accounted(AbortedError("aborted", code), done)
        raise unkilled(error) if code == _REFUSED else error
    if code == -5:
        raise MemoryError("output could not be kept")
    if code == _SPAWN and len(outcome[1]) > 6:
        raise _not_started(request, outcome)
    if code != 0:
        raise XlchildError(_libxl.libxl_strerror(code), code)
    if check:
        checked(done)
    return done


def checked(done):
    """check_returncode; its error has the Account, too."""
    try:
        done.check_returncode()
    except subprocess.CalledProcessError as error:
        _accounted(error, done)
        raise


def _accounted(error, done):
    """The error, with the Account that the result has."""
    if done.account is not None:
        error.account = done.account
    return error
