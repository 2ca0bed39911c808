"""asyncio's subprocess transport over a Popen whose end a hub reports.

Made by aio.py. Its pipes are the loop's; what goes on between them and a
protocol is asyncio's own, apart from the ways in which it can end: the loop
may be closed, the task cancelled, a grandchild may hold a pipe.
"""
import asyncio
import asyncio.base_subprocess
import asyncio.streams
import asyncio.subprocess
import subprocess
import time
import warnings
import weakref

from . import _libxl, _starts
from ._checks import plain
from ._completed import never_ran
from ._cooperative import pause
from ._popen import Popen
from ._spec import account_cell, octets

__all__ = ["LoopPopen", "Process", "Start", "StreamProtocol",
           "Transport", "settled"]

_KILL = _libxl.LIBXL_FREE_KILL
_BY_EVENT = _libxl.LIBXL_REPORT_EVENT
_NOWAIT = _libxl.LIBXL_SPAWN_NOWAIT | _libxl.LIBXL_SPAWN_REPORT_START
_NEVER_RAN = _libxl.LIBXL_LOST_NEVER_RAN
_LIMIT = 2 ** 16
_ReadProto = asyncio.base_subprocess.ReadSubprocessPipeProto
_WriteProto = asyncio.base_subprocess.WriteSubprocessPipeProto


async def settled(future, raising=True):
    """The future is done; a cancellation meanwhile comes out only then (not
    at all if not raising: another exception is under way)."""
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and raising:
        raise cancelled


class Start:
    """A start, as the coroutine knows it that was asked for it: wherever a
    signal handler raises, there is either nothing yet or it can be ended."""

    __slots__ = ("hub", "number", "cell", "transport")

    def __init__(self):
        self.hub = self.number = self.transport = None
        self.cell = []  # (id, pid)

    def drop(self):
        """Nobody gets the transport: the child is killed, pipes are closed."""
        transport = self.transport
        if transport is None:
            return
        if transport.whole:
            transport.close()
        else:
            self.hub.forget(self.number)
            self.hub.context._end_started(self.cell)
            transport.come_to_nothing()

    async def abandon(self, error):
        """drop(), and it is waited for where that is possible."""
        transport = self.transport
        if transport is not None and transport.whole \
                and not isinstance(error, GeneratorExit):
            await transport.end()
        else:  # a coroutine that is being closed awaits nothing
            self.drop()


class LoopPopen(Popen):
    """A Popen whose end is reported to a hub. Its start is waited for by
    nobody: that it has become its program is told to started(), that it never
    did is its end."""

    _xl_kind = "asyncio"

    def __init__(self, *args, hub, start, reported, started, **options):
        self._hub = hub
        self._start = start
        self._reported = reported  # the hub alone keeps it afterwards
        self._started = started
        self._reports_to = weakref.ref(getattr(reported, "__self__", self))
        super().__init__(*args, context=hub.context, **options)
        if self._xl_id is None:  # subprocess started it: preexec_fn
            number = self._xl_number = hub.expect(reported)
            try:
                self._xl_id = hub.adopt(self.pid, number)
            except BaseException:
                hub.waiting.pop(number, None)
                super().kill()
                super().wait()
                raise
            started(None)
        self._reported = self._started = self._start = None

    def _xl_start(self, args, options):
        hub, start = self._hub, self._start
        number = self._xl_number = start.number = hub.last + 1
        hub.expect(self._reported)
        hub.starting[number] = self._started
        # as asyncio, whose forgotten transports kill
        options["on_free"] = _KILL
        options["flags"] |= _NOWAIT
        self._xl_account = account_cell(options)
        self._xl_asked = args, options
        try:
            self._xl_context._spawn(args, options, _BY_EVENT, number,
                                    start.cell)
            self._xl_id, self.pid = start.cell[0]
        except BaseException:
            if not start.cell:
                hub.forget(number)
            raise

    def _xl_came_to_nothing(self, result):
        """There is no program: the error that says so."""
        _starts.through(self._xl_kind, -1)
        self._child_created = False
        error = never_ran(result, *self._xl_asked)
        return error if self._xl_own else plain(error)

    def _internal_poll(self, *args, **kwargs):
        # nobody else looks any more
        if self.returncode is None and self._hub.retired:
            self._hub.drain()
        return self.returncode

    def _wait(self, timeout):
        # not awaited: the loop stands still, or is another thread's
        if self.returncode is None:
            loop = getattr(self._reports_to(), "_loop", None)
            if loop is not None and asyncio._get_running_loop() is loop:
                self._wait_inside(loop, timeout)
            elif not pause(lambda: self.poll() is not None, time.sleep,
                           timeout):
                raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _wait_inside(self, loop, timeout):
        """What comes first is taken, and handed out by the loop later."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout)
            result = self._hub.look(self._xl_number, left)
            loop.call_soon(self._hub.drain)
            if result is not None:
                self._xl_lost_raises = False
                self._xl_ended(result)

    def send_signal(self, sig):
        """As Popen's; ProcessLookupError where it is gone."""
        self.poll()
        if self.returncode is not None or self._xl_context.closed:
            raise ProcessLookupError()
        super().send_signal(sig)

    def __del__(self, *args, **kwargs):
        # its end is reported to the hub, which keeps the transport
        pass


class Transport(asyncio.base_subprocess.BaseSubprocessTransport):
    """asyncio's transport around a LoopPopen, which is its ``popen``."""

    popen = None
    family = None  # it was started with
    _popen_class = LoopPopen

    _closed = True  # as long as nothing is open
    whole = False  # the pipes are being connected, or are

    def __init__(self, loop, *args, hub, start, **options):
        self._hub = hub
        self._start_of = start
        start.hub = hub
        self._gone = loop.create_future()  # the protocol's connection is lost
        self._launched = loop.create_future()  # it runs, or never will
        self._connected = loop.create_future()  # _connect_pipes is over
        self._failed = None  # why it never will
        self._waiter = options.get("waiter")
        start.transport = self
        super().__init__(loop, *args, **options)
        self.whole = True

    def _start(self, args, shell, stdin, stdout, stderr, bufsize, **options):
        self.family = options.get("family")
        self.popen = self._proc = self._popen_class(
            args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr,
            bufsize=bufsize, hub=self._hub, start=self._start_of,
            reported=self._reported, started=self._runs, **options)

    def _runs(self, _):
        if not self._launched.done():
            self._launched.set_result(None)

    def _came_to_nothing(self, result):
        self._failed = self.popen._xl_came_to_nothing(result)
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._runs(None)
            self._wake()

    def come_to_nothing(self):
        """The making of it was interrupted, and its child ended."""
        if self._waiter is not None:
            self._waiter.cancel()
        self._failed = asyncio.CancelledError()
        self._closed = True
        self._runs(None)  # for _connect_pipes, if it has been scheduled
        popen = self.popen
        if popen is not None:
            for stream in (popen.stdin, popen.stdout, popen.stderr):
                if stream is not None:
                    stream.close()

    def _wake(self):
        waiters, self._exit_waiters = self._exit_waiters or (), []
        for waiter in waiters:
            if not waiter.cancelled() and not waiter.done():
                waiter.set_result(self._returncode)

    def _reported(self, result):
        # never before __init__ has returned: the loop calls this
        if result[3] == _NEVER_RAN:
            self._came_to_nothing(result)
            return
        popen, loop = self.popen, self._loop
        popen._xl_lost_raises = False  # nobody is there to catch it
        popen._xl_ended(result)
        if popen._xl_account is not None:
            from ._account import collect  # here since the start
            collect(self._hub.context, result[0], popen._xl_account)
        if loop is None or loop.is_closed():
            self._returncode = popen.returncode
            return
        self._runs(None)
        self._process_exited(popen.returncode)
        self._wake()

    async def _connect_pipes(self, waiter):
        """As asyncio's, once there is a program; what is connected after
        close() is closed, too."""
        try:
            if not self._launched.done():
                await settled(self._launched, raising=False)
            if self._failed is None:
                await self._connect_each(waiter)
            else:
                self._give_up(waiter)
        finally:
            if not self._connected.done():
                self._connected.set_result(None)

    def _give_up(self, waiter):
        popen = self.popen
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()
        self._pipes.clear()
        self._pending_calls = None
        if not self._gone.done():
            self._gone.set_result(None)
        if waiter is not None and not waiter.done():
            waiter.set_exception(self._failed)

    async def _connect_each(self, waiter):
        popen, loop = self._proc, self._loop
        connections = [
            (number, stream, loop.connect_write_pipe, _WriteProto)
            if number == 0 else
            (number, stream, loop.connect_read_pipe, _ReadProto)
            for number, stream in enumerate((popen.stdin, popen.stdout,
                                             popen.stderr))
            if stream is not None]
        error = None
        for number, stream, connect, kind in connections:
            if self._closed or error is not None:
                stream.close()
                self._pipes.pop(number, None)
                continue
            try:
                _, proto = await connect(
                    lambda number=number, kind=kind: kind(self, number),
                    stream)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as caught:
                error = caught
                stream.close()
                self._pipes.pop(number, None)
                continue
            self._pipes[number] = proto
            if self._closed:
                proto.pipe.abort() if number == 0 else proto.pipe.close()
        if error is None:
            loop.call_soon(self._protocol.connection_made, self)
            pending, self._pending_calls = self._pending_calls, None
            for callback, data in pending:
                loop.call_soon(callback, *data)
        else:
            self._pending_calls = None
        if waiter is not None and not waiter.cancelled():
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        if self._returncode is not None and not self._finished:
            self._try_finish()

    def _call_connection_lost(self, exc):
        super()._call_connection_lost(exc)
        self._closed = True  # there is nothing left to close
        if not self._gone.done():
            self._gone.set_result(None)

    def close(self):
        """Close the pipes; kill what runs. What stdin has not taken yet is
        dropped if the child is killed for it."""
        loop = self._loop
        if loop is not None and loop.is_closed():
            self._close_without_loop()
            return
        if not self._closed and self._proc is not None \
                and self._returncode is None:
            stdin = self._pipes.get(0)
            if stdin is not None and not stdin.disconnected:
                stdin.pipe.abort()
        super().close()

    def _close_without_loop(self):
        """The loop is closed: nothing can be called soon."""
        if self._closed:
            return
        self._closed = True
        for proto in self._pipes.values():
            pipe = None if proto is None else proto.pipe
            if getattr(pipe, "_pipe", None) is not None:
                pipe._pipe.close()
                pipe._pipe = None  # or it would warn
        popen = self.popen
        if popen is not None:
            for stream in (popen.stdin, popen.stdout, popen.stderr):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:
                        pass
            try:
                popen.kill()
            except (ProcessLookupError, PermissionError):
                pass

    async def end(self):
        """Kill it, wait until it is reaped, and let go of its pipes, whoever
        holds the other ends. Where the kill is refused, it is left running,
        and the PermissionError raised."""
        refused = None
        early = self._returncode is None and self._failed is None
        try:
            if early:
                self.popen.kill()
        except ProcessLookupError:
            pass
        except PermissionError as error:
            refused = error
            self._closed = True  # not again
        cancelled = None
        if self._proc is not None and refused is None:
            while self._returncode is None and self._failed is None:
                try:
                    await self._wait()
                except asyncio.CancelledError as error:
                    cancelled = error
            await settled(self._connected, raising=False)
        if early and self.family is not None:
            self.family._give_up()
        for number, proto in list(self._pipes.items()):
            if proto is not None and not proto.disconnected:
                proto.pipe.abort() if number == 0 else proto.pipe.close()
        self._closed = True
        if refused is not None:
            raise refused
        await settled(self._gone)
        if cancelled is not None:
            raise cancelled

    def send_signal(self, signal):
        """Send a signal; never to another process."""
        if self.popen is None or self._returncode is not None:
            raise ProcessLookupError()
        self.popen.send_signal(signal)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(15)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(9)

    def __del__(self, _warn=warnings.warn):
        if not self._closed:
            _warn("unclosed transport %r" % self, ResourceWarning,
                  source=self)
            self.close()


class _Lines(asyncio.StreamReader):
    """A StreamReader whose readline() takes lines of any length; otherwise
    no more than its limit is buffered."""

    async def readline(self):
        """One line, or what is left at the end."""
        limit = self._limit
        try:
            while True:
                try:
                    return await self.readuntil(b"\n")
                except asyncio.IncompleteReadError as error:
                    return error.partial
                except asyncio.LimitOverrunError:
                    self._limit *= 2
        finally:
            self._limit = limit


class StreamProtocol(asyncio.subprocess.SubprocessStreamProtocol):
    """asyncio's, where limit may be None."""

    def __init__(self, limit, loop):
        super().__init__(limit=_LIMIT if limit is None else limit, loop=loop)
        self._any_length = limit is None

    def connection_made(self, transport):
        """The pipes are there."""
        super().connection_made(transport)
        if self._any_length:
            for reader in (self.stdout, self.stderr):
                if reader is not None:
                    reader.__class__ = _Lines

    def pipe_connection_lost(self, fd, exc):
        """As asyncio's; nobody has to ask how stdin was closed."""
        super().pipe_connection_lost(fd, exc)
        closed = getattr(self, "_stdin_closed", None)
        if closed is not None and closed.done() and not closed.cancelled():
            closed.exception()


class Process(asyncio.subprocess.Process):
    """asyncio.subprocess.Process, with more to ask.

    Input may have items of any size.

    >>> import asyncio
    >>> from xlchild import aio
    >>> async def main():
    ...     p = await aio.create_subprocess_exec(
    ...         "sh", "-c", "sleep 1000 & read x; exit $x", stdin=-1,
    ...         account=True, family="always")
    ...     print(p.status, p.account, await p.communicate(b"3"), p.status)
    ...     print(await p.family.wait_async(), p.account.ended_by.name)
    >>> asyncio.run(main())
    None None (None, None) exit 3
    True ITSELF
    """

    @property
    def status(self):
        """The Status, once it has ended."""
        return self._transport.popen.status

    @property
    def account(self):
        """The Account, once it has ended; None without account=True."""
        return self._transport.popen.account

    @property
    def family(self):
        """The Family that it was started with, or None."""
        return self._transport.family

    async def communicate(self, input=None):
        """Send input, read to the end, wait: (stdout, stderr)."""
        if input is not None:
            input = octets(input)
        return await super().communicate(input)
