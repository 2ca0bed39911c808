"""The enumerations, apart from what speaks of them.

enum is slow to import: those that are not asked for cost nothing. Numbers of
the library's go without them inside the package.
"""
import enum

from . import _libxl

__all__ = ["EndedBy", "EventType", "FreePolicy", "KillScope", "LostReason",
           "SigchldOwner", "Source", "StatusKind"]


class SigchldOwner(enum.IntEnum):
    """Who owns SIGCHLD and who reaps (Context.setmode).

    >>> import xlchild
    >>> with xlchild.Context(xlchild.SigchldOwner.LIBXL_ALWAYS) as ctx:
    ...     ctx.diagnose().handler_installed
    True
    """

    #: the library, while it has children; it reaps all of the process's
    LIBXL = _libxl.libxl_sigchld_owner_libxl
    #: the program, which passes statuses on; no signal state is touched
    MAINLOOP = _libxl.libxl_sigchld_owner_mainloop
    #: as LIBXL, but always
    LIBXL_ALWAYS = _libxl.libxl_sigchld_owner_libxl_always
    #: the library's handler, but only its own children are reaped
    SELECTIVE_REAP = \
        _libxl.libxl_sigchld_owner_libxl_always_selective_reap
    #: nobody: exits arrive through pidfds. The default
    NONE = _libxl.libxl_sigchld_owner_none

    @classmethod
    def _missing_(cls, value):
        raise ValueError("%r is not a valid SigchldOwner: SigchldOwner.%s"
                         % (value, ", .".join(cls.__members__)))


class KillScope(enum.IntEnum):
    """What a signal is sent to.

    >>> import xlchild
    >>> child = xlchild.spawn(["sh", "-c", "sleep 1000 & wait"],
    ...                       new_group=True)
    >>> print(child.kill(scope=xlchild.KillScope.GROUP), child.wait())
    True signal SIGKILL
    """

    PROCESS = _libxl.LIBXL_KILL_PROCESS
    GROUP = _libxl.LIBXL_KILL_GROUP
    CGROUP = _libxl.LIBXL_KILL_CGROUP


class FreePolicy(enum.IntEnum):
    """What becomes of a living child when its Context closes.

    >>> import os, signal, xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["sleep", "1000"],
    ...                       on_free=xlchild.FreePolicy.LEAVE)
    >>> os.kill(child.pid, signal.SIGTERM)  # the program's own child now
    >>> os.waitpid(child.pid, 0)[1] == signal.SIGTERM
    True
    """

    DETACH = _libxl.LIBXL_FREE_DETACH
    KILL = _libxl.LIBXL_FREE_KILL
    LEAVE = _libxl.LIBXL_FREE_LEAVE


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
    NEVER_RAN = 7

    @property
    def text(self):
        """The reason in words."""
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


class EndedBy(enum.IntEnum):
    """Who ended a child, as far as it is known (Account).

    >>> import xlchild
    >>> done = xlchild.run(["sh", "-c", "kill -TERM $$"], account=True)
    >>> done.account.ended_by is xlchild.EndedBy.OTHERS
    True
    """

    #: the status is lost, or there is none
    UNKNOWN = _libxl.LIBXL_ENDED_UNKNOWN
    #: it exited, whatever it was sent before
    ITSELF = _libxl.LIBXL_ENDED_ITSELF
    #: the timeout of its operation
    TIMEOUT = _libxl.LIBXL_ENDED_TIMEOUT
    #: abort(), or its output could not be kept
    ABORT = _libxl.LIBXL_ENDED_ABORT
    #: kill(), send_signal(), terminate(), or the end of its family
    KILL = _libxl.LIBXL_ENDED_KILL
    #: the kernel, for want of memory in its own cgroup
    MEMORY = _libxl.LIBXL_ENDED_MEMORY
    #: a signal that the library did not send
    OTHERS = _libxl.LIBXL_ENDED_OTHERS


class EventType(enum.IntEnum):
    """What an Event is about.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["sh", "-c", "kill -STOP $$"], event=True,
    ...                       report_stops=True)
    ...     for kind in xlchild.EventType.STOPPED, xlchild.EventType.EXIT:
    ...         print(ctx.wait_event(types=[kind]))
    ...         _ = child.kill()
    <Event STOPPED <Process ...: running>>
    <Event EXIT signal SIGKILL>
    """

    OPERATION_COMPLETE = _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE
    EXIT = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_EXIT
    STARTED = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_STARTED
    STOPPED = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_STOPPED
    CONTINUED = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED
