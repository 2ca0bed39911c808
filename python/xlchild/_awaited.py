"""What a task of asyncio or trio waits for in a Context; its loop goes on.

Of _launch.py (a start) and _empty.py (a family). The loop watches a copy of
the context's fd, so that the program may have it watched, too. Each has a
number of its own, by which what is told of it is known; a context that is
closed tells them all.
"""
import collections
import os
import sys
import time

__all__ = ["Awaited", "MARK"]

MARK = 3 << 62  # of their numbers, among the users'


class _Copy:
    """A copy of an fd, closed once; at the latest with this object. A handler
    may raise between any two steps of Python's: made and noted is one step
    here, and so is forgotten and closed."""

    __slots__ = ("_fds",)

    def __init__(self, fd):
        self._fds = []
        self._fds.extend(map(os.dup, (fd,)))

    def fileno(self):
        return self._fds[0]

    def close(self):
        if getattr(self, "_fds", None):  # it may not have come that far
            collections.deque(map(os.close, map(self._fds.pop, (0,))), 0)

    def __del__(self):
        self.close()


class Awaited:
    """One of them; derived classes begin, finish and abandon it."""

    SLICE = None  # seconds after which it is looked at in any case

    def __init__(self, context):
        self._context = context
        self._token = MARK | next(context._tokens)
        self._told = False
        self._wake = None  # callable from any thread

    def told(self):
        """It has come about; or the context is closed."""
        self._told = True
        if self._wake is not None:
            self._wake()

    async def _over(self, seconds=None):
        """Until it is told; so many seconds at most."""
        trio = sys.modules.get("trio")
        if trio is not None and _inside(trio):
            await self._in_trio(trio, seconds)
        else:
            import asyncio
            await self._in_asyncio(asyncio, seconds)

    async def _in_asyncio(self, asyncio, seconds):
        loop = asyncio.get_running_loop()
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
            except BaseException:  # of a callback's, or a handler's
                if self._told or self._context.closed:
                    done()
                raise

        copy = _Copy(self._context.fileno())
        fd = copy.fileno()
        try:
            loop.add_reader(fd, look)
            try:
                self._wake = wake
                self._begin()
                if seconds is self.SLICE is None:
                    await future
                else:
                    await self._in_slices(asyncio, future, seconds)
                self._finish()
            except BaseException:
                self._abandon()
                raise
            finally:
                if not loop.is_closed():
                    loop.remove_reader(fd)
        finally:
            copy.close()

    async def _in_slices(self, asyncio, future, seconds):
        until = float("inf") if seconds is None \
            else time.monotonic() + seconds
        while not (future.done() or self._look()):
            left = until - time.monotonic()
            if left <= 0:
                break
            await asyncio.wait((future,), timeout=min(left, self.SLICE))

    async def _in_trio(self, trio, seconds):
        soon = trio.lowlevel.current_trio_token().run_sync_soon
        until = float("inf") if seconds is None \
            else trio.current_time() + seconds
        scope = trio.CancelScope(deadline=until)

        def wake():
            try:
                soon(scope.cancel)
            except trio.RunFinishedError:
                pass  # nobody waits

        copy = _Copy(self._context.fileno())
        fd = copy.fileno()
        try:
            try:
                self._wake = wake
                self._begin()
                with scope:
                    while not self._look():
                        with trio.move_on_after(self.SLICE or float("inf")):
                            await trio.lowlevel.wait_readable(fd)
                await trio.lowlevel.checkpoint_if_cancelled()
                self._finish()
            except BaseException:
                self._abandon()
                raise
        finally:
            copy.close()

    def _look(self):
        """The context's fd is readable: is it for this one?"""
        if not self._told and self._context._claim(self._token):
            self._told = True
        return self._told

    def _begin(self):
        """From now on it may be told."""
        self._context._launches[self._token] = self

    def _finish(self):
        """It has been told, or the time is over."""
        self._forget()

    def _abandon(self):
        """Nobody waits any more: the task was cancelled, or interrupted."""
        self._forget()

    def _forget(self):
        self._context._launches.pop(self._token, None)


def _inside(trio):
    """This is a task of trio's."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
