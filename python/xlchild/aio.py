"""Children inside asyncio (and uvloop): no thread a child, no SIGCHLD.

Each event loop gets a Context of its own, whose one fd the loop watches.
create_subprocess_exec and create_subprocess_shell return asyncio's own
Process. Its wait() is over when the child has ended, whoever still holds its
pipes.
"""
import asyncio
import asyncio.base_subprocess
import os
import subprocess
import threading
import warnings
import weakref

from . import _libxl
from ._context import Context
from ._events import CompletedProcess
from ._popen import Popen
from ._status import Status

__all__ = ["create_subprocess_exec", "create_subprocess_shell", "run",
           "install_child_watcher", "new_child_watcher"]

_LIMIT = 2 ** 16
_ALL = (1 << 64) - 1
_EXIT = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_EXIT
_KILL = _libxl.LIBXL_FREE_KILL


class _Hub:
    """A loop's Context, and who waits for which of its children."""

    def __init__(self, loop):
        self.context = Context()
        self.waiting = {}
        self.last = 0
        own = weakref.ref(self)

        def ready():
            hub = own()
            if hub is not None:
                hub.drain()

        loop.add_reader(self.context.fileno(), ready)

    def drain(self):
        """Hand out what has ended."""
        while True:
            taken = self.context._events(64, _ALL, 0)
            for kind, token, result in taken:
                callback = self.waiting.pop(token, None) \
                    if kind == _EXIT else None
                if callback is not None:
                    callback(result)
            if len(taken) < 64:
                return

    def expect(self, callback):
        """A number for a child whose end goes to callback."""
        self.last += 1
        self.waiting[self.last] = callback
        return self.last

    def __del__(self):
        try:
            self.context.close()
        except Exception:  # the interpreter is ending
            pass


_hubs = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _hub_of(loop):
    with _lock:
        hub = _hubs.get(loop)
        if hub is not None and hub.context.forked:
            hub = None
        if hub is None:
            _sweep()
            hub = _hubs[loop] = _Hub(loop)
        return hub


def _sweep():
    """Loops that are closed need no Context any more."""
    for loop in list(_hubs):
        if loop.is_closed():
            _hubs.pop(loop, None)


class _AioPopen(Popen):
    """A Popen whose end goes to a transport."""

    def __init__(self, *args, hub, ended, **options):
        self._hub = hub
        self._on_end = ended
        super().__init__(*args, context=hub.context, **options)

    def _start_child(self, args, options):
        token = self._hub.expect(self._reported)
        # as asyncio, whose forgotten transports kill
        options["on_free"] = _KILL
        try:
            self._id, self.pid = self._context._spawn(
                args, options, _libxl.LIBXL_REPORT_EVENT, token)
        except BaseException:
            del self._hub.waiting[token]
            raise

    def _reported(self, result):
        self._lost_raises = False  # nobody is there to catch it
        self._ended(result)
        self._on_end(self.returncode)

    def send_signal(self, sig):
        """As Popen's; ProcessLookupError where the loop is gone."""
        if self._context.closed:
            raise ProcessLookupError()
        super().send_signal(sig)

    def __del__(self, *args, **kwargs):
        # its end is reported to the hub, which keeps this object
        pass


class _Transport(asyncio.base_subprocess.BaseSubprocessTransport):
    """asyncio's transport around an _AioPopen."""

    def __init__(self, loop, *args, hub, **options):
        self._hub = hub
        super().__init__(loop, *args, **options)

    def _start(self, args, shell, stdin, stdout, stderr, bufsize, **options):
        self.popen = self._proc = _AioPopen(
            args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr,
            bufsize=bufsize, hub=self._hub, ended=self._ended, **options)

    def _ended(self, returncode):
        # never before __init__ has returned: the loop calls this
        self._process_exited(returncode)
        waiters, self._exit_waiters = self._exit_waiters or (), []
        for waiter in waiters:
            if not waiter.cancelled() and not waiter.done():
                waiter.set_result(self._returncode)

    def send_signal(self, signal):
        """Send a signal; never to another process."""
        self._check_proc()
        if self._returncode is not None:
            raise ProcessLookupError()
        self._proc.send_signal(signal)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(15)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(9)


async def _connect(args, shell, stdin, stdout, stderr, limit, options):
    loop = asyncio.get_running_loop()
    for name in ("text", "universal_newlines", "encoding", "errors"):
        if options.pop(name, None):
            raise ValueError("%s is not possible here: streams are bytes"
                             % name)
    protocol = asyncio.subprocess.SubprocessStreamProtocol(
        limit=limit, loop=loop)
    waiter = loop.create_future()
    transport = _Transport(loop, protocol, args, shell, stdin, stdout,
                           stderr, 0, waiter=waiter, hub=_hub_of(loop),
                           **options)
    try:
        await waiter
    except BaseException:
        transport.close()
        await transport._wait()
        raise
    return asyncio.subprocess.Process(transport, protocol, loop)


async def create_subprocess_exec(program, *args, stdin=None, stdout=None,
                                 stderr=None, limit=_LIMIT, **options):
    """As asyncio.create_subprocess_exec, with the options of Popen.

    >>> import asyncio
    >>> from xlchild import aio
    >>> async def main():
    ...     p = await aio.create_subprocess_exec("sh", "-c", "exit 4")
    ...     return await p.wait()
    >>> asyncio.run(main())
    4
    """
    return await _connect((program,) + args, False, stdin, stdout, stderr,
                          limit, options)


async def create_subprocess_shell(cmd, stdin=None, stdout=None, stderr=None,
                                  limit=_LIMIT, **options):
    """As asyncio.create_subprocess_shell, with the options of Popen.

    >>> import asyncio
    >>> from xlchild import aio
    >>> async def main():
    ...     p = await aio.create_subprocess_shell("read x; exit $x", stdin=-1)
    ...     await p.communicate(b"6\\n")
    ...     return p.returncode
    >>> asyncio.run(main())
    6
    """
    if not isinstance(cmd, (str, bytes)):
        raise ValueError("cmd must be a string")
    return await _connect(cmd, True, stdin, stdout, stderr, limit, options)


async def run(args, *, input=None, stdin=None, stdout=None, stderr=None,
              capture_output=False, timeout=None, check=False, shell=False,
              **options):
    """Run a command to completion; a CompletedProcess (bytes).

    Cancelled or timed out, the child is killed and waited for first.

    >>> import asyncio
    >>> from xlchild import aio
    >>> asyncio.run(aio.run(["echo", "x"], capture_output=True)).stdout
    b'x\\n'
    """
    if input is not None:
        if stdin is not None:
            raise ValueError("stdin and input may not both be used")
        stdin = subprocess.PIPE
    if capture_output:
        stdout = stderr = subprocess.PIPE
    command = args if shell else tuple(
        [args] if isinstance(args, (str, bytes, os.PathLike)) else args)
    process = await _connect(command, shell, stdin, stdout, stderr, _LIMIT,
                             options)
    try:
        out, err = await asyncio.wait_for(process.communicate(input),
                                          timeout)
    except asyncio.TimeoutError:
        await _end(process)
        raise subprocess.TimeoutExpired(args, timeout) from None
    except BaseException:
        await _end(process)
        raise
    status = process._transport.popen.status
    done = CompletedProcess(args, status.returncode, out, err, status=status)
    if check:
        done.check_returncode()
    return done


async def _end(process):
    """Kill it, and wait until it is reaped."""
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            pass
    await process.wait()


def install_child_watcher():
    """Have asyncio's own create_subprocess_* wait through this library.

    For the Pythons whose policy has child watchers (up to 3.13); a
    RuntimeError on newer ones, which need none. Returns the watcher.

    >>> import asyncio, sys
    >>> from xlchild import aio
    >>> async def main():
    ...     p = await asyncio.create_subprocess_exec("sh", "-c", "exit 5")
    ...     return await p.wait()
    >>> if sys.version_info < (3, 14):
    ...     watcher = aio.install_child_watcher()
    ...     assert asyncio.run(main()) == 5
    """
    watcher = new_child_watcher()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_child_watcher(watcher)
    return watcher


def new_child_watcher():
    """A child watcher for asyncio's policy; see install_child_watcher.

    It serves every loop of every thread.

    >>> from xlchild import aio
    >>> import sys
    >>> sys.version_info >= (3, 14) or aio.new_child_watcher().is_active()
    True
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        base = getattr(asyncio, "AbstractChildWatcher", None)
        if base is None:
            raise RuntimeError("this Python has no child watchers")
        return _watcher_class(base)()


def _watcher_class(base):
    class ChildWatcher(base):
        """Adopts the children that asyncio starts; one fd a loop."""

        def add_child_handler(self, pid, callback, *args):
            """Call callback(pid, returncode, *args) in the loop's thread."""
            hub = _hub_of(asyncio.get_running_loop())

            def ended(result):
                callback(pid, Status(result).returncode, *args)

            token = hub.expect(ended)
            try:
                hub.context._adopt(pid,
                                   _libxl.libxl_childproc_start_time(pid),
                                   -1, _libxl.LIBXL_REPORT_EVENT, token)
            except BaseException:
                hub.waiting.pop(token, None)
                raise

        def remove_child_handler(self, pid):
            """Nothing to take back: ends are reported once."""
            return False

        def attach_loop(self, loop):
            """Every loop has a hub of its own."""

        def close(self):
            """Nothing is held."""

        def is_active(self):
            """Ready in every thread."""
            return True

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    return ChildWatcher
