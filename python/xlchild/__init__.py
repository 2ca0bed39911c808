"""Start and reap children inside somebody else's program.

A treaty about SIGCHLD: who owns it, who reaps, and how each status reaches
the one who started the child. See Context; run(), spawn() and Popen use a
context of the process's own. The log is the logger ``xlchild``.
"""
try:
    from . import _libxl
except ImportError as _error:
    from ._extension import explanation
    raise ImportError(explanation(__path__[0], _error)) from None

__version__ = _libxl.libxl_version_string()

__all__ = [
    "AbortedError", "Account", "BusyError", "CalledProcessError",
    "CompletedProcess", "ConflictError", "Context", "DEVNULL", "Diagnosis",
    "ERROR_NOT_READY", "EndedBy", "Event", "EventType", "FD_CLOSED", "FD_NULL",
    "Family", "FreePolicy", "InvalidArgumentError", "KillPolicy", "KillScope",
    "Lost", "LostError", "LostReason", "NotFoundError", "PIPE", "Popen",
    "Process", "Report", "STDOUT", "SigchldOwner", "Source", "SpawnError",
    "Status", "StatusKind", "SubprocessError", "SystemFailure",
    "TimeoutExpired", "UnavailableError", "XlchildError", "call", "check_call",
    "check_output", "default_context", "getoutput", "getstatusoutput",
    "install", "list2cmdline", "postfork_child_noexec", "report",
    "route_unknown_children", "run", "spawn", "start_time", "uninstall",
]

# Where the names are. They are imported when they are asked for: a program
# pays for what it uses, and the command line for little.
_PLACES = {
    "._account": "Account",
    "._completed": "CompletedProcess",
    "._context": "Context default_context",
    "._enums": "EndedBy EventType FreePolicy KillScope LostReason "
               "SigchldOwner Source StatusKind",
    "._errors": "AbortedError BusyError ConflictError ERROR_NOT_READY "
                "InvalidArgumentError LostError NotFoundError SpawnError "
                "SystemFailure UnavailableError XlchildError",
    "._events": "Event",
    "._family": "Family",
    "._install": "install uninstall",
    "._popen": "Popen",
    "._process": "Process",
    "._router": "route_unknown_children",
    "._run": "call check_call check_output getoutput getstatusoutput run "
             "spawn",
    "._spec": "DEVNULL FD_CLOSED FD_NULL KillPolicy PIPE STDOUT",
    "._starts": "Report report",
    "._status": "Lost Status",
    "._treaty": "Diagnosis",
    "subprocess": "CalledProcessError SubprocessError TimeoutExpired "
                  "list2cmdline",
}
_PLACE = {name: place for place, names in _PLACES.items()
          for name in names.split()}


def __getattr__(name):
    """A public name, for the first time."""
    place = _PLACE.get(name)
    if place is None:
        raise AttributeError("module %r has no attribute %r"
                             % (__name__, name))
    from importlib import import_module
    if "_completed" not in globals():  # for all that may be asked for later
        import_module("._completed", __name__)
    found = getattr(import_module(place, __name__), name)
    return globals().setdefault(name, found)


def __dir__():
    return sorted(set(globals()).union(__all__))


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
