"""One list of commands on its way through a pool.

Used by the scheduler (_schedule.py): what may start, what is to be tried
again, what was held back, who is late, which slots are free.
"""
import heapq
import time
from collections import deque

from . import _spool
from ._halt import Halt
from ._pressure import Median, Pressure, Unfit
from ._result import Result

__all__ = ["Run"]


class Run:
    """The commands of one call of a Pool's."""

    def __init__(self, pool, commands):
        self._pool = pool
        self._source = enumerate(commands)
        self._ready = getattr(commands, "ready", None)
        self._fileno = getattr(commands, "fileno", None)
        self._more = True
        self._waiting = []
        self._held = []  # could not be started for want of something
        self.unfit = []  # cannot be run at all
        self._slots = []  # given back, the lowest first
        self._most_slots = 0
        self._deadlines = deque()
        self.pressure = Pressure()
        self.took = Median()
        self._timeout = None if pool._runner.times_out else pool.timeout
        self._next_index = 0
        self._next_start = 0.0
        self.halt = Halt(pool.halt)
        if pool._total is not None:
            self.halt.of(pool._total)
        self.until = float("inf") if pool.total_timeout is None \
            else time.monotonic() + pool.total_timeout

    @property
    def exhausted(self):
        """There is nothing left to start."""
        return not (self._more or self._waiting or self._held)

    def room(self, now):
        """How many more may run now."""
        running = len(self._pool._runner)
        if self.pressure.until(now, running) is not None:
            return 0
        return self.pressure.room(self._pool.jobs - running)

    def eager(self, now):
        """There is a command to be started, or the list may end."""
        return now >= self._next_start and (
            self._held or self._waiting and self._waiting[0][0] <= now
            or self._may_read() and (self._ready is None or self._ready()))

    def give_slot(self, result):
        """The lowest number that no command has, from 1."""
        if not self._slots:
            self._most_slots += 1
            self._slots.append(self._most_slots)
        result._slot = heapq.heappop(self._slots)

    def take_slot(self, result):
        """It may be given to another."""
        if result._slot:
            heapq.heappush(self._slots, result._slot)
            result._slot = 0

    def hold(self, result):
        """It is to be started later, as if it had not been tried."""
        self.take_slot(result)
        result.attempts -= 1
        result.error = None
        result._due = None
        heapq.heappush(self._held, (result.index, result))

    def take(self, now, room):
        """Up to room commands that may start now."""
        taken = []
        delay = self._pool.delay
        while len(taken) < room and now >= self._next_start:
            if self._held:
                result = heapq.heappop(self._held)[1]
            elif self._waiting and self._waiting[0][0] <= now:
                result = heapq.heappop(self._waiting)[2]
            elif self._may_read() and (self._ready is None or self._ready()):
                item = next(self._source, None)
                if item is None:
                    self._more = False
                    break
                self._next_index = item[0] + 1
                result = _new_result(*item)
                if result.error is not None:
                    self.unfit.append(result)
            else:
                break
            result.attempts += 1
            taken.append(result)
            if self._timeout is not None:
                self._watch(now + self._timeout, result)
            if delay:
                self._next_start = now + delay
        return taken

    def _may_read(self):
        horizon = self._pool._horizon
        return self._more and (horizon is None or self._next_index < horizon)

    @property
    def awaited(self):
        """The files that say when the next command may start."""
        if self._ready is not None and self._may_read() \
                and not self._ready():
            return (self._fileno(),)
        gate = self._pool._gate
        number = None if gate is None or self.exhausted else gate.fileno()
        return () if number is None else (number,)

    def again(self, result, seconds):
        """It is to be tried again, in so many seconds."""
        _spool.close(result.files)
        result.status = result.error = result.files = None
        result.stdout = result.stderr = result._child = None
        result._due = result._lost = result.account = None
        result.timed_out = False
        due = time.monotonic() + seconds
        heapq.heappush(self._waiting, (due, result.index, result))

    def _watch(self, when, result):
        """Each has the same time, so that the first is the first to be late.
        Those that have ended are dropped now and then."""
        if len(self._deadlines) > 64 + 2 * self._pool.jobs:
            self._deadlines = deque(filter(_still, self._deadlines))
        result._due = when
        self._deadlines.append((when, result))

    def late(self):
        """Those that have run too long, each once."""
        if not self._deadlines:
            return
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline = self._deadlines.popleft()
            if _still(deadline):
                yield deadline[1]

    def later(self, seconds):
        """All times are so much later."""
        self.until += seconds
        moved = deque()
        for when, result in self._deadlines:
            if _still((when, result)):
                result._due = when + seconds
                moved.append((when + seconds, result))
        self._deadlines = moved

    def patience(self, room):
        """How long to wait at most; None: until something ends."""
        times = [self.until] if self.until != float("inf") else []
        if self._deadlines:
            times.append(self._deadlines[0][0])
        if self._pool._share is not None and len(self.took) >= 3:
            least = self._pool._share * self.took.value()
            times += [result._begun + least for result in self._pool._runner
                      if not result.timed_out]
        now = time.monotonic()
        if self._pool._gate is not None:
            pause = self._pool._gate.beat()
            if pause is not None:
                times.append(now + pause)
        if not self._pool._ending:
            when = self._next_try(now, room)
            if when is not None:
                times.append(when)
        if not times:
            return None
        return max(0.0, min(times) - now)

    def _next_try(self, now, room):
        """When to look again whether something may start; None."""
        if not room:
            until = self.pressure.until(now, len(self._pool._runner))
            return None if until == float("inf") else until
        if self._held:
            when = self._next_start
        elif self._waiting:
            when = max(self._waiting[0][0], self._next_start)
        elif self._may_read() and (self._ready is None or self._ready()):
            when = self._next_start
        else:
            return None
        gate = self._pool._gate
        if gate is None or when > now:
            return when
        pause = gate.patience()
        return None if pause is None else now + pause

    def given_up(self):
        """Those that would have been tried again."""
        results = [entry[2] for entry in self._waiting]
        results += [entry[1] for entry in self._held]
        for result in results:
            result.cancelled = True
        return results


def _still(deadline):
    """The attempt that the deadline is for still runs."""
    when, result = deadline
    return result.status is None and result._due == when


def _new_result(index, command):
    if isinstance(command, Unfit):
        result = Result(index, command.args_shown)
        result.error = command
        return result
    if isinstance(command, tuple) and len(command) == 2 \
            and isinstance(command[1], bytes) \
            and isinstance(command[0], (list, tuple)):
        return Result(index, command[0], command[1])
    return Result(index, command)
