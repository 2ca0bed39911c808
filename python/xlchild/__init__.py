"""Start and reap children inside somebody else's program.

A treaty about SIGCHLD: who owns it, who reaps, and how each status reaches
the one who started the child. See Context; run(), spawn() and Popen use a
context of the process's own. The log is the logger ``xlchild``.
"""
from subprocess import (DEVNULL, PIPE, STDOUT, CalledProcessError,
                        SubprocessError, TimeoutExpired, list2cmdline)

try:
    from . import _libxl
except ImportError as _error:
    from ._extension import explanation
    raise ImportError(explanation(__path__[0], _error)) from None
from ._context import Context, default_context
from ._errors import (ERROR_NOT_READY, AbortedError, BusyError, ConflictError,
                      InvalidArgumentError, LostError, NotFoundError,
                      SpawnError, SystemFailure, UnavailableError,
                      XlchildError)
from ._events import CompletedProcess, Event, EventType
from ._install import install, uninstall
from ._popen import Popen
from ._process import Process
from ._router import route_unknown_children
from ._run import (call, check_call, check_output, getoutput, getstatusoutput,
                   run, spawn)
from ._spec import FD_CLOSED, FD_NULL, FreePolicy, KillPolicy, KillScope
from ._starts import Report, report
from ._status import Lost, LostReason, Source, Status, StatusKind
from ._treaty import Diagnosis, SigchldOwner

__version__ = _libxl.libxl_version_string()

__all__ = [
    "AbortedError", "BusyError", "CalledProcessError", "CompletedProcess",
    "ConflictError", "Context", "DEVNULL", "Diagnosis", "ERROR_NOT_READY",
    "Event", "EventType", "FD_CLOSED", "FD_NULL", "FreePolicy",
    "InvalidArgumentError", "KillPolicy", "KillScope", "Lost", "LostError",
    "LostReason", "NotFoundError", "PIPE", "Popen", "Process", "Report",
    "STDOUT", "SigchldOwner", "Source", "SpawnError", "Status", "StatusKind",
    "SubprocessError", "SystemFailure", "TimeoutExpired", "UnavailableError",
    "XlchildError", "call", "check_call", "check_output", "default_context",
    "getoutput", "getstatusoutput", "install", "list2cmdline",
    "postfork_child_noexec", "report", "route_unknown_children", "run",
    "spawn", "start_time", "uninstall",
]


def postfork_child_noexec():
    """In a child that forked and will not exec: drop the parent's contexts.

    Call it once, before any other use of this package there.

    >>> import os, xlchild
    >>> pid = os.fork()
    >>> if pid == 0:
    ...     code = 1
    ...     try:
    ...         xlchild.postfork_child_noexec()
    ...         code = xlchild.call(["sh", "-c", "exit 6"])
    ...     finally:
    ...         os._exit(code)
    >>> os.waitpid(pid, 0)[1] >> 8
    6
    """
    _libxl.postfork_child_noexec()


def start_time(pid):
    """The process's start time, in clock ticks after boot (for adopt).

    >>> import os, xlchild
    >>> xlchild.start_time(os.getpid()) > 0
    True
    """
    return _libxl.libxl_childproc_start_time(pid)
