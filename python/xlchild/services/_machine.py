"""The life of one service: what happened goes in, what is to be done comes
out. Pure: time is an argument.

Called by _turn.py, which does what it answers; _policy.py says when to start
again.

    stopped/failed --start--> launching --launched--> gated --executed-->
    coming --is_ready--> up --ended--> pausing --tick--> launching ...

wanted is what was asked for last. A stop that meets gated ends the process; a
start that meets going is done when that has ended.
"""
from ._policy import History

__all__ = ["Machine"]

_STATES = {"idle": "stopped", "failed": "failed", "launching": "starting",
           "gated": "starting", "coming": "starting", "up": "running",
           "going": "stopping", "pausing": "waiting"}
_WITH_PROCESS = ("gated", "coming", "up", "going")


class Machine:
    """Answers are a list: "launch", "terminate", or (kind, delay) to tell."""

    __slots__ = ("restart", "backoff", "ready_at_once", "ready_within",
                 "phase", "wanted", "cause", "until", "ready_since",
                 "history")

    def __init__(self, restart, backoff, ready_at_once, ready_within):
        self.restart = restart
        self.backoff = backoff
        self.ready_at_once = ready_at_once
        self.ready_within = ready_within
        self.phase = "idle"
        self.wanted = False
        self.cause = "itself"  # of the end to come
        self.until = None  # when it wants a tick
        self.ready_since = None
        self.history = History()

    @property
    def state(self):
        """In the user's words."""
        return _STATES[self.phase]

    @property
    def lives(self):
        """It has a process."""
        return self.phase in _WITH_PROCESS

    def _to(self, phase, until=None):
        self.phase = phase
        self.until = until
        if phase != "up":
            self.ready_since = None

    def _launch(self):
        self.wanted = True
        self._to("launching")
        return ["launch"]

    def _terminate(self, cause):
        self.cause = cause
        self._to("going")
        return ["terminate"]

    def _again(self, now, failed, ready_for):
        """It does not run, and nobody asked for that."""
        if self.restart == "never" or self.restart == "on-failure" \
                and not failed:
            self.wanted = False
            self._to("failed" if failed else "idle")
            return []
        delay = self.history.wait(self.backoff, now, ready_for)
        if delay is None:
            self.wanted = False
            self._to("failed")
            return [("given-up", None)]
        self._to("pausing", now + delay)
        return [("restarting", delay)]

    # ---- what somebody asks for ----

    def start(self):
        """It is to run: a new chance for one that was given up."""
        if self.phase in ("idle", "failed", "pausing"):
            self.history = History()
            return self._launch()
        self.wanted = True
        return []

    def stop(self):
        """It is not to run."""
        self.wanted = False
        if self.phase in ("gated", "coming", "up"):
            return self._terminate("told")
        if self.phase != "going":
            self._to("idle")
        return []

    # ---- what happens ----

    def launched(self):
        """There is a process: it is about to become the program."""
        self.cause = "itself"
        self._to("gated")

    def executed(self, now):
        """It has become the program."""
        if self.phase != "gated":
            return []
        if self.ready_at_once:
            return [("started", None)] + self._up(now)
        self._to("coming", now + self.ready_within)
        return [("started", None)]

    def _up(self, now):
        self._to("up")
        self.ready_since = now
        return [("ready", None)]

    def adopt(self, now, ready, ended):
        """Found alive, or with something left of it. What was not ready may
        have said so to nobody: it is not stopped for being late."""
        self.wanted = True
        self.cause = "itself"
        if ended:
            self._to("going")
            return []
        if ready or self.ready_at_once:
            self._to("up")
            self.ready_since = now
        else:
            self._to("coming")
        return [("adopted", None)]

    def is_ready(self, now):
        """It is."""
        return self._up(now) if self.phase == "coming" else []

    def not_launched(self, now):
        """There is no process, or it could not become the program."""
        if not self.wanted:
            self._to("idle")
            return []
        return self._again(now, True, 0)

    def ended(self, now, failed):
        """Its process is gone, and all that it left."""
        if not self.lives:
            return []
        ready_for = 0 if self.ready_since is None else now - self.ready_since
        if not self.wanted:
            self._to("idle")
            return []
        if self.cause == "told":
            self.history = History()
            return self._launch()
        return self._again(now, failed or self.cause == "unready", ready_for)

    def ended_before(self, now, failed):
        """It ended while no script lived; it was wanted."""
        self.wanted = True
        return self._again(now, failed, 0)

    def tick(self, now):
        """Time has passed."""
        if self.until is None or now < self.until:
            return []
        if self.phase == "coming":
            return [("late", None)] + self._terminate("unready")
        if self.phase == "pausing":
            return self._launch()
        return []
