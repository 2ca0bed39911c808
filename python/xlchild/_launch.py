"""Starts that a task of asyncio or trio waits for, in any Context.

Made by Context.spawn_async. The loop watches a copy of the context's fd, so
that the program may have it watched, too. What is told of the start has a
number of its own: whoever takes it, here or in Context.events of another
thread, passes it on to told().
"""
import os
import sys

from . import _libxl
from ._process import Process
from ._spec import account_cell, has_group, spec_options

__all__ = ["Launch"]

_FLAGS = _libxl.LIBXL_SPAWN_NOWAIT | _libxl.LIBXL_SPAWN_REPORT_START
_HOLD = _libxl.LIBXL_REPORT_HOLD
_NEVER_RAN = _libxl.LIBXL_LOST_NEVER_RAN


class Launch:
    """One start on its way."""

    def __init__(self, context, args, options, mark):
        user = options.pop("tag", None)
        self._options = spec_options(**options)
        self._options["flags"] |= _FLAGS
        self._context = context
        self._process = Process(context, args, 0 if user is None else user)
        self._process._account = account_cell(self._options)
        self._token = mark | next(context._tokens)
        self._number = None  # of the evenable
        self._cell = []  # has the child, whatever a signal handler raises
        self._told = False
        self._wake = None  # callable from any thread

    def told(self):
        """It is its program, or has ended; or the context is closed."""
        self._told = True
        if self._wake is not None:
            self._wake()

    async def over(self):
        """The Process; or the SpawnError is raised."""
        trio = sys.modules.get("trio")
        if trio is not None and _inside(trio):
            await self._in_trio(trio)
        else:
            import asyncio
            await self._in_asyncio(asyncio.get_running_loop())
        return self._process

    async def _in_asyncio(self, loop):
        future = loop.create_future()

        def done():
            if not future.done():
                future.set_result(None)

        def wake():
            try:
                loop.call_soon_threadsafe(done)
            except RuntimeError:
                pass  # it is closed: nobody waits

        def look():
            try:
                if self._look():
                    done()
            except Exception:  # of a callback's, which is not ours
                if self._context.closed:
                    done()
                raise

        fd = os.dup(self._context.fileno())
        try:
            loop.add_reader(fd, look)
            try:
                self._wake = wake
                self._begin()
                await future
                self._finish()
            except BaseException:
                self._abandon()
                raise
            finally:
                if not loop.is_closed():
                    loop.remove_reader(fd)
        finally:
            os.close(fd)

    async def _in_trio(self, trio):
        soon = trio.lowlevel.current_trio_token().run_sync_soon
        scope = trio.CancelScope()

        def wake():
            try:
                soon(scope.cancel)
            except trio.RunFinishedError:
                pass  # nobody waits

        fd = os.dup(self._context.fileno())
        try:
            try:
                self._wake = wake
                self._begin()
                with scope:
                    while not self._look():
                        await trio.lowlevel.wait_readable(fd)
                await trio.lowlevel.checkpoint_if_cancelled()
                self._finish()
            except BaseException:
                self._abandon()
                raise
        finally:
            os.close(fd)

    def _begin(self):
        context, process = self._context, self._process
        context._launches[self._token] = self
        context._spawn(process.args, self._options, _HOLD, self._token,
                       self._cell)
        process.id, process.pid = self._cell[0]
        process._held = True
        process._wide = has_group(self._options)
        # its end wakes the loop, too, whoever notices it
        self._number = context._evenable(process.pid, self._token)

    def _look(self):
        """The context's fd is readable: is it for this one?"""
        if not self._told and self._context._claim(self._token):
            self._told = True
        return self._told

    def _finish(self):
        process = self._process
        status = process.poll()
        if status is not None and status._result[3] == _NEVER_RAN:
            from ._completed import never_ran  # slow to import
            self._cell.clear()
            raise never_ran(status._result, process.args, self._options)
        self._forget()

    def _forget(self):
        self._context._launches.pop(self._token, None)
        if self._number is not None and not self._context.closed:
            number, self._number = self._number, None
            self._context._evdisable(number)
            self._context._claim(self._token)

    def _abandon(self):
        """Nobody gets the Process."""
        self._process._held = False
        if not self._context.closed:
            self._context._end_started(self._cell)
        self._forget()


def _inside(trio):
    """This is a task of trio's."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
