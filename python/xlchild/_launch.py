"""Starts that a task of asyncio or trio waits for, in any Context.

Made by Context.spawn_async; how it waits is in _awaited.py. What is told of
the start has a number of its own: whoever takes it, here or in Context.events
of another thread, passes it on to told().
"""
from . import _libxl
from ._awaited import Awaited
from ._errors import raised_by_others
from ._process import Process
from ._spec import account_cell, has_group, spec_options

__all__ = ["Launch"]

_FLAGS = _libxl.LIBXL_SPAWN_NOWAIT | _libxl.LIBXL_SPAWN_REPORT_START
_HOLD = _libxl.LIBXL_REPORT_HOLD
_NEVER_RAN = _libxl.LIBXL_LOST_NEVER_RAN


class Launch(Awaited):
    """One start on its way."""

    def __init__(self, context, args, options):
        user = options.pop("tag", None)
        self._options = spec_options(**options)
        self._options["flags"] |= _FLAGS
        super().__init__(context)
        self._process = Process(context, args, 0 if user is None else user)
        self._process._account = account_cell(self._options)
        # these have the child, and the number of the evenable, whatever a
        # signal handler raises
        self._cell, self._numbers = [], []

    async def over(self):
        """The Process, once it is its program; or the SpawnError is raised."""
        try:
            await self._over()
            return self._process
        except BaseException:
            self._abandon()  # also when a handler raises after it was over
            raise

    def _begin(self):
        super()._begin()
        context, process = self._context, self._process
        context._spawn(process.args, self._options, _HOLD, self._token,
                       self._cell)
        process.id, process.pid = self._cell[0]
        process._held = True
        process._wide = has_group(self._options)
        # its end wakes the loop, too, whoever notices it
        context._evenable(process.pid, self._token, self._numbers)

    def _finish(self):
        process = self._process
        status = process.poll()
        if status is not None and status._result[3] == _NEVER_RAN:
            from ._completed import never_ran  # slow to import
            self._cell.clear()
            raise never_ran(status._result, process.args, self._options)
        self._forget()

    def _forget(self):
        super()._forget()
        if self._numbers and not self._context.closed:
            try:
                self._context._evdisable(self._numbers[0])
            except ValueError as error:  # done, and then a handler raised
                if raised_by_others(error):
                    raise
            self._context._claim(self._token)
            self._numbers.clear()

    def _abandon(self):
        """Nobody gets the Process."""
        self._process._held = False
        if not self._context.closed:
            self._context._end_started(self._cell)
        self._forget()
