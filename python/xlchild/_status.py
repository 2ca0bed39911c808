"""How a child ended: the kernel's word, or LOST with a reason.

Made from the tuples of bindings/python/results.c.
"""
import enum
import os
import resource
import signal
import struct

__all__ = ["Status", "StatusKind", "Lost", "LostReason", "Source"]

_RUSAGE = struct.Struct("@18l")


class StatusKind(enum.Enum):
    """The three ways of having ended.

    >>> import xlchild
    >>> status = xlchild.run(["sh", "-c", "kill -9 $$"]).status
    >>> status.kind is xlchild.StatusKind.SIGNALED
    True
    """

    EXITED = "exited"
    SIGNALED = "signaled"
    LOST = "lost"


class LostReason(enum.IntEnum):
    """Why a status could not be learnt.

    >>> import xlchild
    >>> print(xlchild.LostReason.IGNORED.text)
    SIGCHLD was ignored, and the kernel threw the status away
    """

    STOLEN = 1
    IGNORED = 2
    NOT_PASSED = 3
    NOT_OURS = 4
    NUMBER_REUSED = 5
    LEFT = 6

    @property
    def text(self):
        """The reason in words."""
        from . import _libxl
        return _libxl.libxl_childproc_lost_text(int(self))


class Source(enum.IntEnum):
    """How the status reached the library.

    >>> import xlchild
    >>> xlchild.run(["true"]).status.source is xlchild.Source.REAPED
    True
    """

    NONE = 0
    REAPED = 1
    PASSED = 2
    PIDFD = 3


class Lost:
    """Stands where a return code would, and equals none: it is not known.

    True in a boolean context, so that ``if returncode:`` sees a failure.

    >>> import xlchild
    >>> returncode = xlchild.Lost(xlchild.LostReason.STOLEN)
    >>> returncode, bool(returncode), returncode == 0, returncode < 0
    (Lost(STOLEN), True, False, False)
    """

    __slots__ = ("reason",)

    def __init__(self, reason):
        self.reason = LostReason(reason)

    def __repr__(self):
        return "Lost(%s)" % self.reason.name

    def __eq__(self, other):
        return isinstance(other, Lost) and self.reason == other.reason

    def __hash__(self):
        return hash((Lost, self.reason))

    def __lt__(self, other):
        return False

    __gt__ = __le__ = __ge__ = __lt__


class Status:
    """How a child ended.

    It compares with numbers, and is true or false, as its returncode: true is
    a failure, as with subprocess.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["sh", "-c", "exit 3"])
    ...     status = child.wait()
    >>> print(status)
    exit 3
    >>> status == 3, bool(status)
    (True, True)
    >>> status.kind is xlchild.Status.EXITED, status.exitcode, status.success
    (True, 3, False)
    >>> status.raw, status.returncode, status.lost, status.source.name
    (768, 3, None, 'REAPED')
    >>> status.pid == child.pid, status.rusage.ru_maxrss > 0
    (True, True)
    >>> status = xlchild.run(["sh", "-c", "kill -TERM $$"]).status
    >>> status.signal, status.core_dumped, status.returncode
    (15, False, -15)
    """

    __slots__ = ("_result",)

    EXITED = StatusKind.EXITED
    SIGNALED = StatusKind.SIGNALED
    LOST = StatusKind.LOST

    def __init__(self, result):
        self._result = result

    @property
    def pid(self):
        """The process's id, which may belong to another one by now."""
        return self._result[1]

    @property
    def raw(self):
        """The status as ``os.waitpid`` gives it; None if it is lost."""
        return None if self._result[3] else self._result[2]

    @property
    def lost(self):
        """The LostReason, or None: the status is the kernel's."""
        return LostReason(self._result[3]) if self._result[3] else None

    @property
    def source(self):
        """How it was learnt: a Source."""
        return Source(self._result[4])

    @property
    def kind(self):
        """A StatusKind: Status.EXITED, Status.SIGNALED or Status.LOST."""
        if self._result[3]:
            return StatusKind.LOST
        if os.WIFSIGNALED(self._result[2]):
            return StatusKind.SIGNALED
        return StatusKind.EXITED

    @property
    def exitcode(self):
        """0 to 255; None unless it exited."""
        raw = self._result[2]
        if self._result[3] or not os.WIFEXITED(raw):
            return None
        return os.WEXITSTATUS(raw)

    @property
    def signal(self):
        """The signal's number; None unless one ended it."""
        raw = self._result[2]
        if self._result[3] or not os.WIFSIGNALED(raw):
            return None
        return os.WTERMSIG(raw)

    @property
    def core_dumped(self):
        """True if a core was dumped."""
        return not self._result[3] and os.WCOREDUMP(self._result[2])

    @property
    def returncode(self):
        """As subprocess has it: the exit code, a negative signal; or Lost."""
        result = self._result
        if result[3]:
            return Lost(result[3])
        raw = result[2]
        if raw & 0x7f:
            return -(raw & 0x7f)
        return raw >> 8 & 0xff

    @property
    def success(self):
        """True if it exited with 0."""
        return not self._result[3] and self._result[2] == 0

    @property
    def rusage(self):
        """A resource.struct_rusage (times in seconds), or None."""
        data = self._result[5]
        if data is None:
            return None
        numbers = _RUSAGE.unpack_from(data)
        return resource.struct_rusage(
            (numbers[0] + numbers[1] / 1e6, numbers[2] + numbers[3] / 1e6)
            + numbers[4:])

    def __str__(self):
        kind = self.kind
        if kind is StatusKind.EXITED:
            return "exit %d" % self.exitcode
        if kind is StatusKind.SIGNALED:
            try:
                return "signal %s" % signal.Signals(self.signal).name
            except ValueError:
                return "signal %d" % self.signal
        return "lost (%s)" % self.lost.text

    def __repr__(self):
        return "<Status of %d: %s>" % (self.pid, self)

    # as the returncode, whose place it takes in what was written for Popen:
    # "if p.wait():", "p.wait() == 0"

    def __bool__(self):
        return bool(self.returncode)

    def __eq__(self, other):
        if isinstance(other, Status):
            return self._result == other._result
        if isinstance(other, (int, Lost)):
            return self.returncode == other
        return NotImplemented

    def __hash__(self):
        return hash(self.returncode)
