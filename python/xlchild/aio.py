"""Children inside asyncio (and uvloop): no thread a child, no SIGCHLD.

Each event loop gets a Context of its own (_hub.py), whose one fd the loop
watches. run() is Context.run without blocking: the library feeds, reads and
ends the command. create_subprocess_exec, create_subprocess_shell and the
functions with a protocol are asyncio's own, over the transport of
_transport.py; a Process's wait() is over when the child has ended, whoever
still holds its pipes.
"""
import asyncio
import asyncio.subprocess
import os
import signal
import subprocess
import threading
import warnings
import weakref

from ._completed import CompletedProcess, judged
from ._context_run import Decoded, forwarded
from ._enums import FreePolicy
from ._errors import SpawnError
from ._hub import Hub
from ._libxl import LIBXL_SPAWN_NOWAIT
from ._spec import account_cell, native_options
from ._status import Status
from ._transport import Process, Start, StreamProtocol, Transport, settled

__all__ = ["Process", "create_subprocess_exec", "create_subprocess_shell",
           "family", "run", "subprocess_exec", "subprocess_shell",
           "install_child_watcher", "new_child_watcher"]

_LIMIT = 2 ** 16
_TIDY_SECONDS = 0.25  # as subprocess, after a Ctrl-C

_hubs = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class _Reader:
    """What the loop calls when the hub's fd is readable. It is held by the
    loop alone: when that is closed it goes, and retires the hub."""

    __slots__ = ("_hub",)

    def __init__(self, hub):
        self._hub = hub

    def __call__(self):
        self._hub.drain()

    def __del__(self):
        self._hub.retire()


def _usable(hub):
    return hub is not None and not hub.retired and not hub.context.closed \
        and not hub.context.forked


def _hub_of(loop):
    hub = _hubs.get(loop)
    if _usable(hub):  # only the loop's own thread makes one
        return hub
    with _lock:
        _sweep()
        hub = Hub()
        loop.add_reader(hub.context.fileno(), _Reader(hub))
        _hubs[loop] = hub  # last: none is there that nobody drains
        return hub


def _sweep():
    """Loops that were closed, and kept what was registered."""
    for loop, hub in list(_hubs.items()):
        if loop.is_closed():
            _hubs.pop(loop, None)
            hub.retire()


async def _connect(factory, args, shell, stdin, stdout, stderr, options,
                   start):
    """(transport, protocol), once its pipes are connected."""
    loop = asyncio.get_running_loop()
    for name in ("text", "universal_newlines", "encoding", "errors"):
        if options.pop(name, None):
            raise ValueError("%s is not possible here: streams are bytes"
                             % name)
    if bool(options.pop("shell", shell)) != shell:
        raise ValueError("shell must be %s" % shell)
    bufsize = options.pop("bufsize", 0)
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    own = _own_family(options)
    protocol = factory()
    try:
        transport = await connected(Transport, loop, protocol, args, shell,
                                    stdin, stdout, stderr, 0, start=start,
                                    **options)
    except BaseException as error:
        if own is not None and not isinstance(error, GeneratorExit):
            own._give_up()
            await _gone(own)
        raise
    return transport, protocol


def _own_family(options):
    """Where a policy is named, a Family for this start: it is returned, and
    takes the name's place."""
    if not isinstance(options.get("family"), str):
        return None
    from ._family import of_its_own  # few need it
    hub = _hub_of(asyncio.get_running_loop())
    own = options["family"] = of_its_own(hub.context, options["family"])
    return own


async def _gone(own):
    """Whom its end is under way for has gone; then it goes itself, too."""
    from ._family import LAST_WAIT
    try:
        if own.ending:
            waiting = asyncio.ensure_future(own.wait_async(LAST_WAIT))
            await settled(waiting)
            waiting.exception()
    finally:
        own.close()


def family(when="never", **options):
    """A Family for one child to come of the running loop; see Context.family.

    Give it to the start, or to run(), as family=, and wait for it with
    Family.wait_async. A policy's name there ("always", …) makes one for that
    child alone: run() returns when whom it ends has gone; the Process that
    create_subprocess_exec returns has it as ``family``, which may be dropped.

    >>> import asyncio
    >>> from xlchild import aio
    >>> async def main():
    ...     with aio.family(when="failure", first_signal=15) as family:
    ...         p = await aio.create_subprocess_shell(
    ...             "sleep 1000 & exit 3", family=family)
    ...         print(await p.wait(), await family.wait_async())
    ...     done = await aio.run("sleep 1000 &", shell=True, family="always")
    ...     print(done.returncode)
    >>> asyncio.run(main())
    3 True
    0
    """
    context = _hub_of(asyncio.get_running_loop()).context
    return context.family(when, **options)


async def connected(kind, loop, protocol, *args, start=None, **options):
    """A transport of that kind, once its pipes are connected. start: the
    caller's Start, who looks after it from there on."""
    waiter = loop.create_future()
    if start is None:
        start = Start()
    try:
        transport = kind(loop, protocol, *args, waiter=waiter,
                         hub=_hub_of(loop), start=start, **options)
        await waiter
        return transport
    except BaseException as error:
        await start.abandon(error)
        raise


async def _kept(make):
    """What make(Start()) comes to; else nothing is left of it."""
    start = Start()
    try:
        return await make(start)
    except BaseException as error:
        await start.abandon(error)
        raise


async def subprocess_exec(protocol_factory, program, *args,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options):
    """As the method of a loop: (transport, protocol), with any
    SubprocessProtocol and the options of Popen.

    >>> import asyncio
    >>> from xlchild import aio
    >>> class Lines(asyncio.SubprocessProtocol):
    ...     def pipe_data_received(self, fd, data):
    ...         print(fd, data)
    ...     def connection_lost(self, error):
    ...         self.over.set_result(None)
    >>> async def main():
    ...     transport, lines = await aio.subprocess_exec(
    ...         Lines, "echo", "x", stdin=None)
    ...     lines.over = asyncio.get_running_loop().create_future()
    ...     await lines.over
    ...     return transport.get_returncode()
    >>> asyncio.run(main())
    1 b'x\\n'
    0
    """
    return await _kept(lambda start: _connect(
        protocol_factory, (program,) + args, False, stdin, stdout, stderr,
        options, start))


async def subprocess_shell(protocol_factory, cmd, *, stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           **options):
    """As subprocess_exec, for a command of the shell.

    >>> import asyncio
    >>> from xlchild import aio
    >>> async def main():
    ...     ended = asyncio.get_running_loop().create_future()
    ...     class Ended(asyncio.SubprocessProtocol):
    ...         def process_exited(self):
    ...             ended.set_result(None)
    ...     transport, _ = await aio.subprocess_shell(Ended, "exit 3",
    ...                                               stdin=None)
    ...     await ended
    ...     code = transport.get_returncode()
    ...     transport.close()
    ...     return code
    >>> asyncio.run(main())
    3
    """
    if not isinstance(cmd, (str, bytes)):
        raise ValueError("cmd must be a string")
    return await _kept(lambda start: _connect(
        protocol_factory, cmd, True, stdin, stdout, stderr, options, start))


async def _process(args, shell, stdin, stdout, stderr, limit, options):
    loop = asyncio.get_running_loop()

    async def process(start):
        transport, protocol = await _connect(
            lambda: StreamProtocol(limit, loop), args, shell, stdin, stdout,
            stderr, options, start)
        return Process(transport, protocol, loop)

    return await _kept(process)


async def create_subprocess_exec(program, *args, stdin=None, stdout=None,
                                 stderr=None, limit=_LIMIT, **options):
    """As asyncio.create_subprocess_exec, with the options of Popen.

    limit None: readline() takes lines of any length; what is buffered
    otherwise is bounded all the same.

    >>> import asyncio
    >>> from xlchild import aio
    >>> async def main():
    ...     p = await aio.create_subprocess_exec("sh", "-c", "exit 4")
    ...     return await p.wait()
    >>> asyncio.run(main())
    4
    """
    return await _process((program,) + args, False, stdin, stdout, stderr,
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
    return await _process(cmd, True, stdin, stdout, stderr, limit, options)


async def run(args, *, input=None, stdin=None, stdout=None, stderr=None,
              capture_output=False, timeout=None, check=False, shell=False,
              text=None, encoding=None, errors=None, universal_newlines=None,
              capture_limit=0, on_output=None, linger_eof=True, kill=None,
              **options):
    """Run a command to completion; a CompletedProcess: Context.run, awaited.

    Its options, and those of Popen; family: see family(). Timed out or
    cancelled, the child is ended by the KillPolicy kill (SIGKILL at once) and
    waited for first; a TimeoutExpired has the output so far. After a Ctrl-C it
    is given a moment to end by itself.

    >>> import asyncio
    >>> from xlchild import aio
    >>> asyncio.run(aio.run(["echo", "x"], capture_output=True)).stdout
    b'x\\n'
    """
    if options.get("preexec_fn") is not None:
        native = [name for name, given in (
            ("on_output", on_output), ("capture_limit", capture_limit),
            ("kill", kill), ("text", text or encoding or errors
                             or universal_newlines)) if given]
        if native:
            raise ValueError("%s is not possible with preexec_fn" % native[0])
        return await _run_forked(args, input, stdin, stdout, stderr,
                                 capture_output, timeout, check, shell,
                                 options)
    own = _own_family(options)
    if own is not None:
        return await _run_with_family(
            own, args, input=input, stdin=stdin, stdout=stdout, stderr=stderr,
            capture_output=capture_output, timeout=timeout, check=check,
            shell=shell, text=text, encoding=encoding, errors=errors,
            universal_newlines=universal_newlines,
            capture_limit=capture_limit, on_output=on_output,
            linger_eof=linger_eof, kill=kill, **options)
    loop = asyncio.get_running_loop()
    decoded = Decoded(text, encoding, errors, universal_newlines)
    if input is None and stdin == subprocess.PIPE:
        stdin, input = None, b""
    options.setdefault("on_free", FreePolicy.KILL)
    options["flags"] = int(options.get("flags", 0)) | LIBXL_SPAWN_NOWAIT
    hub = _hub_of(loop)
    passed = _Passed(on_output, hub, loop)
    request = hub.context._request(
        forwarded(args, shell), stdin, decoded.encode(input), stdout, stderr,
        capture_output, timeout, capture_limit,
        None if on_output is None else passed, linger_eof, kill,
        native_options(options))
    over = loop.create_future()
    accounts = account_cell(request[1])
    if accounts is not None:
        from ._account import account_of

    def completed(outcome):
        if accounts is not None:
            accounts.append(account_of(hub.context, outcome[1][0]))
        if not over.done() and not loop.is_closed():
            over.set_result(outcome)

    cell = passed.cell
    try:
        hub.run(request, completed, cell)
        await asyncio.wait((over,))
    except GeneratorExit:  # the loop has been closed, or the task destroyed
        if cell and not hub.context.closed:
            hub.context.abort(cell[0])
        raise
    except BaseException as error:
        if cell:
            if not over.done():
                hub.running.setdefault(cell[0], completed)
            if _interrupted(error):
                await _patiently(over, _TIDY_SECONDS)
            if not over.done():
                hub.context.abort(cell[0])
                await settled(over, raising=False)
        raise
    outcome = over.result()
    if passed.error is not None:
        raise passed.error
    done = decoded.decode(CompletedProcess._of(args, outcome))
    done.account = accounts[0] if accounts else None
    return judged(done, outcome, timeout, check, request)


async def _run_with_family(own, args, **options):
    """run() with a Family of its own."""
    try:
        done = await run(args, **options)
    except BaseException as error:
        if isinstance(error, GeneratorExit):  # nothing can be awaited
            own.close()
            raise
        if not isinstance(error, (subprocess.CalledProcessError, SpawnError)):
            own._give_up()
        await _gone(own)
        raise
    await _gone(own)
    return done


class _Passed:
    """on_output of a run: its exception ends the command."""

    def __init__(self, on_output, hub, loop):
        if on_output is not None and not callable(on_output):
            raise TypeError("on_output must be callable, not %.100s"
                            % type(on_output).__name__)
        self._on_output = on_output
        self._hub = hub
        self._loop = loop
        self.cell = []  # the operation's number, once it has one
        self.error = None

    def __call__(self, stream, data):
        if self.error is None:
            try:
                self._on_output(stream, data)
            except BaseException as error:
                self.error = error
                self._loop.call_soon(self._abort)

    def _abort(self):
        if not self._hub.context.closed:
            self._hub.context.abort(self.cell[0])


def _interrupted(error):
    """A Ctrl-C is what this task is cancelled for."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    handler = signal.getsignal(signal.SIGINT)
    runner = getattr(getattr(handler, "func", None), "__self__", None)
    return getattr(runner, "_interrupt_count", 0) > 0


async def _patiently(future, seconds):
    """Until it is done, so many seconds at most; cancelled or not."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not future.done() and loop.time() < until:
        try:
            await asyncio.wait((future,), timeout=until - loop.time())
        except asyncio.CancelledError:
            return


async def _run_forked(args, input, stdin, stdout, stderr, capture_output,
                      timeout, check, shell, options):
    """With preexec_fn: Python's own way of starting, and its pipes."""
    if input is not None:
        if stdin is not None:
            raise ValueError("stdin and input may not both be used")
        stdin = subprocess.PIPE
    if capture_output:
        stdout = stderr = subprocess.PIPE
    command = args if shell else tuple(
        [args] if isinstance(args, (str, bytes, os.PathLike)) else args)
    process = await _process(command, shell, stdin, stdout, stderr, _LIMIT,
                             options)
    transport = process._transport
    popen = transport.popen
    try:
        out, err = await asyncio.wait_for(process.communicate(input),
                                          timeout)
    except asyncio.TimeoutError:
        await transport.end()
        raise subprocess.TimeoutExpired(args, timeout) from None
    except BaseException:
        await transport.end()
        raise
    status = popen.status
    done = CompletedProcess(args, status.returncode, out, err, status=status)
    if check:
        done.check_returncode()
    return done


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
            loop = asyncio.get_running_loop()
            hub = _hub_of(loop)

            def ended(result):
                if not loop.is_closed():
                    callback(pid, Status(result).returncode, *args)

            hub.adopt(pid, hub.last + 1, ended)

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
