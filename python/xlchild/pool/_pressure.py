"""What holds the queue, and for how long.

Used by the scheduler (_schedule.py): a start that failed for want of
something that comes back when other commands end (processes, memory, files)
is tried again then, and not counted as a failure.
"""
import collections
import errno
import time

__all__ = ["Median", "Pressure", "Unfit"]

_ANYBODYS = frozenset((errno.EAGAIN, errno.ENOMEM, errno.ENFILE))
_OURS = frozenset((errno.EMFILE,))  # comes back only from commands of ours
_UNLIMITED = 1 << 20
LONGEST = 10.0  # seconds to wait for others when none of ours runs


class Unfit(ValueError):
    """In a list of commands: this one cannot be run, and why.

    args_shown: what stands for it in accounts.
    """

    def __init__(self, words, args_shown=()):
        super().__init__(words)
        self.args_shown = list(args_shown)


class Pressure:
    """Whether starting must wait.

    It waits for the end of a command of ours, or, if there is none, for a
    little longer each time; after ten seconds of that in a row the command
    fails as the system says.
    """

    def __init__(self):
        self._until = None  # when to try again
        self._since = None  # when it began that none of ours ran
        self._pause = 0.0
        self._step = _UNLIMITED  # how many may be tried at once

    def holds(self, error, running, tried):
        """Whether what failed so is to be tried again; it was one of so many
        that were tried together, and so many run."""
        number = getattr(error, "errno", None)
        if number not in _ANYBODYS and not (
                number in _OURS and (running or tried > 1)):
            return False
        now = time.monotonic()
        self._step = 1
        if tried > 1 and not running:
            return True  # alone it may find enough
        if running:
            self._until, self._since = float("inf"), None
            self._pause = 0.0
            return True
        if self._since is None:
            self._since = now
        if now - self._since > LONGEST:
            self._until = None
            return False
        self._pause = min(1.0, max(0.02, 2 * self._pause))
        self._until = now + self._pause
        return True

    def ended(self):
        """A command of ours has: there may be room again."""
        self._until = None

    def ran(self):
        """A command of ours has been executed."""
        self._since = None

    def started(self):
        """There is a process more."""
        self._step = min(2 * self._step, _UNLIMITED)

    def room(self, wanted):
        """At most so many starts at once: after one that failed, few."""
        return min(wanted, self._step)

    def until(self, now, running):
        """When to try (None: now)."""
        if self._until is not None and (
                now >= self._until or self._until == float("inf")
                and not running):
            self._until = None
        return self._until


class Median:
    """Of the last thousand numbers."""

    def __init__(self, most=1000):
        self._last = collections.deque()
        self._sorted = []
        self._most = most

    def __len__(self):
        return len(self._sorted)

    def add(self, value):
        """One more."""
        import bisect  # hardly ever needed
        self._last.append(value)
        bisect.insort(self._sorted, value)
        if len(self._last) > self._most:
            old = self._last.popleft()
            del self._sorted[bisect.bisect_left(self._sorted, old)]

    def value(self):
        """The one in the middle; IndexError if there is none."""
        return self._sorted[len(self._sorted) // 2]
