"""The exceptions, one a kind of failure, and statuses of strangers.

The extension (bindings/python/errors.c) calls :func:`from_code` with what the
C library returned.
"""
import errno as _errno
import os

from ._status import Status

__all__ = [
    "XlchildError", "SpawnError", "InvalidArgumentError", "BusyError",
    "NotFoundError", "ConflictError", "UnavailableError", "LostError",
    "SystemFailure", "AbortedError",
]

ERROR_NAMES = {
    -1: "NONSPECIFIC", -2: "VERSION", -3: "FAIL", -4: "NI", -5: "NOMEM",
    -6: "INVAL", -7: "BADFAIL", -9: "TIMEDOUT", -11: "NOT_READY",
    -12: "OSEVENT_REG_FAIL", -13: "BUFFERFULL", -14: "UNKNOWN_CHILD",
    -15: "LOCK_FAIL", -22: "ABORTED", -23: "NOTFOUND", -128: "SPAWN",
    -129: "SIGCHLD_CONFLICT", -130: "SIGCHLD_UNAVAILABLE", -131: "BUSY",
    -132: "INTERRUPTED", -133: "SYSTEM", -134: "PERMISSION", -135: "LIMIT",
    -136: "FDS_CLOSED",
}
ERROR_NOT_READY = -11
# whose code raises what this package asks for: see raised_by_others
_OURS = (__name__.partition(".")[0], "os", "tempfile")


def raised_by_others(error):
    """Not by this package: by a signal handler, say. Its TimeoutError is no
    word about a command, though it is an OSError too."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = str(traceback.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] not in _OURS


class XlchildError(Exception):
    """Whatever the library refused or failed to do.

    ``code`` is the C library's number (``ERROR_…``, negative), ``name`` its
    name without the prefix, ``errno`` the system's error or None.

    >>> import xlchild
    >>> child = xlchild.spawn(["true"])
    >>> status = child.wait()
    >>> try:
    ...     child.send_signal(15)
    ... except xlchild.XlchildError as error:
    ...     print(error.name, error.code)
    NOTFOUND -23
    """

    code = -1
    stage = None

    def __init__(self, message="", code=None, errno=None):
        super().__init__(message)
        if code is not None:
            self.code = code
        if not isinstance(self, OSError) or errno is not None:
            self.errno = errno

    @property
    def name(self):
        """The code's name, such as ``"BUSY"``."""
        return ERROR_NAMES.get(self.code, str(self.code))


class InvalidArgumentError(XlchildError, ValueError):
    """An argument that the library refuses; ``argument`` is its name.

    >>> import xlchild
    >>> try:
    ...     xlchild.spawn(["true"], nice=99)
    ... except xlchild.InvalidArgumentError as error:
    ...     print(error.argument)
    nice
    """

    code = -6
    argument = None


class BusyError(XlchildError):
    """In use: a call or an operation is under way, or children live.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["true"])
    ...     try:
    ...         ctx.setmode(xlchild.SigchldOwner.MAINLOOP)
    ...     except xlchild.BusyError:
    ...         print("not before", child.wait())
    not before exit 0
    """

    code = -131


class NotFoundError(XlchildError, LookupError):
    """No such child, or its end has been reported already.

    >>> import xlchild
    >>> try:
    ...     xlchild.start_time(2 ** 22)  # more than any pid
    ... except xlchild.NotFoundError as error:
    ...     print(error)
    start_time: not found
    """

    code = -23


class ConflictError(XlchildError):
    """Another context of this process owns SIGCHLD incompatibly.

    >>> import xlchild
    >>> with xlchild.Context(xlchild.SigchldOwner.MAINLOOP):
    ...     try:
    ...         xlchild.Context(xlchild.SigchldOwner.LIBXL)
    ...     except xlchild.ConflictError:
    ...         print("the program itself reaps here")
    the program itself reaps here
    """

    code = -129


class UnavailableError(XlchildError):
    """There is no way here to notice the child's exit.

    That happens on old kernels, where SIGCHLD is ignored or blocked. Nothing
    was started.

    >>> import signal, xlchild
    >>> try:
    ...     child = xlchild.spawn(["true"])
    ... except xlchild.UnavailableError:
    ...     signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ...     child = xlchild.spawn(["true"])
    >>> print(child.wait())
    exit 0
    """

    code = -130


class AbortedError(XlchildError):
    """The operation was aborted: its number is the event's ``rc``.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     aborted = ctx.abort(ctx.start(["sleep", "1000"]))
    ...     print(ctx.wait_event().rc == xlchild.AbortedError.code)
    True
    """

    code = -22


class LostError(XlchildError, ChildProcessError):
    """The status of a child could not be learnt; ``status`` says why.

    >>> import os, xlchild
    >>> with xlchild.Popen(["sh", "-c", "exit 3"]) as p:
    ...     stolen = os.waitpid(p.pid, 0)
    ...     try:
    ...         code = p.wait()  # Linux 6.15 and later still tell
    ...     except xlchild.LostError as error:
    ...         code = error.status.lost
    >>> code in (3, xlchild.LostReason.STOLEN)
    True
    """

    status = None


class SystemFailure(XlchildError, OSError):
    """A system call failed, outside the start of a child.

    >>> import resource, xlchild
    >>> limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    >>> resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    >>> try:
    ...     xlchild.Context()
    ... except xlchild.SystemFailure as error:
    ...     print(error)
    ... finally:
    ...     resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    Context: Too many open files
    """

    code = -133

    def __init__(self, message="", code=None, errno=None):
        OSError.__init__(self, errno or 0, message)
        self.code = self.code if code is None else code

    def __str__(self):
        return str(self.strerror)


class SpawnError(XlchildError, OSError):
    """A child could not be set up or executed. There is none.

    ``stage`` names the step (``"exec"``, ``"chdir"``, ``"fork"``, …),
    ``errno`` is the system's error, ``filename`` what that is about: the
    program, the directory, the cgroup, the file of a stream, "fd 7"; or None.
    It is a FileNotFoundError,
    PermissionError or NotADirectoryError too where the errno says so.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     try:
    ...         ctx.spawn(["/nonexistent/program"])
    ...     except xlchild.SpawnError as error:
    ...         print(error.stage, isinstance(error, FileNotFoundError))
    exec True
    """

    code = -128

    def __new__(cls, stage="none", errno=0, filename=None, code=-128,
                argument=None):
        """Be the OSError of that errno as well."""
        if cls is SpawnError:
            cls = _BY_ERRNO.get(errno, SpawnError)
        text = os.strerror(errno) if errno else "could not be started"
        if filename is None:
            return OSError.__new__(cls, errno, text)
        return OSError.__new__(cls, errno, text, filename)

    def __init__(self, stage="none", errno=0, filename=None, code=-128,
                 argument=None):
        self.stage = stage
        self.code = code
        self.argument = argument

    def __reduce__(self):
        return (SpawnError, (self.stage, self.errno, self.filename,
                             self.code, self.argument))

    def __str__(self):
        words = OSError.__str__(self)
        if self.filename is None and words.endswith(": None"):
            words = words[:-len(": None")]
        if self.errno == _errno.EMFILE:
            words += " (a living child takes one, and all %d that " \
                "RLIMIT_NOFILE allows are in use)" % os.sysconf("SC_OPEN_MAX")
        return "[stage %s] %s" % (self.stage, words)


class _SpawnNotFound(SpawnError, FileNotFoundError):
    """The program or directory does not exist."""


class _SpawnPermission(SpawnError, PermissionError):
    """The kernel does not allow it."""


class _SpawnNotADirectory(SpawnError, NotADirectoryError):
    """A directory was expected."""


class _SpawnBlocking(SpawnError, BlockingIOError):
    """Too many processes, for now."""


for _class in (_SpawnNotFound, _SpawnPermission, _SpawnNotADirectory,
               _SpawnBlocking):
    _class.__name__ = _class.__qualname__ = "SpawnError"

_BY_ERRNO = {
    _errno.ENOENT: _SpawnNotFound,
    _errno.EACCES: _SpawnPermission,
    _errno.EPERM: _SpawnPermission,
    _errno.ENOTDIR: _SpawnNotADirectory,
    _errno.EAGAIN: _SpawnBlocking,
}

_CLASSES = {
    -131: BusyError, -23: NotFoundError, -14: NotFoundError,
    -129: ConflictError, -130: UnavailableError, -22: AbortedError,
}


class _Twofold(InvalidArgumentError):
    """One that is an OSError as well, as with subprocess."""

    def __init__(self, message, code, *about):
        OSError.__init__(self, *about)
        self.code = code
        self._words = message

    def __str__(self):
        return self._words


class _NoProgram(_Twofold, PermissionError):
    """An empty program name: what execve makes of a folder."""


class NoSignal(_Twofold, OSError):
    """What kill makes of a number that is no signal's."""


for _kind in _Twofold, _NoProgram, NoSignal:
    _kind.__name__ = _kind.__qualname__ = "InvalidArgumentError"

class _Refused(SystemFailure, PermissionError):
    """The kernel does not allow it, such as a signal to another user's."""


_Refused.__name__ = _Refused.__qualname__ = "SystemFailure"
_PREFIX = "libxl_childproc_"

# what a member of the spec has to be, for those who gave another thing
_WANTED = {
    "argv": "the program and its arguments; the program is not empty",
    "path": "a program, not empty",
    "flags": "LIBXL_SPAWN_ bits; a session or group of its own and one that "
             "is joined exclude each other",
    "group": "a process group's number, above 1",
    "uid": "0 to 4294967294", "gid": "0 to 4294967294",
    "umask": "0 to 0o777", "nice": "-20 to 19",
    "pdeathsig": "a signal's number, 0 to 64",
    "ctty_fd": "an open fd of a terminal",
    "rlimits": "(resource, soft, hard), resource one of resource.RLIMIT_...",
    "cwd": "a folder, not empty",
    "cgroup": "the absolute path of a cgroup v2 folder",
    "on_free": "a FreePolicy",
    "kill": "KillPolicy(signal 0 to 64, grace >= 0, scope); scope GROUP needs "
            "new_group or new_session, CGROUP needs cgroup",
    "exited_grace_ms": "milliseconds, 0 or more",
    "family": "a Family of this Context that had no child yet, and none of "
              "group, cgroup and kill that contradicts it",
    "fds": "child's fd (0 to 1048575) -> an open fd, FD_NULL or FD_CLOSED; "
           "each of the child's once",
    "ctx": "a Context of this process: one that was inherited by fork is the "
           "parent's (make another one here)",
}
_WORDS = {
    "adopt": "a process that is alive, not this one, not init, and not a "
             "child of a Context already",
    "libxl_childproc_kill": "a signal's number, 1 to 64; scope GROUP for one "
                            "that leads a group, CGROUP for one started in "
                            "a cgroup",
    "libxl_family_signal": "a signal's number, 0 to 64",
    "libxl_family_end": "a signal's number, 0 to 64, and a grace >= 0",
    "libxl_childproc_terminate": "a KillPolicy that fits this child",
}
_INHERITED = "the Context is the parent process's: make another one here"


def from_code(code, errno, what, stage, argument, subject):
    """The exception for a code of the C library.

    ``stage`` is None unless a start failed; ``what`` is then the program,
    otherwise the operation. ``subject`` is what errno is about, or None.
    """
    if code == -5 and not errno:
        return MemoryError(what)
    if code == -9:
        return TimeoutError(what)
    if code == -6:
        return _invalid(code, what, stage, argument)
    if stage is not None and code in (-128, -133, -5):
        return SpawnError(stage, errno, subject, code, argument)
    if what and what.startswith(_PREFIX):
        what = what[len(_PREFIX):]
    elif what and what.startswith("libxl_family_"):
        what = what[len("libxl_"):]
    if code == -134:
        errno = errno or _errno.EPERM
        return _Refused("%s: %s" % (what, os.strerror(errno)), code, errno)
    if code in (-133, -5):
        return SystemFailure("%s: %s" % (what, os.strerror(errno) if errno
                                         else "refused"), code, errno)
    from . import _libxl
    message = "%s: %s" % (what, _libxl.libxl_strerror(code))
    return _CLASSES.get(code, XlchildError)(message, code, errno or None)


def _invalid(code, what, stage, argument):
    """What was wrong, and what it has to be."""
    words = "%s: invalid argument" % (what or "spawn")
    wanted = _WORDS.get(what) if argument is None else _WANTED.get(argument)
    if argument:
        words += ": " + argument
    if wanted:
        words += " (it has to be %s)" % wanted
    if argument in ("argv", "path") and what == "":
        error = _NoProgram(words, code, _errno.EACCES,
                           os.strerror(_errno.EACCES), "")
    else:
        error = InvalidArgumentError(words, code)
    error.argument = argument
    error.stage = stage
    return error


def inherited(what):
    """For a Context that this process got by fork."""
    error = InvalidArgumentError("%s: %s" % (what, _INHERITED))
    error.argument = "ctx"
    return error


def status_of_stranger(pid, status):
    """The Status of a child that no context started."""
    return Status((0, pid, status, 0, 1, None))
