"""What starts when: the Pool.

Takes commands from the list as slots come free, has them started and hands
them out ended; tries again, watches the time, stops early. What waits and when it
may start is a Run's business (_run.py); what really runs commands is a runner:
_local.py or _remote.py.
"""
import _thread
import select
import sys
import time

from .. import _libxl
from .._spec import DEVNULL, KillPolicy, kill_tuple
from . import _local, _spool
from ._halt import Halt
from ._pressure import Unfit
from ._result import ExecutorGone
from ._run import Run

__all__ = ["Pool", "run_many"]

SLICE = 0.5  # the longest sleep: a signal handler may have stopped the pool
WINDOW = 256
_NOBODY = _libxl.libxl_sigchld_owner_none  # SigchldOwner.NONE
LARGE = 1 << 16  # what is longer stays in the file of a spool


class Pool:
    """Runs commands, at most ``jobs`` at a time.

    capture: keep stdout and stderr (the first capture_limit bytes of each;
    0: all), or let them be inherited (False). on_output(result, stream,
    data): get both as they come instead (stream is 1 or 2).
    timeout: seconds a command, total_timeout: seconds all together; what
    runs longer is ended by the KillPolicy kill (SIGTERM, and SIGKILL a
    second later). attempts: how often a failing command is run, backoff
    seconds before the second time, doubled each time. delay: seconds between
    two starts. halt: when to stop early, as Halt has it; fail_fast is short
    for ``now,fail=1``. starters: threads of the library that start children
    in parallel (0: none). executor: a concurrent.futures.Executor or a
    dask.distributed.Client whose workers run the commands. owner,
    childproc_exited_callback: as for the Context that the pool runs in.
    family: the name of a policy; each command has a Family of its own then
    (see Context.family). Where that is ended, with the kill policy's signal
    and grace, the command is over when nobody is left of it.
    options: as for Context.spawn; stdin is /dev/null if not given.
    ``out_of_time`` is True once the total timeout has passed.

    A command has ended when its process has: what it left in the background
    is not waited for, but by family. Where a process, memory or a file is
    wanting for a start, it waits until another command has ended (ten seconds
    at most if none runs) and is no attempt. Where the disk is full that output
    waits on, the error of a Result says so, and it is no success. A dask
    scheduler that is gone for good ends what it had, and what comes after
    that, with an error.
    Use the pool as a context manager, or call close(). It is for one thread;
    cancel() and stop() may be called by any, and by signal handlers.

    >>> from xlchild.pool import Pool
    >>> with Pool(jobs=4) as pool:
    ...     done = list(pool.map([["sh", "-c", "exit %d" % n]
    ...                           for n in range(3)]))
    >>> [result.returncode for result in done]
    [0, 1, 2]
    >>> with Pool(family="always", account=True) as pool:
    ...     done = list(pool.map([["sh", "-c", "sleep 1000 &"]]))
    >>> done[0].returncode, done[0].account.ended_by.name
    (0, 'ITSELF')
    """

    def __init__(self, jobs=16, *, capture=True, capture_limit=0,
                 on_output=None, timeout=None, total_timeout=None, kill=None,
                 attempts=1, backoff=0.1, delay=0.0, halt="never",
                 fail_fast=False, starters=0, executor=None, spool=None,
                 stdin=None, owner=_NOBODY,
                 childproc_exited_callback=None, **options):
        _at_least(1, jobs=jobs, attempts=attempts)
        _at_least(0, capture_limit=capture_limit, timeout=timeout,
                  total_timeout=total_timeout, backoff=backoff, delay=delay,
                  starters=starters)
        self.jobs = jobs
        self.attempts = attempts
        self.backoff = backoff
        self.delay = delay
        self.timeout = timeout
        self.total_timeout = total_timeout
        self.halt = "now,fail=1" if fail_fast else halt
        Halt(self.halt)  # is it one?
        kill = KillPolicy(15, 1.0, 0) if kill is None \
            else KillPolicy(*kill)
        self._at_once = kill_tuple((0, 0, kill.scope))
        self.out_of_time = False
        self._closed = False
        # whoever ends commands marks them before their ends are looked at
        self._ending_them = _lock()
        self._cancelled = self._stopped = self._hurried = False
        self._halted = None
        self._horizon = None
        self._hooks()
        if executor is not None:
            from . import _remote
            if on_output is not None or spool is not None:
                raise ValueError("an executor brings output with the result: "
                                 "no on_output, no spool")
            if stdin is not None:
                raise ValueError("stdin cannot be sent to an executor")
            if owner != _NOBODY or childproc_exited_callback:
                raise ValueError("an executor's workers own their SIGCHLD: no "
                                 "owner, no childproc_exited_callback")
            self._runner = _remote.ByExecutor(
                executor, kill, options, capture, capture_limit, timeout)
            return
        options["stdin"] = DEVNULL if stdin is None else stdin
        treaty = {"owner": owner,
                  "childproc_exited_callback": childproc_exited_callback}
        if on_output is not None:
            if not callable(on_output):
                raise TypeError("on_output must be callable")
            self._runner = _local.InPipes(treaty, kill, options, on_output)
            return
        keep_large = spool is not None
        if keep_large:
            capture_limit = LARGE
        elif capture:
            spool = _spool.Spool()
        self._runner = _local.InFiles(treaty, kill, options, starters, spool,
                                      capture_limit, keep_large)

    def _hooks(self):
        """What the command line (xlchild.cli) sets."""
        # called with a Result before each start: options for that one
        self._prepare = None
        # what holds starts back: see xlchild.cli._gates
        self._gate = None
        # a command may take so many times the median of those before it
        self._share = None
        # how many commands there are, for a halt at a percentage of them
        self._total = None
        self._run_now = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End what still runs, wait for it, and close. A second Ctrl-C
        meanwhile ends it at once; a closed pool refuses commands.

        >>> from xlchild.pool import Pool
        >>> pool = Pool(2)
        >>> first = next(pool.as_completed([["true"], ["sleep", "1000"]]))
        >>> pool.close()
        """
        runner = self._runner
        raised = None
        try:
            self.cancel()
        except BaseException as error:
            raised = error
        while not self._closed:
            try:
                if raised is not None and not isinstance(raised, Exception):
                    self._end_all(self._at_once)  # a second Ctrl-C
                while len(runner):
                    for result in runner.collect(None):
                        _spool.close(result.files)
                with self._ending_them:
                    self._closed = True
                    runner.close()
            except BaseException as error:  # on_output's, or a handler's
                if self._closed:  # and it could not be closed
                    raise
                if raised is None or isinstance(raised, Exception):
                    raised = error
        if raised is not None:
            raise raised

    def stop(self):
        """Nothing more starts; what runs goes on.

        >>> from xlchild.pool import Pool
        >>> with Pool(jobs=1) as pool:
        ...     for result in pool.as_completed([["true"]] * 1000):
        ...         pool.stop()
        ...         print(result.index)
        0
        """
        self._stopped = True

    def cancel(self, at_once=False):
        """Nothing more starts; what runs is ended by the kill policy.

        at_once: by SIGKILL, even if it is being ended already.

        >>> from xlchild.pool import Pool
        >>> with Pool(jobs=2) as pool:
        ...     for result in pool.as_completed([["true"],
        ...                                      ["sleep", "1000"]]):
        ...         print(result.success, result.cancelled)
        ...         pool.cancel()
        True False
        False True
        """
        self._hurried = self._hurried or at_once
        self._cancelled = True
        self._end_all(self._at_once if at_once else None)

    @property
    def running(self):
        """How many commands run now.

        >>> from xlchild.pool import Pool
        >>> with Pool(jobs=2) as pool:
        ...     for result in pool.as_completed([["true"],
        ...                                      ["sleep", "1000"]]):
        ...         print(pool.running)
        ...         pool.cancel()
        1
        0
        """
        return len(self._runner)

    # ---- results --------------------------------------------------------

    def as_completed(self, commands):
        """Run them; yield a Result each, in the order in which they end.

        commands is any iterable of argument lists, or of (list, bytes) for
        one with an input; it is read as slots come free. After an early end
        the rest of it is not read. If it has the methods ready() and
        fileno(), it is read only when ready, and the file watched until then.

        >>> from xlchild.pool import Pool
        >>> with Pool(jobs=2) as pool:
        ...     for result in pool.as_completed([(["cat"], b"input")]):
        ...         print(result.stdout)
        b'input'
        """
        for batch in self.batches(commands):
            yield from batch

    def map(self, commands, window=WINDOW):
        """As as_completed, but in the order of the commands.

        No command starts that is more than window places behind one whose
        end is awaited: so many results are held back at most.
        """
        for batch in self.batches(commands, window):
            yield from batch

    def batches(self, commands, window=0):
        """Lists of Results, each of what ended meanwhile; window as in map
        (0: in the order in which they end).

        >>> from xlchild.pool import Pool
        >>> with Pool(jobs=4) as pool:
        ...     sum(len(batch) for batch in pool.batches([["true"]] * 10))
        10
        """
        if not window:
            yield from self._run(commands)
            return
        early = {}
        wanted = 0
        window = max(window, self.jobs)
        self._horizon = window
        try:
            for batch in self._run(commands):
                for result in batch:
                    early[result.index] = result
                ready = []
                while wanted in early:
                    ready.append(early.pop(wanted))
                    wanted += 1
                self._horizon = wanted + window
                if ready:
                    yield ready
        finally:
            self._horizon = None
        if early:
            yield [early[index] for index in sorted(early)]

    # ---- the loop -------------------------------------------------------

    def _watch_time(self):
        """Ends what is late; for a caller that is kept from the results."""
        run = self._run_now
        if run is not None:
            if time.monotonic() >= run.until and not self._cancelled:
                self.out_of_time = True
                self.cancel()
            self._end_late(run)

    def _time_passed(self, seconds):
        """So long everything stood still: nobody is late for that."""
        if self._run_now is not None:
            self._run_now.later(seconds)

    def _begin(self, run, now):
        """Start what may start; those that could not be are returned."""
        runner = self._runner
        room = run.room(now)
        gate = self._gate
        if gate is not None and room > 0:
            room = gate.room(room) if run.eager(now) else 0
        taken = run.take(now, room)
        if gate is not None and room > len(taken):
            gate.unused(room - len(taken))
        ended, fit = [], taken
        if run.unfit:
            ended, run.unfit = run.unfit, []
            fit = [result for result in taken if result.error is None]
        if self._prepare is not None:
            for result in fit:
                run.give_slot(result)
                result._options = self._prepare(result)
        failed = runner.start(fit)
        if fit and len(failed) < len(fit):
            run.pressure.started()
        for result in failed:
            if not run.pressure.holds(result.error, len(runner),
                                      len(fit)):
                ended.append(result)
                continue
            run.hold(result)
            if gate is not None:
                gate.ended([result])
        return ended

    def _run(self, commands):
        if self._closed:
            raise ValueError("the Pool is closed")
        run = self._run_now = Run(self, commands)
        runner = self._runner
        self._halted = None
        while True:
            now = time.monotonic()
            if now >= run.until and not self._cancelled:
                self.out_of_time = True
                self.cancel()
            ended = []
            if not self._ending:
                ended = self._begin(run, now)
                if self._cancelled:  # meanwhile, by a signal handler
                    self._end_all(self._at_once if self._hurried else None)
            if not ended:
                if not len(runner) and (self._ending or run.exhausted):
                    break
                room = run.room(time.monotonic()) > 0
                patience = run.patience(room)
                also = run.awaited if room and not self._ending else ()
                if len(runner):
                    ended = runner.collect(patience, also)
                    ended = self._really_ended(ended, run)
                else:
                    _pause(patience, also)
                self._end_late(run)
            if self._prepare is not None:
                for result in ended:
                    run.take_slot(result)
            if ended and self._gate is not None:
                self._gate.ended(ended)
            ready = [result for result in ended if self._over(result, run)]
            if ready:
                yield ready
        given_up = run.given_up()
        if given_up:
            yield given_up

    @property
    def _ending(self):
        return self._cancelled or self._stopped or self._halted is not None

    def _really_ended(self, results, run):
        """All but those that could not be executed for want of something that
        comes back: they are tried again."""
        failed = [result for result in results if result.status is None]
        if len(failed) < len(results):
            run.pressure.ended()
            run.pressure.ran()
        if not failed or self._ending:
            return results
        held = []
        for result in failed:
            if run.pressure.holds(result.error, len(self._runner),
                                  len(failed)):
                held.append(result)
        for result in held:
            run.hold(result)
        if held and self._gate is not None:
            self._gate.ended(held)
        return [result for result in results if result not in held]

    def _over(self, result, run):
        """It has ended; False if it is tried again."""
        with self._ending_them:  # by another thread, and marked by now
            success = result.success
        if success:
            result.error = None
            if self._share is not None:
                run.took.add(result.seconds)
        elif result.attempts < self.attempts and not self._ending \
                and not isinstance(result.error, (Unfit, ExecutorGone)):
            run.again(result, self.backoff * 2 ** (result.attempts - 1))
            return False
        if self._halted is None:
            self._halted = run.halt.after(success)
            if self._halted == "now":
                self._end_all()
        return True

    def _end_late(self, run):
        """Ends what its timeout has passed for."""
        for result in run.late():
            if self._runner.stop(result):
                result.timed_out = True
        if self._share is not None and len(run.took) >= 3:
            limit = time.monotonic() - self._share * run.took.value()
            for result in self._runner:
                if result._begun <= limit and not result.timed_out \
                        and self._runner.stop(result):
                    result.timed_out = True

    def _end_all(self, policy=None):
        with self._ending_them:
            if self._closed:
                return
            for result in self._runner:
                if self._runner.stop(result, policy):
                    result.cancelled = True
            if policy is not None:
                self._runner.hurry()


def _lock():
    """One of threading's; where that has not been imported, it need not be."""
    return sys.modules.get("threading", _thread).RLock()


def _pause(seconds, also):
    """Nothing runs: until it is time, or the file can be read."""
    seconds = SLICE if seconds is None else min(SLICE, seconds)
    poll = select.poll()
    for fd in also:
        poll.register(fd, select.POLLIN)
    poll.poll(seconds * 1000)


def _at_least(least, **arguments):
    for name, value in arguments.items():
        if value is not None and not value >= least:
            raise ValueError("%s must be %d or more: %r"
                             % (name, least, value))


def run_many(commands, jobs=16, *, keep_order=True, **options):
    """Run commands and return the list of their Results.

    >>> from xlchild.pool import run_many
    >>> [r.stdout for r in run_many([["echo", "a"], ["echo", "b"]])]
    [b'a\\n', b'b\\n']
    """
    with Pool(jobs, **options) as pool:
        return list(pool.map(commands) if keep_order
                    else pool.as_completed(commands))
