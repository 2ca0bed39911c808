"""What trio's tasks do beside a command: feed it, read it, end it.

Used by trio.py, whose Process they have to do with.
"""
import warnings

import trio

__all__ = ["Helpers", "by_default", "end", "feed", "read"]

_GRACE = 5.0  # seconds, as trio gives after SIGTERM


async def by_default(process):
    """SIGTERM, and SIGKILL 5 seconds later; what trio does by default."""
    try:
        process.terminate()
        await trio.sleep(_GRACE)
        warnings.warn("process %r ignored SIGTERM for %d seconds (a "
                      "deliver_cancel of its own may suit it better): now it "
                      "is killed" % (process, _GRACE), RuntimeWarning)
        process.kill()
    except OSError as error:
        warnings.warn("process %r could not be killed: %r"
                      % (process, error), RuntimeWarning)


class Helpers:
    """Tasks that feed and read while the command runs. A cancellation does
    not reach them: they end with their streams, or by stop()."""

    def __init__(self, nursery):
        self._nursery = nursery
        self._scopes = []
        self._left = 0
        self._over = trio.Event()
        self.error = None

    def start(self, work, *args):
        """Run it beside."""
        self._left += 1
        self._nursery.start_soon(self._do, work, args)

    async def _do(self, work, args):
        scope = trio.CancelScope(shield=True)
        self._scopes.append(scope)
        try:
            with scope:
                await work(*args)
        except Exception as error:
            self.error = self.error or error
        finally:
            self._left -= 1
            if not self._left:
                self._over.set()

    async def over(self):
        """Until all have ended."""
        while self._left:
            await self._over.wait()

    async def stop(self):
        """End them."""
        with trio.CancelScope(shield=True):
            while self._left:
                for scope in self._scopes:
                    scope.cancel()
                await trio.lowlevel.checkpoint()


async def feed(stream, data):
    """All of it goes there."""
    async with stream:
        try:
            await stream.send_all(data)
        except trio.BrokenResourceError:
            pass  # it does not want more


async def read(stream, chunks):
    """What comes goes into the list, until its end."""
    async with stream:
        async for chunk in stream:
            chunks.append(chunk)


async def end(process, deliver_cancel):
    """Ended as deliver_cancel does it, which is over when it has ended; killed
    if that fails."""
    failed = []
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            async def deliver():
                try:
                    await deliver_cancel(process)
                except Exception as error:
                    failed.append(error)
                    process.kill()

            nursery.start_soon(deliver)
            await (process.wait() if process._handed_over
                   else process._over())
            nursery.cancel_scope.cancel()
    if process.family is not None:
        process.family._give_up()
    if failed:
        raise failed[0]
