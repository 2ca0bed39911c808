"""Runs the commands of a pool as children of this process.

Called by the scheduler (_schedule.py), which hands over Results to start and
gets them back ended. InFiles starts a whole batch in one call, output
inherited or in files (_spool.py); InPipes starts one after the other and
and passes output on while it comes. No start is waited for: what comes to nothing
ends so, and collect() has it with the error of a start that failed.
"""
import errno
import itertools
import os
import select
import time

from .. import _libxl
from .._context import Context
from .._errors import (
    NotFoundError, SpawnError, XlchildError, raised_by_others,
)
from .._spec import account_cell, spec_options
from .._process import milliseconds
from .._status import Status
from . import _spool
from ._result import OutputLost

__all__ = ["InFiles", "InPipes"]

_BATCH = 256
_EXIT = 1 << _libxl.LIBXL_EVENT_TYPE_CHILDPROC_EXIT
_COMPLETE = 1 << _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE
_STARTED = 1 << _libxl.LIBXL_EVENT_TYPE_CHILDPROC_STARTED
_BY_EVENT = _libxl.LIBXL_REPORT_EVENT
_GROUP = _libxl.LIBXL_KILL_GROUP
_NOWAIT = _libxl.LIBXL_SPAWN_NOWAIT
_NEVER_RAN = _libxl.LIBXL_LOST_NEVER_RAN
_WRONG = (SpawnError, ValueError, TypeError, OverflowError, OSError)


class _Local:
    """What both have in common: a Context, and who runs in it."""

    times_out = False  # the scheduler watches the time

    def __init__(self, treaty, kill, options):
        when = None
        if "family" in options:  # few need it
            from ._families import Families, policy_named
            when = policy_named(options)
        self._options = spec_options(kill=kill, **options)
        self._accounts = account_cell(self._options) is not None
        self._options["flags"] |= _NOWAIT
        self.context = Context(**treaty)
        self._families = None
        if when is not None:
            try:
                self._families = Families(self.context, when, kill)
            except BaseException:
                self.context.close()
                raise
        self._running = {}
        self._left = []
        self._spool = None

    def _own(self, changes):
        """The options with some of them changed: fds is a dict of more."""
        options = dict(self._options, **changes)
        if "fds" in changes:
            fds = dict(self._options["fds"])
            fds.update(changes["fds"])
            options["fds"] = list(fds.items())
        return options

    def _came_to_nothing(self, result, payload):
        """It is as if it had not been started; the error says why."""
        from .._completed import never_ran  # slow to import
        options = dict(self._options, **(result._options or {}))
        result.error = never_ran(payload, result.args, options)
        result.seconds = 0.0
        result._child = None

    def signal(self, signo):
        """Send it to the groups of all that run."""
        for result in self:
            if result._child is not None:
                try:
                    _libxl.libxl_childproc_kill(
                        self.context, result._child, signo, _GROUP)
                except (XlchildError, OSError):
                    pass  # it has ended, or is another user's now

    def hurry(self):
        """Whoever is being ended with its job is killed at once."""
        if self._families is not None:
            self._families.hurry()

    def _over(self, ended):
        """Those that are over: all that have ended, but for families."""
        return ended if self._families is None else self._families.ended(ended)

    def _account(self, result, payload):
        """Its account, if that was asked for."""
        if self._accounts:
            from .._account import account_of
            result.account = account_of(self.context, payload[0])

    def __len__(self):
        return len(self._running) + len(self._families or ())

    def __iter__(self):
        return iter(list(self._running.values()))

    def close(self):
        """Nothing runs any more."""
        self.context.close()
        if self._spool is not None:
            self._spool.close()

    def _taken(self, mask, timeout, also):
        """(Result, payload) of each that has ended; waits for one, or until
        one of the files also can be read."""
        running = self._running
        if also:
            poll = select.poll()
            poll.register(self.context.fileno(), select.POLLIN)
            for fd in also:
                poll.register(fd, select.POLLIN)
            poll.poll(None if timeout is None else milliseconds(timeout))
            timeout = 0
        own, families = mask, self._families
        if families is not None:
            mask |= _COMPLETE
        now = None
        taken = self._left  # kept where a handler's exception cannot lose it
        if not taken:
            self.context._events(_BATCH, mask, -1 if timeout is None
                                 else milliseconds(timeout), taken)
        while taken:
            kind, ticket, payload = taken[0]
            if 1 << kind == _STARTED:
                result = self._running.get(ticket)
                if result is not None:
                    result._child = payload[0]
                del taken[0]
                continue
            if families is not None and 1 << kind == _COMPLETE and (
                    families.empty(ticket) or not own & _COMPLETE):
                del taken[0]
                continue
            result = running.pop(ticket, None)
            del taken[0]
            if result is not None:
                if now is None:
                    now = time.monotonic()
                result.seconds = now - result._begun
                yield result, payload


class InFiles(_Local):
    """Output is inherited, or goes to the files of a spool.

    At its end it is read into the Result: all of it, or the first limit
    bytes. keep_large: not what is longer than that, which stays in its file.
    """

    def __init__(self, treaty, kill, options, starters=0, spool=None,
                 limit=0, keep_large=False):
        super().__init__(treaty, kill, options)
        try:
            self.context.set_starters(starters)
        except BaseException:
            self.context.close()
            raise
        self._spool = spool
        self._no_room = None  # the error, when it was last looked for
        self._limit = limit
        self._keep_large = keep_large
        self._tickets = 0

    def start(self, results):
        """Start them; those that could not be are returned."""
        failed, entries, begun, lent = [], [], [], []
        answers = []
        wall, now = time.time(), time.monotonic()
        try:
            for result in results:
                options = self._options if result._options is None \
                    else self._own(result._options)
                try:
                    if self._spool is not None or result._input is not None:
                        options = self._connected(result, options, lent)
                    if self._families is not None:
                        options = self._families.join(result, options)
                except (OSError, XlchildError) as error:
                    if raised_by_others(error):
                        raise
                    self._drop(result)
                    result.error = error
                    failed.append(result)
                    continue
                self._tickets = result._ticket = ticket = self._tickets + 1
                result.started = wall
                result._begun = now
                begun.append(result)
                self._running[ticket] = result
                entries.append((result.args, options, _BY_EVENT, ticket))
            self._spawn(entries, answers)
        finally:  # also of a handler's exception: what runs is known
            for fd in lent:
                os.close(fd)
            for result, answer in itertools.zip_longest(begun, answers):
                if type(answer) is tuple:
                    result._child = answer[0]
                else:
                    self._running.pop(result._ticket, None)
                    self._drop(result)
                    if self._families is not None:
                        self._families.drop(result)
                    result.error = answer
                    failed.append(result)
            if failed and self._spool is not None:
                self._spool.spare()
        return failed

    @staticmethod
    def _drop(result):
        files, result.files = result.files, None
        _spool.close(files)

    def _connected(self, result, options, lent):
        """The options for one with files of its own."""
        fds = dict(options["fds"])
        if result._input is not None:
            fds[0] = fd = _spool.holding(result._input)
            lent.append(fd)
        if self._spool is not None:
            out, err = result.files = self._spool.take(result)
            fds[1] = fd = out.writer()
            lent.append(fd)
            fds[2] = fd = err.writer()
            lent.append(fd)
        options = options.copy()
        options["fds"] = list(fds.items())
        return options

    def _spawn(self, entries, answers):
        """(id, pid) or an exception for each, appended to answers."""
        cell = []
        try:
            self.context._spawn_many(entries, cell)
        except _WRONG as error:
            # one of them is not a command at all: none was started
            if cell or raised_by_others(error):
                raise
        finally:
            for found in cell:
                answers += found
        if cell:
            return
        for entry in entries:
            try:
                self.context._spawn(*entry, answers)
            except _WRONG as error:
                if raised_by_others(error):
                    raise
                answers.append(error)

    def collect(self, timeout, also=()):
        """Those that have ended; waits for one, timeout seconds at most, or
        until the file also can be read."""
        ended = []
        looked = False
        for result, payload in self._taken(_EXIT, timeout, also):
            if payload[3] == _NEVER_RAN:
                self._drop(result)
                if self._spool is not None:
                    self._spool.spare()
                self._came_to_nothing(result, payload)
                ended.append(result)
                continue
            result.status = Status(payload)
            self._account(result, payload)
            if result.files is not None:
                if not looked:
                    looked = True
                    self._look(result)
                self._read(result)
            ended.append(result)
        return self._over(ended)

    def _look(self, ended):
        """If there is no room, what anybody writes now is cut."""
        error = self._spool.full(ended.files[0])
        self._no_room = error
        if error is not None:
            for result in self._running.values():
                result._lost = error

    def _read(self, result):
        error = self._no_room or result._lost
        if error is not None:
            result.error = OutputLost(error.errno, error.strerror,
                                      error.filename)
        out, err = result.files
        result.stdout, out = self._read_one(result, out)
        result.stderr, err = self._read_one(result, err)
        result.files = None if out is err is None else (out, err)

    def _read_one(self, result, file):
        """What it holds, or the file itself."""
        try:
            text = file.finish(self._limit, self._keep_large)
        except (OSError, MemoryError) as error:
            if raised_by_others(error):
                raise
            result.error = OutputLost(
                getattr(error, "errno", errno.ENOMEM), str(error),
                "what job %d wrote" % (result.index + 1))
            return None, None
        return text, file if text is None else None

    def stop(self, result, policy=None):
        """End it early; False if it has ended."""
        if result._child is None:
            return False
        before, result._ended_early = result._ended_early, True
        try:
            _libxl.libxl_childproc_terminate(self.context, result._child,
                                             policy)
        except NotFoundError:
            result._ended_early = before
            return False
        return True


class InPipes(_Local):
    """Output is passed on as it comes: on_output(result, stream, data)."""

    def __init__(self, treaty, kill, options, on_output):
        super().__init__(treaty, kill, options)
        self._on_output = on_output
        self._fds = dict(self._options.pop("fds"))
        self._more = {target: fd for target, fd in self._fds.items()
                      if target > 2}

    def start(self, results):
        """Start them; those that could not be are returned."""
        failed = []
        for result in results:
            result.started = time.time()
            result._begun = time.monotonic()
            stdin = (_libxl.LIBXL_STREAM_NULL, None)
            if result._input is not None:
                stdin = (_libxl.LIBXL_STREAM_BUFFER, result._input)
            elif self._fds[0] >= 0:
                stdin = (_libxl.LIBXL_STREAM_FD, self._fds[0])
            pipe = (_libxl.LIBXL_STREAM_CALLBACK, None)
            options = self._options
            if result._options is not None or self._more:
                options = dict(options, **(result._options or {}))
                fds = {**self._more, **options.pop("fds", {})}
                if fds:
                    options["fds"] = list(fds.items())
            cell = []
            try:
                if self._families is not None:
                    options = self._families.join(result, options)
                self.context._exec(
                    result.args, options, stdin, pipe, pipe, -1,
                    _libxl.LIBXL_LINGER_DRAIN, self._passing(result), True,
                    cell)
            except (*_WRONG, XlchildError) as error:
                if raised_by_others(error):
                    raise
                if self._families is not None:
                    self._families.drop(result)
                result.error = error
                failed.append(result)
            finally:  # also of a handler's exception: what runs is known
                for number in cell:
                    result._ticket = number
                    self._running[number] = result
        return failed

    def _passing(self, result):
        def passing(stream, data):
            on_output = self._on_output
            if data and on_output is not None:
                try:
                    on_output(result, stream, data)
                except BaseException:
                    self._on_output = None  # once is enough
                    raise  # out of what pumps, soon
        return passing

    def collect(self, timeout, also=()):
        """Those that have ended; waits for one, timeout seconds at most, or
        until the file also can be read."""
        ended = []
        for result, outcome in self._taken(_COMPLETE | _STARTED, timeout,
                                           also):
            code = outcome[0]
            if outcome[1][3] == _NEVER_RAN:
                self._came_to_nothing(result, outcome[1])
                ended.append(result)
                continue
            result.status = Status(outcome[1])
            self._account(result, outcome[1])
            if code not in (0, _libxl.ERROR_ABORTED):
                result.error = XlchildError(_libxl.libxl_strerror(code), code)
            ended.append(result)
        return self._over(ended)

    def signal(self, signo):
        """Send it to the groups of all that run."""
        self._meet()
        super().signal(signo)

    def _meet(self):
        """Which child is whose, of those that have been started meanwhile."""
        for _, ticket, payload in self.context._events(_BATCH, _STARTED, 0):
            if ticket in self._running:
                self._running[ticket]._child = payload[0]

    def stop(self, result, policy=None):
        """End it early; False if it has ended."""
        before, result._ended_early = result._ended_early, True
        if result._ticket not in self._running \
                or not self.context.abort(result._ticket):
            result._ended_early = before
            return False
        if policy is not None:  # other than what it was started with
            self._meet()
            if result._child is not None:
                try:
                    _libxl.libxl_childproc_terminate(
                        self.context, result._child, policy)
                except NotFoundError:
                    pass
        return True
