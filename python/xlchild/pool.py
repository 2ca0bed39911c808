"""Many commands, a bounded number at a time.

One Context starts them, collects their output and reports them; no thread a
command. ``python -m xlchild`` (``__main__.py``) is its command line.
"""
import collections
import time

from . import _libxl
from ._context import Context, EventType, KillPolicy, spec_options
from ._errors import SpawnError, XlchildError
from ._process import milliseconds
from ._status import Status

__all__ = ["Pool", "Result", "run_many"]

_COMPLETE = (EventType.OPERATION_COMPLETE,)


class Result:
    """What became of one command.

    ``index`` is its place in the order of submission, ``args`` the command,
    ``status`` the Status (None if it never started: ``error`` says why),
    ``stdout`` and ``stderr`` what it wrote (None unless captured),
    ``timed_out`` whether the timeout ended it, ``attempts`` how often it was
    started, ``seconds`` how long the last attempt took.
    """

    __slots__ = ("index", "args", "status", "error", "stdout", "stderr",
                 "timed_out", "attempts", "seconds", "cancelled")

    def __init__(self, index, args):
        self.index = index
        self.args = args
        self.status = self.error = self.stdout = self.stderr = None
        self.timed_out = self.cancelled = False
        self.attempts = 0
        self.seconds = 0.0

    @property
    def success(self):
        """True if it exited with 0."""
        return self.status is not None and self.status.success

    @property
    def returncode(self):
        """As subprocess has it; Lost; None if there was no child."""
        return None if self.status is None else self.status.returncode

    def __repr__(self):
        return "<Result %d of %r: %s>" % (
            self.index, self.args, self.status or self.error or "cancelled")


class _Job:
    """A command that waits or runs."""

    __slots__ = ("result", "started", "not_before", "input")

    def __init__(self, result, given):
        self.result = result
        self.input = given
        self.started = self.not_before = 0.0


class Pool:
    """Runs commands, at most ``jobs`` at a time.

    capture: keep stdout and stderr (True), or let them be inherited (False).
    timeout: seconds a command. retries: more attempts for one that did not
    exit with 0, ``backoff`` seconds before the first, doubled each time.
    fail_fast: after a failure nothing more starts, and what runs is ended.
    options: as for Context.spawn.

    >>> from xlchild.pool import Pool
    >>> with Pool(jobs=4) as pool:
    ...     done = list(pool.map([["sh", "-c", "exit %d" % n]
    ...                           for n in range(3)]))
    >>> [result.returncode for result in done]
    [0, 1, 2]
    """

    def __init__(self, jobs=16, *, capture=True, capture_limit=0,
                 timeout=None, kill=None, retries=0, backoff=0.1,
                 fail_fast=False, context=None, stdin=None, **options):
        if jobs < 1:
            raise ValueError("jobs must be 1 or more")
        self.jobs = jobs
        self.retries = retries
        self.backoff = backoff
        self.fail_fast = fail_fast
        self._own = context is None
        self.context = context or Context()
        stream = (_libxl.LIBXL_STREAM_CAPTURE, capture_limit) if capture \
            else (_libxl.LIBXL_STREAM_INHERIT, None)
        self._streams = (stream, stream)
        self._timeout = -1 if timeout is None else \
            max(1, milliseconds(timeout))
        if kill is None:
            kill = KillPolicy(15, 1.0) if timeout is not None \
                else KillPolicy()
        self._options = spec_options(kill=kill, **options)
        self._stdin = (_libxl.LIBXL_STREAM_NULL, None) if stdin is None \
            else (_libxl.LIBXL_STREAM_FD, stdin)
        self._running = {}
        self._stopping = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End what still runs, and wait for it."""
        self.cancel()
        while self._running:
            self._collect(None)
        if self._own:
            self.context.close()

    def cancel(self):
        """Nothing more starts; what runs is ended by the kill policy."""
        self._stopping = True
        for number in self._running:
            self.context.abort(number)

    @property
    def running(self):
        """How many children run now."""
        return len(self._running)

    def as_completed(self, commands):
        """Run them; yield a Result each, in the order in which they end.

        commands is any iterable of argument lists, or of (list, bytes) for
        one with an input; it is read as slots come free.
        """
        self._stopping = False
        source = enumerate(commands)
        waiting = collections.deque()  # for another attempt
        more = True
        while True:
            while len(self._running) < self.jobs and not self._stopping:
                job = self._next_retry(waiting)
                if job is None:
                    if not more:
                        break
                    item = next(source, None)
                    if item is None:
                        more = False
                        break
                    job = _new_job(*item)
                if not self._start(job):
                    yield from self._ended(job, waiting)
            if not self._running:
                if self._stopping or not (waiting or more):
                    break
                time.sleep(max(0.0, waiting[0].not_before
                               - time.monotonic()))
                continue
            timeout = None
            if waiting and len(self._running) < self.jobs:
                timeout = max(0.0, waiting[0].not_before - time.monotonic())
            for job in self._collect(timeout):
                yield from self._ended(job, waiting)
        for job in waiting:
            job.result.cancelled = True
            yield job.result

    def map(self, commands):
        """As as_completed, but in the order of the commands."""
        early = {}
        wanted = 0
        for result in self.as_completed(commands):
            early[result.index] = result
            while wanted in early:
                yield early.pop(wanted)
                wanted += 1
        for index in sorted(early):
            yield early[index]

    # ---- one job --------------------------------------------------------

    @staticmethod
    def _next_retry(waiting):
        if waiting and waiting[0].not_before <= time.monotonic():
            return waiting.popleft()
        return None

    def _start(self, job):
        """False: it could not be started, the result says why."""
        job.started = time.monotonic()
        job.result.attempts += 1
        stdin = self._stdin if job.input is None \
            else (_libxl.LIBXL_STREAM_BUFFER, job.input)
        try:
            number = self.context._exec(
                job.result.args, self._options, stdin, self._streams[0],
                self._streams[1], self._timeout, 0, None)
        except (SpawnError, ValueError, TypeError) as error:
            job.result.error = error
            return False
        self._running[number] = job
        return True

    def _collect(self, timeout):
        """The jobs that have ended; waits for one."""
        ended = []
        for _, number, outcome in self.context._events(
                64, 1 << _COMPLETE[0],
                -1 if timeout is None else milliseconds(timeout)):
            job = self._running.pop(number, None)
            if job is None or outcome is None:
                continue
            result = job.result
            result.status = Status(outcome[1])
            result.timed_out = bool(outcome[2])
            result.stdout, result.stderr = outcome[5], outcome[6]
            result.seconds = time.monotonic() - job.started
            result.error = None
            if outcome[0] not in (0, -9, -22):
                result.error = XlchildError(
                    _libxl.libxl_strerror(outcome[0]), outcome[0])
            result.cancelled = bool(outcome[3]) and self._stopping
            ended.append(job)
        return ended

    def _ended(self, job, waiting):
        """Yield the result, unless the job is tried again."""
        result = job.result
        if not result.success and not self._stopping:
            if result.attempts <= self.retries:
                job.not_before = time.monotonic() \
                    + self.backoff * 2 ** (result.attempts - 1)
                waiting.append(job)
                return
            if self.fail_fast:
                self.cancel()
        yield result


def _new_job(index, command):
    given = None
    if isinstance(command, tuple) and len(command) == 2 \
            and isinstance(command[1], bytes):
        command, given = command
    return _Job(Result(index, command), given)


def run_many(commands, jobs=16, *, keep_order=True, **options):
    """Run commands and return the list of their Results.

    >>> from xlchild.pool import run_many
    >>> [r.stdout for r in run_many([["echo", "a"], ["echo", "b"]])]
    [b'a\\n', b'b\\n']
    """
    with Pool(jobs, **options) as pool:
        return list(pool.map(commands) if keep_order
                    else pool.as_completed(commands))
