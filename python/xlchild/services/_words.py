"""What the services tell: ends, events, states; and errors that name the
argument.

Made by _services.py and its parts; kept in the state file by _journal.py.
"""
import time

from .._errors import InvalidArgumentError
from .._status import Status

__all__ = ["End", "Event", "State", "lost", "wrong"]

AWAY = "it ended while no script lived, and nobody had its pidfd"
BOOT = "the machine, or its container, was started anew since"
_NOT_OURS = 4  # a LostReason


def wrong(what, argument, wanted):
    """The error for an argument: what it has to be."""
    error = InvalidArgumentError("%s: invalid argument: %s (it has to be %s)"
                                 % (what, argument, wanted))
    error.argument = argument
    return error


def lost(pid, why=AWAY):
    """(Status, reason) of what nobody can tell."""
    return Status((0, pid, 0, _NOT_OURS, 0, None)), why


class End:
    """How one run of a service ended.

    ``status`` is a Status: the kernel's, or lost; then ``why`` has the reason
    in words. ``cause`` is whose doing it was: "itself" (the unexpected one),
    "told" (by stop() and the like) or "unready" (it was not ready in time).
    ``pid`` was its process, ``run`` names the run for ever, ``at`` is when
    this was learnt (as time.time()).

    >>> import xlchild.services, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with xlchild.services.Services(folder) as services:
    ...         services.add("job", ["sh", "-c", "exit 3"])
    ...         services.start("job")
    ...         while services.status("job").last_end is None:
    ...             events = services.poll(1)
    ...         end = services.status("job").last_end
    >>> print(end), print(end.status, end.cause, end.why, end.name)
    exit 3
    exit 3 itself None job
    (None, None)
    >>> end.run.startswith("job~"), end.pid > 1, end.at > 0
    (True, True, True)
    """

    __slots__ = ("name", "run", "pid", "status", "why", "cause", "at")

    def __init__(self, name, run, pid, status, why=None, cause="itself",
                 at=None):
        self.name = name
        self.run = run
        self.pid = pid
        self.status = status
        self.why = why
        self.cause = cause
        self.at = time.time() if at is None else at
        if why is None and status.lost is not None:
            self.why = status.lost.text

    def __str__(self):
        return "lost (%s)" % self.why if self.why else str(self.status)

    def __repr__(self):
        return "<End of %s: %s>" % (self.run, self)


class Event:
    """Something that happened to a service.

    ``kind`` says what: "started", "adopted" (it was started by a previous
    life of the script), "ready", "late" (not ready in time: it is stopped),
    "ended" (``end`` has how), "not-started" (``error`` is the exception),
    "restarting" (in ``delay`` seconds), "given-up", and, for no service,
    "state-lost" (``error``: the file in the folder was damaged). ``name`` is
    the service's, ``run`` names the run, ``pid`` is its process.

    An end is told once; but if the script is killed before it polls again,
    the next life tells it again, with the same run.

    >>> import xlchild.services, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with xlchild.services.Services(folder) as services:
    ...         services.add("job", ["true"])
    ...         services.start("job")
    ...         while services.status("job").state != "stopped":
    ...             for event in services.poll(1):
    ...                 print(event.kind, event.name, event.end)
    started job None
    ready job None
    ended job exit 0
    >>> event.pid == event.end.pid, event.run == event.end.run
    (True, True)
    >>> event.delay, event.error
    (None, None)
    """

    __slots__ = ("kind", "name", "run", "pid", "end", "delay", "error")

    def __init__(self, kind, name="", run="", pid=None, end=None, delay=None,
                 error=None):
        self.kind = kind
        self.name = name
        self.run = run
        self.pid = pid
        self.end = end
        self.delay = delay
        self.error = error

    def __repr__(self):
        about = self.end or self.error or self.delay
        return "<Event %s%s%s>" % (
            self.kind, self.name and " " + self.name,
            "" if about is None else ": %s" % about)


class State:
    """What a service is doing; Services.status() tells.

    ``state`` is "stopped", "starting" (until it is ready), "running",
    "stopping", "waiting" (for its next start) or "failed" (given up, or not
    to be started again). ``pid`` is its process, ``since`` when that was
    started (as time.time()), ``run`` the run's name: None where there is no
    process. ``last_end`` is the last End, also of a previous life, or None;
    ``error`` the exception if the last start failed.

    >>> import xlchild.services, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with xlchild.services.Services(folder) as services:
    ...         services.add("job", ["sleep", "1000"])
    ...         print(services.status("job").state)
    ...         services.start("job")
    ...         ready = services.wait_ready("job", 10)
    ...         status = services.status("job")
    ...         services.stop("job")
    stopped
    >>> status.state, status.pid > 1, status.since > 0, status.run[:4]
    ('running', True, True, 'job~')
    >>> status.last_end, status.error
    (None, None)
    """

    __slots__ = ("state", "pid", "since", "run", "last_end", "error")

    def __init__(self, state, pid, since, run, last_end, error):
        self.state = state
        self.pid = pid
        self.since = since
        self.run = run
        self.last_end = last_end
        self.error = error

    def __repr__(self):
        return "<State %s%s>" % (self.state, "" if self.pid is None
                                 else " (pid %d)" % self.pid)
