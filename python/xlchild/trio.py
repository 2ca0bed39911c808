"""Children inside trio: run_process and open_process with trio's signatures.

No thread a child, and no pidfd either: each run of trio has a Context of its
own (_hub.py), whose one fd a system task watches. No start is waited for but
by the task that asked for it: the others go on, whatever executing the program
takes. Processes and their streams
behave as trio's; a status is the kernel's, and a signal cannot hit another
process. Options are those of Popen and of Context.spawn. trio itself is
needed (Debian: python3-trio).
"""
import os
import subprocess
from collections import deque
from itertools import starmap

try:
    import trio
except ImportError as _error:
    raise ImportError("xlchild.trio needs trio: install it (Debian: "
                      "python3-trio)") from _error

from . import _libxl, _starts
from ._completed import CompletedProcess, checked, never_ran
from ._hub import Hub
from ._popen import Popen
from ._spec import octets
from ._trio_tasks import Helpers, by_default, end, feed, read

__all__ = ["Process", "family", "open_process", "run_process"]

_PIPE, _STDOUT = subprocess.PIPE, subprocess.STDOUT
_BYTES_ONLY = ("universal_newlines", "text", "encoding", "errors", "bufsize")

_NOWAIT = _libxl.LIBXL_SPAWN_NOWAIT | _libxl.LIBXL_SPAWN_REPORT_START
_NEVER_RAN = _libxl.LIBXL_LOST_NEVER_RAN

_hub = trio.lowlevel.RunVar("xlchild")


class _Soon(Popen):
    """A Popen whose start is waited for by nobody. That it has become its
    program is reported by the number; that it never did is its end."""

    def __init__(self, *args, number, made, **options):
        self._xl_number = number
        made.append(self)  # known there, whatever a signal handler raises
        super().__init__(*args, **options)

    def _xl_start(self, args, options):
        options["flags"] |= _NOWAIT
        self._xl_wanted = args, options
        super()._xl_start(args, options)
        self._xl_fresh = False  # /proc cannot tell of a program yet

    def _xl_runs(self):
        self._xl_fresh = self._xl_kept

    def _xl_came_to_nothing(self, result):
        """There is no program: the error that says so."""
        self.poll()  # taken, and let go of
        _starts.through(self._xl_kind, -1)
        return never_ran(result, *self._xl_wanted)


class Process:
    """A child process: trio.Process's attributes and methods, over a Popen.

    ``stdin``, ``stdout`` and ``stderr`` are trio's streams where they were
    asked to be pipes, else None; ``stdio`` is both ends of the first two.
    Used with ``async with`` (or by aclose()) its streams are closed and its
    end is waited for; cancelled meanwhile, it is killed first.

    >>> import subprocess, trio
    >>> from xlchild.trio import open_process
    >>> async def main():
    ...     async with await open_process(["cat"], stdin=subprocess.PIPE,
    ...                                   stdout=subprocess.PIPE) as process:
    ...         await process.stdio.send_all(b"x")
    ...         await process.stdin.aclose()
    ...         print(await process.stdout.receive_some(), process.stderr)
    ...     print(process.pid > 1, process.poll(), process.returncode,
    ...           process.args, process.status)
    >>> trio.run(main)
    b'x' None
    True 0 0 ['cat'] exit 0
    """

    family = None  # the Family that it was started with

    def __init__(self, popen, hub, stdin, stdout, stderr):
        self._proc = popen
        self._hub = hub
        self._ended = trio.Event()
        self._launched = trio.Event()  # it runs, or never will
        self._failed = None  # why it never will
        self._handed_over = False
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.stdio = None
        if stdin is not None and stdout is not None:
            self.stdio = trio.StapledStream(stdin, stdout)
        self.args = popen.args

    @property
    def pid(self):
        """The child's number."""
        return self._proc.pid

    def _runs(self, _=None):
        self._proc._xl_runs()
        self._launched.set()

    def _reported(self, result):
        if result[3] == _NEVER_RAN:
            self._failed = self._proc._xl_came_to_nothing(result)
        elif self._handed_over:  # else its pid stays its own until then
            self.poll()
        self._launched.set()
        self._ended.set()

    def _unwatched(self):
        """Nobody reports any more: those who wait see why."""
        self._launched.set()
        self._ended.set()

    async def _launch(self, deliver_cancel):
        """Until it is its program; raises what kept it from that. Cancelled
        meanwhile, it is ended by deliver_cancel (None: killed) and reaped."""
        try:
            await self._launched.wait()
        except GeneratorExit:
            raise  # nothing can be awaited: _open ends it
        except BaseException:
            if deliver_cancel is not None:
                await end(self, deliver_cancel)
            else:
                self._proc.kill()
                with trio.CancelScope(shield=True):
                    await self._over()
                if self.family is not None:
                    self.family._give_up()
            raise
        if self._failed is not None:
            raise self._failed
        if self._hub.failed is not None:
            raise self._hub.failed
        self._handed_over = True

    async def _over(self):
        """Until it has ended, or never will have run."""
        while self._failed is None and self.returncode is None:
            if self._hub.failed is not None:
                break
            await self._ended.wait()

    @property
    def returncode(self):
        """The exit status, negative for a signal; None while it runs."""
        if self._proc.returncode is None:
            self._proc.poll()
        code = self._proc.returncode
        if code is not None and not self._ended.is_set():
            self._ended.set()
        return code

    def poll(self):
        """The returncode."""
        return self.returncode

    @property
    def status(self):
        """The Status, once it has ended."""
        return self._proc.status

    @property
    def account(self):
        """The Account, once it has ended; None without account=True.

        >>> import trio
        >>> from xlchild.trio import open_process
        >>> async def main():
        ...     process = await open_process(["false"], account=True)
        ...     await process.wait()
        ...     return process.account.ended_by.name
        >>> trio.run(main)
        'ITSELF'
        """
        return self._proc.account

    async def wait(self):
        """Until it has ended; the returncode.

        >>> import trio
        >>> from xlchild.trio import open_process
        >>> async def main():
        ...     return await (await open_process(["false"])).wait()
        >>> trio.run(main)
        1
        """
        if self.returncode is not None:
            await trio.lowlevel.checkpoint()
        while self.returncode is None:
            if self._hub.failed is not None:
                raise self._hub.failed
            if self._hub.retired:  # started by another trio.run()
                await trio.lowlevel.wait_readable(self._hub.context.fileno())
                self._hub.drain()
            else:
                await self._ended.wait()
        return self._proc.returncode

    def send_signal(self, sig):
        """Send a signal, if it has not ended; never to another process.

        >>> import signal, trio
        >>> from xlchild.trio import open_process
        >>> async def main():
        ...     for end in (lambda p: p.send_signal(signal.SIGUSR1),
        ...                 lambda p: p.terminate(), lambda p: p.kill()):
        ...         process = await open_process(["sleep", "1000"])
        ...         end(process)
        ...         print(await process.wait())
        >>> trio.run(main)
        -10
        -15
        -9
        """
        self._proc.send_signal(sig)

    def terminate(self):
        """Send SIGTERM."""
        self._proc.terminate()

    def kill(self):
        """Send SIGKILL."""
        self._proc.kill()

    async def aclose(self):
        """Close the streams and wait for its end; kill it if cancelled.

        >>> import trio
        >>> from xlchild.trio import open_process
        >>> async def main():
        ...     process = await open_process(["sleep", "1000"])
        ...     with trio.move_on_after(0):
        ...         await process.aclose()
        ...     return process.returncode
        >>> trio.run(main)
        -9
        """
        with trio.CancelScope(shield=True):
            for stream in (self.stdin, self.stdout, self.stderr):
                if stream is not None:
                    await stream.aclose()
        try:
            await self.wait()
        finally:
            if self.returncode is None:
                self.kill()
                with trio.CancelScope(shield=True):
                    await self.wait()
                if self.family is not None:
                    self.family._give_up()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()

    def __repr__(self):
        code = self.returncode
        if code is None:
            state = "running with PID %d" % self.pid
        elif isinstance(code, int) and code < 0:
            state = "exited with signal %d" % -code
        else:
            state = "exited with status %s" % code
        return "<trio.Process %r: %s>" % (self.args, state)


# ---- the loop's side ---------------------------------------------------------

def _hub_here():
    """The hub of this run, whose fd a system task watches."""
    hub = _hub.get(None)
    if hub is None or hub.context.closed or hub.context.forked:
        hub = Hub()
        trio.lowlevel.spawn_system_task(_watch, hub, name="xlchild")
        _hub.set(hub)
    return hub


async def _watch(hub):
    """A system task: until the run is over."""
    try:
        while True:
            await trio.lowlevel.wait_readable(hub.context.fileno())
            hub.drain()
    except Exception as error:  # the program has closed our fd
        hub.failed = error
        for callback in list(hub.waiting.values()):
            callback.__self__._unwatched()
    finally:
        hub.retire()


class _Pipes:
    """The parent's ends as streams, the child's as fds. What is opened is
    noted, and what is closed crossed out, in one call: no signal handler
    raises in between."""

    def __init__(self):
        self.streams = []
        self._made = []
        self._closing = None

    def output(self):
        """Our end, and the child's, of one that it writes to."""
        return self._pair(0)

    def input(self):
        """The same of one that it reads from."""
        return self._pair(1)

    def _pair(self, mine):
        self._made.extend(starmap(os.pipe, ((),)))
        pair = self._made[-1]
        self.streams.extend(map(trio.lowlevel.FdStream, (pair[mine],)))
        return self.streams[-1], pair[1 - mine]

    def close_theirs(self):
        """It has them now, or there is no child."""
        if self._closing is None:
            ours = {stream.fileno() for stream in self.streams}
            self._closing = map(os.close, [
                fd for pair in self._made for fd in pair if fd not in ours])
        deque(self._closing, 0)

    def close(self):
        """There is no child."""
        self.close_theirs()
        while self.streams:
            try:
                self.streams.pop().close()
            except RuntimeError:
                pass  # outside of any run: it closes as it is dropped


def _check(command, shell, options):
    for name in _BYTES_ONLY:
        if options.get(name):
            raise TypeError("streams are unbuffered byte streams here: the "
                            "'%s' option is not supported" % name)
    words = isinstance(command, str)
    if words and not shell:
        raise TypeError("command must be a sequence (not a string) without "
                        "shell=True")
    if shell and not words:
        raise TypeError("command must be a string (not a sequence) with "
                        "shell=True")


async def _open(command, deliver_cancel, stdin=None, stdout=None, stderr=None,
                **options):
    """A Process that is its program. Cancelled before it is, it is ended by
    deliver_cancel; None: killed."""
    _check(command, options.get("shell"), options)
    await trio.lowlevel.checkpoint()
    hub = _hub_here()
    own = None
    if isinstance(options.get("family"), str):  # for this start alone
        from ._family import of_its_own  # few need it
        own = options["family"] = of_its_own(hub.context, options["family"])
    pipes = _Pipes()
    ours = {}
    made = []
    try:
        if stdin == _PIPE:
            ours["stdin"], stdin = pipes.input()
        if stdout == _PIPE:
            ours["stdout"], stdout = pipes.output()
        if stderr == _STDOUT:
            stderr = _STDOUT if stdout is None else stdout
        elif stderr == _PIPE:
            ours["stderr"], stderr = pipes.output()
        number = hub.last = hub.last + 1
        popen = _Soon(command, stdin=stdin, stdout=stdout, stderr=stderr,
                      context=hub.context, number=number, made=made,
                      **options)
        popen._xl_lost_raises = False  # the status says it
        forked = popen._xl_id is None  # by subprocess: preexec_fn
        popen._xl_take_over()
        starting = Process(popen, hub, *map(ours.get, (
            "stdin", "stdout", "stderr")))
        starting.family = options.get("family")
        hub.starting[number] = starting._runs
        hub.announce(popen, starting._reported, number)
        if forked:
            starting._runs()
        pipes.close_theirs()
        await starting._launch(deliver_cancel)
        return starting  # nothing comes after: a handler may raise there
    except BaseException:
        try:
            _unmake(hub, made)
        finally:
            pipes.close()
            if own is not None:
                await _gone(own)
        raise


def _unmake(hub, made):
    """Nobody gets these: what lives of them still is ended."""
    for popen in made:
        if getattr(popen, "returncode", None) is not None:
            popen._xl_let_go()
            continue
        hub.forget(popen._xl_number)
        if popen._xl_id is None and popen.__dict__.get("pid"):
            popen.kill()  # by subprocess, and not ours yet
            popen.wait()
        if not hub.context.closed:
            popen._xl_end_now()


async def _gone(own):
    from ._family import gone  # few need it
    await gone(own, trio.CancelScope(shield=True))


def family(when="never", **options):
    """A Family for one child to come of this run; see Context.family.

    Give it to the start as family=, and wait for it with Family.wait_async. A
    policy's name there ("always", …) makes one for that child alone:
    run_process returns when whom it ends has gone; the Process that
    open_process returns has it as ``family``, which may be dropped.

    >>> import trio
    >>> from xlchild.trio import family, open_process, run_process
    >>> async def main():
    ...     with family(when="failure", first_signal=15) as kin:
    ...         process = await open_process("sleep 1000 & exit 3", shell=True,
    ...                                      family=kin)
    ...         print(await process.wait(), await kin.wait_async())
    ...     done = await run_process("sleep 1000 &", shell=True,
    ...                              family="always")
    ...     print(done.returncode)
    >>> trio.run(main)
    3 True
    0
    """
    return _hub_here().context.family(when, **options)


async def open_process(command, *, stdin=None, stdout=None, stderr=None,
                       **options):
    """Start a child; return its Process. As trio.lowlevel.open_process.

    Nobody looks after the child: see run_process for that. It returns when the
    program is executed; other tasks go on meanwhile. Cancelled before that, the
    child is killed and reaped. Raises SpawnError.

    >>> import trio
    >>> from xlchild.trio import open_process
    >>> async def main():
    ...     process = await open_process("exit 3", shell=True)
    ...     return await process.wait()
    >>> trio.run(main)
    3
    """
    return await _open(command, None, stdin=stdin, stdout=stdout,
                       stderr=stderr, **options)


# ---- running -----------------------------------------------------------------

def _redirected(stdin, capture_stdout, capture_stderr, direct, options):
    """What is wrong with what is asked, and options as open_process has
    them."""
    if isinstance(stdin, str):
        raise UnicodeError("process stdin must be bytes, not str")
    if direct:
        for name, given in (("stdin", stdin), ("stdout", options.get(
                "stdout")), ("stderr", options.get("stderr"))):
            if type(given) is int and given == _PIPE:
                raise ValueError(
                    "%s=PIPE is for nursery.start: nobody else could get at "
                    "the pipe" % name)
    for name, captured in (("stdout", capture_stdout),
                           ("stderr", capture_stderr)):
        if captured:
            if name in options:
                raise ValueError("%s and capture_%s may not both be used"
                                 % (name, name))
            options[name] = _PIPE
    data = None
    if isinstance(stdin, (bytes, bytearray, memoryview)):
        data, stdin = octets(stdin), _PIPE
    options["stdin"] = stdin
    return data, options


async def run_process(command, *, stdin=b"", capture_stdout=False,
                      capture_stderr=False, check=True, deliver_cancel=None,
                      task_status=trio.TASK_STATUS_IGNORED, **options):
    """Run a command to completion; a CompletedProcess. As trio.run_process.

    Called by ``await nursery.start(run_process, ...)`` it hands the Process
    over while it looks after it. Cancelled, the child is ended by
    deliver_cancel(process) (SIGTERM, after 5 seconds SIGKILL) and waited for
    first.

    >>> import trio
    >>> from functools import partial
    >>> from xlchild.trio import run_process
    >>> async def main():
    ...     done = await run_process(["tr", "a-z", "A-Z"], stdin=b"hello",
    ...                              capture_stdout=True)
    ...     async with trio.open_nursery() as nursery:
    ...         process = await nursery.start(partial(
    ...             run_process, ["sleep", "1000"], check=False))
    ...         process.terminate()
    ...     return done.stdout, done.status, process.returncode
    >>> trio.run(main)
    (b'HELLO', <Status of ...: exit 0>, -15)
    """
    data, options = _redirected(
        stdin, capture_stdout, capture_stderr,
        task_status is trio.TASK_STATUS_IGNORED, options)
    if deliver_cancel is None:
        deliver_cancel = by_default
    process = await _open(command, deliver_cancel, **options)
    out, err = [], []
    try:
        await _looked_after(process, data, deliver_cancel, task_status,
                            out if capture_stdout else None,
                            err if capture_stderr else None)
    except BaseException:
        _unmake(process._hub, [process._proc])  # a handler's, perhaps
        raise
    finally:
        if isinstance(options.get("family"), str):
            await _gone(process.family)
    done = CompletedProcess(
        process.args, process.returncode,
        b"".join(out) if capture_stdout else None,
        b"".join(err) if capture_stderr else None, status=process.status)
    done.account = process.account
    if check:
        checked(done)
    return done


async def _looked_after(process, data, deliver_cancel, task_status, out, err):
    """Until it has ended, and what it wrote is in the lists."""
    failed = None
    try:
        async with trio.open_nursery() as nursery:
            helpers = Helpers(nursery)
            try:
                if data is not None:
                    helpers.start(feed, process.stdin, data)
                    process.stdin = process.stdio = None
                if out is not None:
                    helpers.start(read, process.stdout, out)
                    process.stdout = process.stdio = None
                if err is not None:
                    helpers.start(read, process.stderr, err)
                    process.stderr = None
                task_status.started(process)
                await process.wait()
                await helpers.over()
            except BaseException as error:  # a cancellation
                failed = error
                if process.returncode is None:
                    try:
                        await end(process, deliver_cancel)
                    except Exception as worse:
                        failed = worse
                await helpers.stop()
    except trio.Cancelled:  # by leaving the nursery
        if failed is None:
            raise
    if failed is None:
        failed = helpers.error
    if failed is not None:
        raise failed
