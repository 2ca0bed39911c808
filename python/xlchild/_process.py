"""One child, seen from Python."""
import math
import operator
import time
import warnings

from . import _libxl
from ._cooperative import sleeper, waited
from ._errors import NotFoundError
from ._status import Status

__all__ = ["Process", "milliseconds", "signal_number"]

_MAX_MS = 0x7fffffff


def milliseconds(seconds):
    """Seconds as milliseconds, rounded up; None as -1, for ever."""
    if seconds is None:
        return -1
    if isinstance(seconds, str):
        raise TypeError("a timeout is a number of seconds, not %r" % seconds)
    if seconds != seconds:
        raise ValueError("a timeout is no number")
    if seconds <= 0:
        return 0
    return min(math.ceil(seconds * 1000), _MAX_MS) \
        if seconds < _MAX_MS / 1000 else _MAX_MS


def signal_number(signal):
    """The number of a signal, for what is one."""
    try:
        return operator.index(signal)
    except TypeError:
        raise TypeError("signal must be a number, such as signal.SIGTERM, "
                        "not %r" % (signal,)) from None


class Process:
    """A child started, or adopted, by a Context.

    ``pid`` is its process id; ``id`` names it for the context's life and is
    never reused. Do not signal the pid yourself: :meth:`kill` cannot hit
    another process.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["sleep", "1000"])
    ...     print(child.poll(), child.terminate(grace=5), child.wait())
    None True signal SIGTERM
    >>> child.status.success, child.returncode
    (False, -15)
    """

    __slots__ = ("context", "id", "pid", "args", "user", "_status", "_held",
                 "_reported", "_token", "_wide", "_account", "__weakref__")

    def __init__(self, context, args, user=0):
        self.context = context
        self.args = args
        self.user = user
        self.id = self.pid = self._status = self._token = None
        self._held = False  # True once it runs, if its result is kept
        self._reported = False  # … if its end goes to an event or a callback
        self._wide = False  # has a group or cgroup, which may outlive it
        self._account = None  # a list, for its account, if that is wanted

    def wait(self, timeout=None):
        """Wait for the end; return the Status.

        timeout is in seconds, None waits for ever. Raises TimeoutError when
        it passes. A child with an event or a callback is waited for in the
        same way, and is reported all the same.

        >>> import xlchild
        >>> child = xlchild.spawn(["sleep", "1000"])
        >>> try:
        ...     child.wait(timeout=0.01)
        ... except TimeoutError:
        ...     print(child.kill(), child.wait())
        True signal SIGKILL
        """
        if self._status is None:
            if not self._held and not self._reported:
                raise ValueError("this child was let go of: nobody is told "
                                 "of its end")
            status = self._take(milliseconds(timeout))
            if status is None:
                raise TimeoutError("%r is alive after %s seconds"
                                   % (self.args, timeout))
        return self._status

    def poll(self):
        """The Status if it has ended, else None. Does not block."""
        if self._status is None and (self._held or self._reported):
            try:
                self._take(0)
            except NotFoundError:
                if self._status is None:
                    raise
        return self._status

    def _take(self, timeout_ms):
        # the library keeps the result until it is noted here
        try:
            result = waited(self.context, self.id, timeout_ms)
        except NotFoundError:
            if self._status is None:
                if not self._reported:
                    raise
                self._status = self._delivered(timeout_ms)
            self._collect()
            return self._status  # another thread has just let go of it
        if result is not None:
            if self._status is None:
                self._status = Status(result)
            self._collect()
            if not self._wide:
                self._let_go()
        return self._status

    def _delivered(self, timeout_ms):
        """The end that a report has: it is queued, or in the hands of the
        thread that delivers it, for a moment."""
        until = time.monotonic() + max(timeout_ms / 1000, 0)
        sleep = sleeper() or time.sleep
        while self._status is None:
            result = self.context._peek(self.id)
            if result is None:
                result = self.context._left_exit(self.id)
            if result is not None:
                return Status(result)
            if timeout_ms >= 0 and time.monotonic() >= until:
                break
            sleep(0.0005)
        return self._status

    def _collect(self):
        """The end is known: so is the account, if it is wanted."""
        if self._account is not None and self._status is not None:
            from ._account import collect
            collect(self.context, self.id, self._account)

    def _let_go(self):
        """The status is known here: the library need not keep it."""
        if self._held:
            try:
                self.context._detach(self.id)
            except (NotFoundError, ValueError):
                pass
            self._held = False

    @property
    def status(self):
        """The Status, if it is known here; asks nobody."""
        return self._status

    @property
    def returncode(self):
        """The status as subprocess has it (or Lost); None if not known."""
        return None if self._status is None else self._status.returncode

    @property
    def account(self):
        """The Account, once the end is known here; always the same.

        None before that, where it was not asked for (account=True), and of a
        child whose context was closed before.

        >>> import xlchild
        >>> child = xlchild.spawn(["sh", "-c", "exit 3"], account=True)
        >>> print(child.wait(), child.account.ended_by.name)
        exit 3 ITSELF
        """
        if self._account is None or self._status is None:
            return None
        from ._account import account_in
        return account_in(self.context, self.id, self._account)

    def send_signal(self, signal, *, scope=0):
        """Send a signal; NotFoundError if the child has ended.

        scope is a KillScope: the process (default), the group that it leads,
        or its cgroup. Who is left of these can be reached after its end, too,
        for as long as there is this object; but for one whose end goes to an
        event or a callback. NotFoundError if there is nobody. kill_signal is
        another name of it.

        >>> import signal, xlchild
        >>> child = xlchild.spawn(["sleep", "1000"])
        >>> child.send_signal(signal.SIGSTOP)
        >>> child.kill_signal(signal.SIGINT)
        >>> child.send_signal(signal.SIGCONT)
        >>> print(child.wait())
        signal SIGINT
        """
        if self._status is not None and not (scope and self._held):
            raise NotFoundError("the child has ended")
        _libxl.libxl_childproc_kill(self.context, self.id,
                                    signal_number(signal), int(scope))

    kill_signal = send_signal

    def kill(self, signal=9, *, scope=0):
        """Send SIGKILL, or another signal; False if it has ended already.

        >>> import xlchild
        >>> child = xlchild.spawn(["sleep", "1000"])
        >>> print(child.kill(), child.wait(), child.kill())
        True signal SIGKILL False
        """
        try:
            self.send_signal(signal, scope=scope)
        except NotFoundError:
            return False
        return True

    def terminate(self, signal=15, *, grace=None, scope=0):
        """Send SIGTERM, and SIGKILL after grace seconds if that is given.

        The escalation happens while the context is pumped (wait, events).
        False if it has ended already.
        """
        if grace is None:
            return self.kill(signal, scope=scope)
        if self._status is not None and not (scope and self._held):
            return False
        try:
            _libxl.libxl_childproc_terminate(
                self.context, self.id,
                (signal_number(signal), milliseconds(grace), int(scope)))
        except NotFoundError:
            return False
        return True

    def detach(self):
        """No report any more: it runs on and is reaped in silence.

        >>> import xlchild
        >>> child = xlchild.spawn(["true"])
        >>> child.detach()
        >>> print(child.poll())  # nobody will know
        None
        """
        self._held = self._reported = False
        self.context._children.pop(self._token, None)
        self.context._detach(self.id)

    def __repr__(self):
        state = "running" if self._status is None else str(self._status)
        return "<Process %s: %s>" % (self.pid, state)

    def __del__(self, _warn=warnings.warn):
        if not getattr(self, "_held", False):
            return
        if self.context.closed or self.context.forked:
            return
        if self._status is None:
            _warn("child %s was never waited for" % self.pid, ResourceWarning,
                  source=self)
        self._let_go()
