"""Runs the commands of a pool by an executor: threads, processes, a cluster.

Called by the scheduler (_schedule.py), as _local.py is. Each command becomes
a task, which starts its child through xlchild wherever it runs. A task that
is lost with its worker is run again by dask.distributed, and fails with
concurrent.futures; either way its command is reported once.
"""
import queue
import time

from .._errors import XlchildError
from .._libxl import ERROR_TIMEDOUT
from .._status import Status
from ._families import policy_named
from ._result import ExecutorGone

__all__ = ["ByExecutor", "run_task"]

GLANCE = 0.05
LOOK = 0.5  # how often a dask client is asked whether it still is one
_CLOSED = ("closing", "closed")


class ByExecutor:
    """The runner. executor: a concurrent.futures.Executor, or the client of
    dask.distributed, whose own futures are used."""

    times_out = True  # the worker watches the time

    def __init__(self, executor, kill, options, capture, limit, timeout):
        if not callable(getattr(executor, "submit", None)):
            raise TypeError("executor must have submit(): %r" % (executor,))
        self._executor = executor
        self._dask = hasattr(executor, "scheduler_info")
        address = getattr(getattr(executor, "scheduler", None), "address",
                          None)
        self._address = " " + address if address else ""
        policy_named(dict(options))  # or it raises what is wrong
        # dask would run equal commands once
        self._more = {"pure": False} if self._dask else {}
        self._keywords = dict(options, kill=tuple(map(float, kill)))
        self._capture = (capture, limit)
        self._timeout = timeout
        self._ended = queue.SimpleQueue()
        self._running = {}

    def __len__(self):
        return len(self._running)

    def __iter__(self):
        return iter(list(self._running.values()))

    def close(self):
        """The executor is the caller's; nothing of ours runs any more."""

    def hurry(self):
        """Families are ended where their commands run."""

    def start(self, results):
        """Submit them; those that could not be are returned."""
        failed = []
        for result in results:
            if self._gone():
                result.error = self._gone()
                failed.append(result)
                continue
            result.started = time.time()
            result._begun = time.monotonic()
            try:
                future = self._executor.submit(
                    run_task, result.args, result._input, self._capture,
                    self._timeout, self._keywords, **self._more)
            except Exception as error:  # it is shut down, or broken
                result.error = self._gone() or error
                failed.append(result)
                continue
            result._ticket = future
            self._running[id(future)] = result
            future.add_done_callback(self._ended.put)
        return failed

    def collect(self, timeout, also=()):
        """Those that have ended; waits for one, timeout seconds at most, or
        for a little if there are files to look at besides."""
        ended = []
        if also:
            timeout = GLANCE if timeout is None else min(timeout, GLANCE)
        try:
            future = self._next(timeout)
            while True:
                result = self._running.pop(id(future), None)
                if result is not None:
                    _fill(result, future, self._dask, self._gone)
                    ended.append(result)
                future = self._ended.get_nowait()
        except queue.Empty:
            pass
        if not ended and self._gone():  # it need not tell of all any more
            for key, result in list(self._running.items()):
                del self._running[key]
                result._ticket = None
                result.seconds = time.monotonic() - result._begun
                result.error = self._gone()
                ended.append(result)
        return ended

    def _next(self, timeout):
        """A future that has ended; queue.Empty: none in time, or a dask client
        has been closed."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._dask:
            left = LOOK if until is None else until - time.monotonic()
            try:
                return self._ended.get(timeout=max(0, min(LOOK, left)))
            except queue.Empty:
                if left <= LOOK and until is not None or self._gone():
                    raise
        return self._ended.get(timeout=timeout)

    def _gone(self):
        """The error of all that was not told of; None: it is there."""
        if not self._dask or getattr(self._executor, "status",
                                     None) not in _CLOSED:
            return None
        return ExecutorGone("the dask scheduler%s is gone, or its client was "
                            "closed" % self._address)

    def stop(self, result, policy=None):
        """Keep it from being started; what runs at a worker goes on."""
        if self._gone():
            return False  # collect() tells why
        try:
            return result._ticket.cancel() is not False
        except Exception:
            if self._dask:  # the scheduler does not answer
                return False
            raise


def _fill(result, future, dask, gone):
    """What the task brought back, or why it brought nothing."""
    result._ticket = None
    result.seconds = time.monotonic() - result._begun
    try:
        (result.host, raw, result.stdout, result.stderr, result.timed_out,
         result.started, result.seconds, result.error, result.account) = \
            _answer(future, gone) if dask else future.result()
    except BaseException as error:  # CancelledError is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        if dask and type(error).__name__ == "CancelledError":
            error = XlchildError(
                "its task was cancelled, as it is when the connection to the "
                "dask scheduler is lost; whether it ran is not known")
        result.error = gone() or error
        return
    if raw is not None:
        result.status = Status(raw)


def _answer(future, gone):
    """What a dask future has. It is fetched from the worker; where that takes
    long, it is tried again, with more patience."""
    import asyncio
    patience = LOOK
    while True:
        if gone():
            raise gone()
        try:
            patience *= 2
            return future.result(timeout=patience)
        except asyncio.TimeoutError:
            pass


def run_task(args, given, capture, timeout, keywords):
    """What a worker does: run one command on its own default context.

    A killed worker takes the child along: it would be run twice otherwise.
    """
    import contextlib
    import os
    import signal
    import subprocess

    from .._account import account_of
    from .._context import default_context
    from .._family import for_one_run
    keep, limit = capture
    signo, grace, scope = keywords["kill"]
    keywords = dict(keywords)
    del keywords["kill"]
    keywords.setdefault("pdeathsig", signal.SIGKILL)
    begun, started = time.monotonic(), time.time()
    raw = out = err = error = account = None
    late = False
    try:
        context = default_context()
        with contextlib.ExitStack() as stack:
            if keywords.get("family") is not None:
                keywords["family"] = family = stack.enter_context(
                    for_one_run(context, keywords["family"]))
            outcome = context._run(*context._request(
                args, subprocess.DEVNULL if given is None else None, given,
                None, None, keep, timeout, limit, None, False,
                (int(signo), grace, int(scope)), keywords))
            if outcome[2] and keywords.get("family") is not None:
                family._give_up()
        if keywords.get("account"):
            account = account_of(context, outcome[1][0])
        raw, late, out, err = outcome[1], bool(outcome[2]), *outcome[5:7]
        if outcome[0] not in (0, ERROR_TIMEDOUT):
            error = XlchildError("the command was ended", outcome[0])
    except (OSError, ValueError, TypeError, MemoryError) as caught:
        error = caught
    return (os.uname().nodename, raw, out, err, late, started,
            time.monotonic() - begun, error, account)
