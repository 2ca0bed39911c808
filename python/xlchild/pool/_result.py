"""What became of one command of a pool.

Made by the scheduler (_schedule.py) when a command is taken from the list,
filled by what runs it (_local.py, _remote.py), handed to the user at its end.
"""

__all__ = ["ExecutorGone", "OutputLost", "Result"]


class OutputLost(OSError):
    """Error of a Result: what the command wrote is not all there."""


class ExecutorGone(RuntimeError):
    """Error of a Result: what runs the commands is gone, for good. Whether this
    one ran to its end is not known, unless it was never handed over."""


class Result:
    """What became of one command.

    ``index`` is its place in the list, from 0, and ``args`` the command.
    ``status`` is the Status; None if it never started: ``error`` says why.
    ``stdout`` and ``stderr`` are what it wrote (bytes; None unless captured).
    ``timed_out`` says whether its timeout ended it, ``cancelled`` whether the
    pool did. ``attempts`` is how often it was started, ``started`` when the
    last time was (seconds since the epoch), ``seconds`` how long that took.
    ``host`` names the machine if it ran by an executor. ``files`` are the
    SpoolFiles of what is large, with a spool: None or a pair with None for
    what ``stdout`` or ``stderr`` has; whoever takes the result closes them.
    ``account`` is the Account (account=True), or None.

    >>> from xlchild.pool import run_many
    >>> good, bad = run_many([["echo", "x"], ["/nonexistent"]])
    >>> good.success, good.returncode, good.stdout
    (True, 0, b'x\\n')
    >>> bad.success, bad.returncode, bad.error.stage
    (False, None, 'exec')
    """

    __slots__ = ("index", "args", "status", "error", "stdout", "stderr",
                 "timed_out", "cancelled", "attempts", "started", "seconds",
                 "host", "files", "account", "_input", "_ticket", "_child",
                 "_begun", "_due", "_slot", "_options", "_lost", "_family",
                 "_ended_early")

    def __init__(self, index, args, given=None):
        self.index = index
        self.args = args
        self._input = given
        self.status = self.error = self.stdout = self.stderr = None
        self.host = self.files = self.account = None
        self.timed_out = self.cancelled = False
        self.attempts = 0
        self.started = self.seconds = 0.0
        self._ticket = self._child = None  # as what runs it knows it
        self._begun = 0.0  # by the monotonic clock
        self._due = None  # when it is late
        self._slot = 0  # among those that run, from 1
        self._options = None  # of its own
        self._family = None  # its own, while it has one
        self._ended_early = False  # it is being ended, or was
        self._lost = None  # why what it writes may not be all there

    @property
    def success(self):
        """True if it exited with 0, of its own accord, and what it wrote is
        all there."""
        return self.status is not None and self.status.success \
            and not (self.timed_out or self.cancelled) \
            and (self.error is None
                 or not isinstance(self.error, OutputLost))

    @property
    def returncode(self):
        """As subprocess has it; Lost; None if there was no child."""
        return None if self.status is None else self.status.returncode

    def __repr__(self):
        return "<Result %d of %r: %s>" % (
            self.index, self.args, self.error or "cancelled"
            if self.status is None else self.status)
