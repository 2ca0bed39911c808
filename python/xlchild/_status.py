"""How a child ended: the kernel's word, or LOST with a reason.

Made from the tuples of bindings/python/results.c.
"""
import os

__all__ = ["Status", "Lost", "usage"]


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
        from ._enums import LostReason
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


class _Kind:
    """A StatusKind as a member of Status, made when it is asked for."""

    __slots__ = ("_name",)

    def __init__(self, name):
        self._name = name

    def __get__(self, status, cls):
        from ._enums import StatusKind
        return StatusKind[self._name]


def usage(data):
    """A resource.struct_rusage of the struct's bytes; None of None."""
    if data is None:
        return None
    import resource
    import struct
    numbers = struct.unpack_from("@18l", data)
    return resource.struct_rusage(
        (numbers[0] + numbers[1] / 1e6, numbers[2] + numbers[3] / 1e6)
        + numbers[4:])


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

    EXITED = _Kind("EXITED")
    SIGNALED = _Kind("SIGNALED")
    LOST = _Kind("LOST")

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
        if not self._result[3]:
            return None
        from ._enums import LostReason
        return LostReason(self._result[3])

    @property
    def source(self):
        """How it was learnt: a Source."""
        from ._enums import Source
        return Source(self._result[4])

    @property
    def kind(self):
        """A StatusKind: Status.EXITED, Status.SIGNALED or Status.LOST."""
        if self._result[3]:
            return self.LOST
        if os.WIFSIGNALED(self._result[2]):
            return self.SIGNALED
        return self.EXITED

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
        return usage(self._result[5])

    def __str__(self):
        if self._result[3]:
            return "lost (%s)" % self.lost.text
        if os.WIFSIGNALED(self._result[2]):
            import signal  # slow to import
            try:
                return "signal %s" % signal.Signals(self.signal).name
            except ValueError:
                return "signal %d" % self.signal
        return "exit %d" % self.exitcode

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
