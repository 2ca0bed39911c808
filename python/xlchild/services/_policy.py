"""When a service that ended is started again. Pure: time is an argument.

Called by _machine.py, which owns a History a service.
"""
import math

from ._words import wrong

__all__ = ["Backoff", "History", "RESTART"]

RESTART = ("never", "on-failure", "always")


class Backoff:
    """How long to wait before each start again, and when to give up.

    first: seconds before the first; factor: how much longer each further one
    waits; most: seconds that it waits at most. Once the service was ready for
    settled seconds, its next failure counts as the first. restarts starts
    again are granted in any span of within seconds.

    InvalidArgumentError names the number that makes no sense.

    >>> from xlchild.services import Backoff
    >>> Backoff(first=1, factor=3, most=5).delays(4)
    [1, 3, 5, 5]
    >>> Backoff(first=1, factor=3, most=5).delay(failures=1)
    3
    """

    __slots__ = ("first", "factor", "most", "settled", "restarts", "within")

    def __init__(self, first=0.5, factor=2.0, most=30.0, settled=60.0,
                 restarts=100, within=3600.0):
        def demand(name, value, holds, words):
            # false also for what is no number of use
            if isinstance(value, (int, float)) and holds(value):
                return value
            raise wrong("Backoff", name, words)

        def is_time(value):
            return value >= 0

        self.first = demand("first", first, lambda n: 0 <= n < math.inf,
                            "seconds, 0 or more")
        self.factor = demand("factor", factor, lambda n: 1 <= n < math.inf,
                             "1 or more")
        self.most = demand("most", most, lambda n: n >= first,
                           "seconds, not below first")
        self.settled = demand("settled", settled, is_time,
                              "seconds, 0 or more")
        self.restarts = demand("restarts", restarts, is_time, "0 or more")
        self.within = demand("within", within, is_time, "seconds, 0 or more")

    def delays(self, count):
        """How long the first count starts again of a failing one wait."""
        return [self.delay(failures) for failures in range(count)]

    def delay(self, failures):
        """Seconds before the next start, after so many failures before."""
        try:
            return min(self.most, self.first * self.factor ** failures)
        except OverflowError:
            return self.most

    def __repr__(self):
        return "Backoff(%s)" % ", ".join(
            "%s=%r" % (name, getattr(self, name)) for name in self.__slots__)


class History:
    """What happened since somebody last asked for the service."""

    __slots__ = ("failures", "starts")

    def __init__(self):
        self.failures = 0
        self.starts = []  # when it was started again, not beyond within

    def wait(self, backoff, now, ready_for):
        """Seconds until the next start; None: it is given up."""
        if ready_for > 0 and ready_for >= backoff.settled:
            self.failures = 0
        self.starts = [at for at in self.starts if at > now - backoff.within]
        if len(self.starts) >= backoff.restarts:
            return None
        delay = backoff.delay(self.failures)
        self.failures += 1
        self.starts.append(now + delay)
        return delay
