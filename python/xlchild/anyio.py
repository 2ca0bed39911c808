"""anyio's run_process and open_process, over this library's children.

The signatures and the behaviour are anyio's (of its releases 3 and 4), on
both of its backends: inside asyncio and uvloop by aio.py, inside trio by
trio.py. Options that anyio does not have are those of Popen and of
Context.spawn. anyio itself is needed (Debian: python3-anyio).
"""
import os
import subprocess

try:
    import anyio
    import anyio.abc
except ImportError as _error:
    raise ImportError("xlchild.anyio needs anyio: install it (Debian: "
                      "python3-anyio)") from _error

from ._completed import CompletedProcess, checked
from ._spec import octets

__all__ = ["Process", "family", "open_process", "run_process"]

_PIPE, _DEVNULL = subprocess.PIPE, subprocess.DEVNULL


class _Reading(anyio.abc.ByteReceiveStream):
    """A pipe's end as anyio has them; read and close are the backend's."""

    def __init__(self, read, close):
        self._read = read
        self._close = close
        self._closed = False

    async def receive(self, max_bytes=65536):
        """What is there, or EndOfStream."""
        if self._closed:
            await anyio.sleep(0)
            raise anyio.ClosedResourceError
        data = await self._read(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def aclose(self):
        """Nobody reads any more."""
        if not self._closed:
            self._closed = True
            await self._close()
        await anyio.sleep(0)


class _Writing(anyio.abc.ByteSendStream):
    """The same of the child's stdin."""

    def __init__(self, write, close):
        self._write = write
        self._close = close
        self._closed = False

    async def send(self, item):
        """All of it."""
        if self._closed:
            await anyio.sleep(0)
            raise anyio.ClosedResourceError
        await self._write(octets(item))

    async def aclose(self):
        """The child reads its end of file."""
        if not self._closed:
            self._closed = True
            await self._close()
        await anyio.sleep(0)


def _of_trio(stream, sends):
    import trio

    async def translated(call, *args):
        try:
            return await call(*args)
        except trio.ClosedResourceError as error:
            raise anyio.ClosedResourceError from error
        except trio.BrokenResourceError as error:
            raise anyio.BrokenResourceError from error

    if sends:
        return _Writing(lambda data: translated(stream.send_all, data),
                        stream.aclose)
    return _Reading(lambda count: translated(stream.receive_some, count),
                    stream.aclose)


def _of_asyncio(process, stream, number):
    async def write(data):
        try:
            stream.write(data)
            await stream.drain()
        except (BrokenPipeError, ConnectionResetError, RuntimeError) as error:
            # RuntimeError: the loop has closed its end by itself
            raise anyio.BrokenResourceError from error

    async def close():
        pipe = process._transport.get_pipe_transport(number)
        if pipe is not None:
            pipe.close()

    if number == 0:
        return _Writing(write, close)
    return _Reading(stream.read, close)


class Process(anyio.abc.Process):
    """A child process, as anyio.abc.Process.

    Used with ``async with`` its streams are closed and its end is waited
    for; cancelled meanwhile, it is killed first.

    >>> import anyio, signal
    >>> from xlchild.anyio import open_process
    >>> async def main():
    ...     async with await open_process(["cat"]) as process:
    ...         await process.stdin.send(b"x")
    ...         await process.stdin.aclose()
    ...         print(await process.stdout.receive(), process.stderr is None)
    ...     print(process.pid > 1, process.returncode, process.status)
    ...     for end in (lambda p: p.send_signal(signal.SIGUSR1),
    ...                 lambda p: p.terminate(), lambda p: p.kill()):
    ...         process = await open_process(["sleep", "1000"])
    ...         end(process)
    ...         print(await process.wait())
    ...         await process.aclose()
    >>> anyio.run(main)
    b'x' False
    True 0 exit 0
    -10
    -15
    -9
    """

    def __init__(self, process, popen, end, stdin, stdout, stderr):
        self._process = process
        self._popen = popen
        self._end = end  # kills, and waits until nothing is left
        self._streams = stdin, stdout, stderr
        self._killed = False

    async def aclose(self):
        """Close the streams and wait for its end; kill it if cancelled."""
        try:
            if not self._killed:
                with anyio.CancelScope(shield=True):
                    await self._close_streams()
                await self.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end()
                await self._close_streams()

    async def _close_streams(self):
        for stream in self._streams:
            if stream is not None:
                await stream.aclose()

    async def wait(self):
        """Until it has ended; the returncode."""
        return await self._process.wait()

    def terminate(self):
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self):
        """Send SIGKILL."""
        self._process.kill()
        self._killed = True

    def send_signal(self, signal):
        """Send a signal; never to another process."""
        self._process.send_signal(signal)

    @property
    def pid(self):
        """The process id."""
        return self._process.pid

    @property
    def returncode(self):
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def status(self):
        """The Status, once it has ended."""
        return self._popen.status

    @property
    def account(self):
        """The Account, once it has ended; None without account=True.

        >>> import anyio
        >>> from xlchild.anyio import open_process
        >>> async def main():
        ...     process = await open_process(["false"], account=True)
        ...     await process.wait()
        ...     return process.account.ended_by.name
        >>> anyio.run(main)
        'ITSELF'
        """
        return self._popen.account

    @property
    def family(self):
        """The Family that it was started with, or None.

        >>> import anyio
        >>> from xlchild.anyio import open_process
        >>> async def main():
        ...     process = await open_process("sleep 1000 &", family="always")
        ...     await process.wait()
        ...     return await process.family.wait_async()
        >>> anyio.run(main, backend="trio")
        True
        """
        return self._process.family

    @property
    def stdin(self):
        """A ByteSendStream, or None."""
        return self._streams[0]

    @property
    def stdout(self):
        """A ByteReceiveStream, or None."""
        return self._streams[1]

    @property
    def stderr(self):
        """A ByteReceiveStream, or None."""
        return self._streams[2]


async def _open_in_trio(command, shell, options):
    from . import trio as ours

    process = await ours.open_process(command, shell=shell, **options)
    streams = [None if stream is None else _of_trio(stream, number == 0)
               for number, stream in enumerate(
                   (process.stdin, process.stdout, process.stderr))]

    async def end():
        early = process.returncode is None
        if early:
            process.kill()
        await process.wait()
        if early and process.family is not None:
            process.family._give_up()

    return Process(process, process, end, *streams)


async def _open_in_asyncio(command, shell, options):
    from . import aio

    await anyio.sleep(0)
    if shell:
        process = await aio.create_subprocess_shell(command, **options)
    else:
        process = await aio.create_subprocess_exec(*command, **options)
    streams = [None if stream is None else
               _of_asyncio(process, stream, number)
               for number, stream in enumerate(
                   (process.stdin, process.stdout, process.stderr))]
    transport = process._transport
    return Process(process, transport.popen, transport.end, *streams)


def family(when="never", **options):
    """A Family for one child to come of the running loop; see Context.family.

    Give it to the start as family=, and wait for it with Family.wait_async. A
    policy's name there ("always", …) makes one for that child alone:
    run_process returns when whom it ends has gone; the Process that
    open_process returns has it as ``family``, which may be dropped.

    >>> import anyio
    >>> from xlchild.anyio import family, run_process
    >>> async def main():
    ...     with family("always", first_signal=15) as kin:
    ...         done = await run_process("sleep 1000 &", stdout=None,
    ...                                  stderr=None, family=kin)
    ...         return await kin.wait_async(), done.returncode
    >>> anyio.run(main)
    (True, 0)
    >>> anyio.run(main, backend="trio")
    (True, 0)
    """
    if _library() == "trio":
        from .trio import family as make
    else:
        from .aio import family as make
    return make(when, **options)


def _library():
    import sniffio  # anyio needs it, too

    return sniffio.current_async_library()


async def open_process(command, *, stdin=_PIPE, stdout=_PIPE, stderr=_PIPE,
                       cwd=None, env=None, start_new_session=False,
                       **options):
    """Start a child; return its Process. As anyio.open_process.

    A command that is no sequence goes to the shell.

    >>> import anyio
    >>> from xlchild.anyio import open_process
    >>> async def main():
    ...     async with await open_process("exit 3") as process:
    ...         return await process.wait()
    >>> anyio.run(main)
    3
    >>> anyio.run(main, backend="trio")
    3
    """
    shell = isinstance(command, (str, bytes, os.PathLike))
    command = os.fspath(command) if shell else list(command)
    options.update(stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd,
                   env=env, start_new_session=start_new_session)
    if _library() == "trio":
        if shell:
            command = os.fsdecode(command)
        return await _open_in_trio(command, shell, options)
    return await _open_in_asyncio(command, shell, options)


async def run_process(command, *, input=None, stdin=None, stdout=_PIPE,
                      stderr=_PIPE, check=True, cwd=None, env=None,
                      start_new_session=False, **options):
    """Run a command to completion; a CompletedProcess. As anyio.run_process.

    Cancelled, the child is killed and waited for first.

    >>> import anyio
    >>> from xlchild.anyio import run_process
    >>> async def main():
    ...     done = await run_process(["tr", "a-z", "A-Z"], input=b"hello")
    ...     return done.stdout, done.status
    >>> anyio.run(main, backend="asyncio")
    (b'HELLO', <Status of ...: exit 0>)
    >>> anyio.run(main, backend="trio")
    (b'HELLO', <Status of ...: exit 0>)
    """
    if input is not None and stdin is not None:
        raise ValueError("input and stdin may not both be used")
    if input:
        stdin = _PIPE
    elif stdin is None:
        stdin = _DEVNULL
    kept = [None, None]

    async def read(number, stream):
        chunks = []
        try:
            while True:
                chunks.append(await stream.receive())
        except anyio.EndOfStream:
            pass
        kept[number] = b"".join(chunks)

    async def feed(stream):
        try:
            await stream.send(input)
        except anyio.BrokenResourceError:
            pass  # it does not want more
        await stream.aclose()

    process = await open_process(
        command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env,
        start_new_session=start_new_session, **options)
    try:
        await _looked_after(process, read, feed if input else None)
    finally:
        if isinstance(options.get("family"), str):
            await _gone(process.family)
    done = CompletedProcess(command, process.returncode, *kept,
                            status=process.status)
    done.account = process.account
    if check:
        checked(done)
    return done


async def _gone(own):
    from ._family import gone  # few need it
    await gone(own, anyio.CancelScope(shield=True))


async def _looked_after(process, read, feed):
    """Until it has ended, and has been read and fed."""
    async with process:
        try:
            async with anyio.create_task_group() as group:
                if process.stdout is not None:
                    group.start_soon(read, 0, process.stdout)
                if process.stderr is not None:
                    group.start_soon(read, 1, process.stderr)
                if feed is not None and process.stdin is not None:
                    group.start_soon(feed, process.stdin)
                await process.wait()
        except BaseException:
            try:
                process.kill()
            except ProcessLookupError:
                pass
            if process.family is not None:
                process.family._give_up()
            raise
