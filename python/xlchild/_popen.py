"""Popen: subprocess's class, with another way to start, wait and kill.

Pipes, text modes and communicate() are subprocess's own. What the library
cannot do (preexec_fn) is left to subprocess too. The ways themselves (Ways)
are put into subprocess.Popen by _install.py; what they call their own is
_xl_…, since a program's subclasses have names of their own.
"""
import errno
import os
import subprocess
import sys
import threading
import time
import types
import warnings

from . import _libxl, _starts
from ._checks import (LOOKED_UP, STREAMS, check, check_streams, looked_up,
                      passed, plain)
from ._context import default_context
from ._cooperative import pause, sleeper, waited
from ._errors import (InvalidArgumentError, LostError, NoSignal,
                      NotFoundError, SpawnError, XlchildError)
from ._popen_options import (AS_POPEN, FLAGS_AS_IS, KNOWN, OWN, PLAIN, STOCK,
                             add_environment, add_more, add_natives, argv_of,
                             natives_of)
from ._process import milliseconds, signal_number
from ._settled import settle
from ._spec import account_cell, octets
from ._status import Status

__all__ = ["Popen", "REPLACED", "STOCK", "Ways", "starting"]

# what Ways has, too; as it was when this was imported
REPLACED = ("_execute_child", "communicate", "_communicate", "_internal_poll",
            "_wait", "send_signal", "__del__", "pid")
_stock = types.SimpleNamespace(**{name: getattr(STOCK, name)
                                  for name in REPLACED if name != "pid"})

_HOLD = _libxl.LIBXL_REPORT_HOLD
_HOLD_PID = _libxl.LIBXL_SPAWN_HOLD_PID


def _fork_exec():
    """What subprocess would start with."""
    found = getattr(subprocess, "_fork_exec", None)
    if found is None:  # up to Python 3.10
        found = getattr(getattr(subprocess, "_posixsubprocess", None),
                        "fork_exec", None)
    return getattr(found, "_xl_instead_of", found)


_FORK_EXEC = _fork_exec()


def _stock_reason(preexec_fn, own):
    """Why subprocess's own way of starting is taken; None: it is not."""
    if preexec_fn is not None:
        return "preexec_fn"
    if not KNOWN:
        return "a subprocess that is not known here"
    if own:
        return None
    if _fork_exec() is not _FORK_EXEC:
        return "fork_exec has been replaced"
    if not getattr(subprocess, "_USE_VFORK", True):
        return "subprocess._USE_VFORK is off"
    return None


def _ours(error):
    """Raised by the library, not by a signal handler on top of it."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").startswith(
        __package__)


class Ways:
    """How a Popen starts, waits and kills; of Popen, and of subprocess's
    where install() has put them there."""

    _xl_id = None  # the child's, in _context; None: subprocess's own child
    _xl_kept = False  # the library keeps the result
    _xl_result = None
    _xl_account = None  # a list, for its account, if that is wanted
    _xl_lost_raises = True
    _xl_own = False  # a class of ours: with errors of ours
    _xl_kind = "subprocess"
    _xl_context = None
    _xl_native = None  # options of ours alone
    _xl_fresh = False  # nobody has asked for the pid
    _xl_number = 0  # what an event of the start has

    @property
    def pid(self):
        """The child's number; by the time it is told, /proc/PID tells of the
        program. None before the start.

        >>> import xlchild
        >>> with xlchild.Popen(["true"]) as p:
        ...     print(p.pid > 1)
        True
        """
        pid = self.__dict__.get("pid")
        if self._xl_fresh:
            self._xl_fresh = False
            if self.returncode is None:
                settle(pid)
        return pid

    @pid.setter
    def pid(self, pid):
        self.__dict__["pid"] = pid

    def _xl_end_now(self):
        """Nobody gets to know of it: killed and reaped."""
        if self._xl_kept:
            self._xl_kept = False
            self._xl_context._end_started(
                [(self._xl_id, self.__dict__["pid"])])
            self.returncode = -9

    def _execute_child(self, args, executable, preexec_fn, close_fds,
                       pass_fds, cwd, env, startupinfo, creationflags, shell,
                       p2cread, p2cwrite, c2pread, c2pwrite, errread,
                       errwrite, restore_signals, *more):
        theirs = (
            args, executable, preexec_fn, close_fds, pass_fds, cwd, env,
            startupinfo, creationflags, shell, p2cread, p2cwrite, c2pread,
            c2pwrite, errread, errwrite, restore_signals, *more)
        reason = _stock_reason(preexec_fn, self._xl_own)
        if reason is not None:
            if self._xl_own and getattr(subprocess, "_fork_exec",
                                        super) is None:
                raise ValueError(
                    "gevent has replaced subprocess's way of starting, which "
                    "preexec_fn needs: use gevent.subprocess.Popen for it")
            self._xl_start_stock(reason, theirs)
            return
        args = argv_of(args, shell, executable)
        program = args[0] if executable is None else executable
        sys.audit("subprocess.Popen", program, args, cwd, env)
        options = {"flags": AS_POPEN if restore_signals else FLAGS_AS_IS}
        if executable is not None:
            options["path"] = executable
        if cwd is not None:
            options["cwd"] = cwd
        if env is not None:
            add_environment(options, env, program)
        if more != PLAIN:
            add_more(options, more)
        if not close_fds:
            options["flags"] |= _libxl.LIBXL_SPAWN_KEEP_FDS
        fds = [pair for pair in ((0, p2cread), (1, c2pwrite), (2, errwrite))
               if pair[1] != -1]
        if close_fds and pass_fds:
            fds += passed(pass_fds)
        if fds:
            options["fds"] = fds
        if self._xl_native is not None:
            add_natives(options, self._xl_native)
        given_up = False
        try:
            if self._xl_context is None:
                self._xl_context = default_context()
            if _dropped:
                _let_dropped_linger()
            check(program, cwd, fds)
            self._xl_start(args, options)
        except SpawnError as error:
            # the object that subprocess would name
            if error.stage == "chdir":
                error.filename = cwd
            elif error.stage == "exec":
                error.filename = program
            if self._xl_own:
                raise
            raise plain(error) from None
        except (XlchildError, TypeError, ValueError) as error:
            if self._xl_own or not _ours(error):
                raise
            given_up = True
            reason = "refused with " + type(error).__name__
        finally:
            if not given_up:
                self._xl_close_ends(p2cread, p2cwrite, c2pread, c2pwrite,
                                    errread, errwrite)
        if given_up:
            self._xl_start_stock(reason, theirs)
            return
        _starts.through(self._xl_kind)
        self._child_created = True

    def _xl_start(self, args, options):
        # as with subprocess its pid is its own until somebody here has waited
        options["flags"] |= _HOLD_PID
        self._xl_account = account_cell(options)
        cell = []
        try:
            self._xl_context._spawn(args, options, _HOLD, self._xl_number,
                                    cell)
            self._xl_id, self.pid = cell[0]
            self._xl_kept = self._xl_fresh = True
            if not self._xl_own:
                _starts.hold((id(self._xl_context), self._xl_id))
        except BaseException:
            self._xl_context._end_started(cell)
            self._xl_id = None
            self._xl_kept = False
            raise

    def _xl_start_stock(self, reason, theirs):
        with _starts.past(reason):
            _stock._execute_child(self, *theirs)

    def _xl_close_ends(self, p2cread, p2cwrite, c2pread, c2pwrite,
                       errread, errwrite):
        """Close here the ends of pipes that the child has got."""
        devnull = getattr(self, "_devnull", None)
        if p2cread != -1 and p2cwrite != -1 and p2cread != devnull:
            os.close(p2cread)
        if c2pwrite != -1 and c2pread != -1 and c2pwrite != devnull:
            os.close(c2pwrite)
        if errwrite != -1 and errread != -1 and errwrite != devnull:
            os.close(errwrite)
        if devnull is not None:
            os.close(devnull)
        self._closed_child_pipe_fds = True

    def communicate(self, input=None, timeout=None):
        """As subprocess's; input may be a buffer of items of any size."""
        if input is not None:
            input = octets(input)
        return _stock.communicate(self, input, timeout)

    def _communicate(self, input, endtime, orig_timeout):
        sleep = sleeper()
        if sleep is None:
            return _stock._communicate(self, input, endtime, orig_timeout)
        return self._xl_exchange(input, endtime, orig_timeout, sleep)

    def _xl_exchange(self, input, endtime, orig_timeout, sleep):
        """_communicate for greenlets: nothing blocks."""
        if not self._communication_started:
            self._fileobj2output = {stream: [] for stream in
                                    (self.stdout, self.stderr) if stream}
            for stream in (self.stdin, *self._fileobj2output):
                if stream is not None:
                    os.set_blocking(stream.fileno(), False)
        self._save_input(input)
        self._communication_started = True
        if self.stdin is not None and not self._input:
            self._xl_close_stdin()
        while True:
            moved = self._xl_write_some() + self._xl_read_some()
            if not any(not stream.closed for stream in self._fileobj2output) \
                    and (self.stdin is None or self.stdin.closed
                         or not self._input):
                break
            if endtime is not None and time.monotonic() > endtime:
                self._check_timeout(endtime, orig_timeout,
                                    *map(self._xl_so_far,
                                         (self.stdout, self.stderr)))
            sleep(0 if moved else 0.002)
        self.wait(timeout=None if endtime is None
                  else max(0, endtime - time.monotonic()))
        return tuple(None if stream is None else
                     self._xl_translated(stream, b"".join(
                         self._fileobj2output[stream]))
                     for stream in (self.stdout, self.stderr))

    def _xl_so_far(self, stream):
        return self._fileobj2output.get(stream) if stream else None

    def _xl_translated(self, stream, data):
        if self.text_mode:
            return self._translate_newlines(data, stream.encoding,
                                            stream.errors)
        return data

    def _xl_close_stdin(self):
        try:
            self.stdin.close()
        except BrokenPipeError:
            pass

    def _xl_write_some(self):
        if self.stdin is None or self.stdin.closed or not self._input:
            return 0
        try:
            # writev and readv: write and read may have been replaced by some
            # that wait
            count = os.writev(self.stdin.fileno(), [memoryview(
                self._input)[self._input_offset:self._input_offset + 65536]])
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            count = len(self._input)
        self._input_offset += count
        if self._input_offset >= len(self._input):
            self._xl_close_stdin()
        return count

    def _xl_read_some(self):
        count = 0
        room = bytearray(65536)
        for stream, parts in self._fileobj2output.items():
            if stream.closed:
                continue
            try:
                got = os.readv(stream.fileno(), [room])
            except BlockingIOError:
                continue
            if got:
                parts.append(bytes(room[:got]))
                count += got
            else:
                stream.close()
                count += 1
        return count

    # ---- ends -----------------------------------------------------------

    def _xl_ended(self, result):
        self._xl_result = result
        if not result[3]:
            raw = result[2]
            self.returncode = -(raw & 0x7f) if raw & 0x7f else raw >> 8
            return
        status = Status(result)
        self.returncode = status.returncode
        if self._xl_lost_raises:
            error = LostError("the status of child %d is lost: %s"
                              % (self.pid, status.lost.text))
            error.status = status
            raise error

    def _xl_foreign(self):
        """subprocess's own child, or the parent process's."""
        if self._xl_id is not None and self._xl_context.forked:
            self._xl_id = None
            self._xl_kept = False
        return self._xl_id is None

    def _xl_let_go(self):
        """The end is known here: the library need not keep it."""
        if self._xl_kept:
            if self._xl_account is not None:
                from ._account import collect
                collect(self._xl_context, self._xl_id, self._xl_account)
            try:
                self._xl_context._detach(self._xl_id)
            except (NotFoundError, ValueError):
                pass
            self._xl_kept = False
            if not self._xl_own:
                _starts.let_go((id(self._xl_context), self._xl_id))

    def _xl_asked(self, ask):
        """The end, if it has come: noted by whichever thread is first."""
        try:
            result = ask()
        except NotFoundError:
            if self.returncode is None:
                if self._xl_result is None:
                    raise
                self._xl_ended(self._xl_result)  # somebody has set it to None
            return True  # another thread has noted it
        if result is None:
            return False
        if self.returncode is None:
            try:
                self._xl_ended(result)
            finally:
                if self.returncode is not None:
                    self._xl_let_go()
        else:
            self._xl_let_go()
        return True

    def _internal_poll(self, _deadstate=None, *args, **kwargs):
        if self._xl_foreign():
            return _stock._internal_poll(self, _deadstate, *args, **kwargs)
        if self.returncode is None and not self._xl_context.closed:
            try:
                self._xl_asked(lambda: self._xl_context._wait(self._xl_id, 0))
            except NotFoundError:  # nobody will know
                if _deadstate is not None:
                    self.returncode = _deadstate
            except LostError:
                if _deadstate is None:  # otherwise nobody can hear of it
                    raise
        return self.returncode

    _internal_poll.__wrapped__ = _stock._internal_poll  # for the router

    def _wait(self, timeout):
        if self._xl_foreign():
            sleep = sleeper()
            if sleep is None:
                return _stock._wait(self, timeout)
            pause(lambda: self.poll() is not None, sleep, timeout)
            if self.returncode is None:
                raise subprocess.TimeoutExpired(self.args, timeout)
            return self.returncode
        if self.returncode is None and not self._xl_asked(
                lambda: waited(self._xl_context, self._xl_id,
                               milliseconds(timeout))):
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, sig):
        """Send a signal, if it has not ended; never to another process.

        >>> import signal, xlchild
        >>> with xlchild.Popen(["sleep", "1000"]) as p:
        ...     p.send_signal(signal.SIGTERM)
        >>> p.returncode
        -15
        """
        if self._xl_foreign():
            _stock.send_signal(self, sig)
            return
        self.poll()
        if self.returncode is None:
            try:
                _libxl.libxl_childproc_kill(self._xl_context, self._xl_id,
                                            signal_number(sig),
                                            _libxl.LIBXL_KILL_PROCESS)
            except NotFoundError:
                pass
            except InvalidArgumentError as error:
                raise NoSignal(str(error), error.code, errno.EINVAL,
                               os.strerror(errno.EINVAL)) from None

    def __del__(self, *args, **kwargs):
        if self._xl_id is not None and self.returncode is not None \
                and not self._xl_context.forked:
            self._xl_let_go()  # perhaps somebody else waited, and said so
        _stock.__del__(self, *args, **kwargs)


class Popen(Ways, STOCK):
    """As subprocess.Popen; takes a ``context``, and the options of
    Context.spawn, too. group is the gid here, and user the uid.

    With event=True its end is an event of the context's as well: the event's
    ``process`` is the Popen, its ``user`` the ``tag``.

    A status that cannot be learnt raises LostError from wait() and poll(),
    and returncode is then a Lost. exec and set-up failures are SpawnError
    (an OSError, FileNotFoundError …). With preexec_fn, Python code has to run
    in the child: that is subprocess's own way of starting, unchanged.

    >>> import xlchild
    >>> with xlchild.Popen(["cat"], stdin=xlchild.PIPE, stdout=xlchild.PIPE,
    ...                    text=True) as p:
    ...     p.communicate("hello")[0]
    'hello'
    >>> p.returncode, p.status.success, p.rusage.ru_maxrss > 0
    (0, True, True)
    >>> with xlchild.Context() as ctx:
    ...     p = xlchild.Popen(["sh", "-c", "exit 5"], context=ctx, nice=3,
    ...                       event=True, tag=7)
    ...     event = ctx.wait_event()
    ...     print(event.process is p, event.user, event.status, p.wait())
    True 7 exit 5 5
    """

    _xl_own = True

    def __init__(self, args, *rest, context=None, event=False, tag=0,
                 **options):
        check_streams(*rest[2:5], *map(options.get, STREAMS))
        if not LOOKED_UP.isdisjoint(options):
            options = looked_up(options)
        self._xl_context = context
        if not OWN.isdisjoint(options):
            self._xl_native = natives_of(options)
        self.tag = tag
        try:
            super().__init__(args, *rest, **options)
            if event:
                if self._xl_context is None:
                    self._xl_context = default_context()
                self._xl_take_over()
                self._xl_context._announce(self)
        except BaseException:  # also of a handler, when it has started
            self._xl_end_now()
            raise

    def _xl_take_over(self):
        """The context's, also where subprocess started it (preexec_fn)."""
        if self._xl_id is not None:
            return
        cell = []
        try:
            self._xl_context._adopt(
                self.pid, _libxl.libxl_childproc_start_time(self.pid), -1,
                _HOLD, 0, cell)
        finally:
            if cell:
                self._xl_id = cell[0]
                self._xl_kept = True

    @property
    def status(self):
        """The Status, once it is known; None before, or for preexec_fn."""
        return None if self._xl_result is None else Status(self._xl_result)

    @property
    def account(self):
        """The Account, once the end is known; None where not asked for.

        >>> import xlchild
        >>> with xlchild.Popen(["false"], account=True) as p:
        ...     print(p.wait(), p.account.ended_by.name)
        1 ITSELF
        """
        if self._xl_account is None or self._xl_result is None:
            return None
        from ._account import account_in
        return account_in(self._xl_context, self._xl_id, self._xl_account)

    @property
    def rusage(self):
        """What the child used (resource.struct_rusage), or None."""
        return None if self._xl_result is None else self.status.rusage

    def __del__(self, *args, _warn=warnings.warn, **kwargs):
        if self._xl_id is None or self._xl_context.forked:
            _stock.__del__(self, *args, **kwargs)
            return
        if self.returncode is None:
            if getattr(starting, "ends", False):
                self._xl_end_now()  # the caller of run() cannot have it
                return
            _warn("subprocess %s is still running" % self.pid,
                  ResourceWarning, source=self)
            if self._xl_kept:
                _let_linger(self._xl_context, self._xl_id)
        else:  # perhaps somebody else waited, and said so
            self._xl_let_go()


# ends: set by a thread in run() and its kin until they have their Popen
starting = threading.local()

# Dropped where the context could not be told, inside a hook of its own: that
# is done when the next one is started.
_dropped = []


def _let_linger(context, identity, *, finalizing=sys.is_finalizing):
    """Nobody has its Popen any more. As with subprocess, the program may still
    wait for its pid: it is reaped half a second after its end, or when the next
    one is started."""
    if finalizing() or context.closed or context.forked:
        return
    try:
        context._linger(identity)
    except NotFoundError:
        pass
    except (InvalidArgumentError, ValueError):
        if not context.closed:
            _dropped.append((context, identity))


def _let_dropped_linger():
    for entry in list(_dropped):
        try:
            _dropped.remove(entry)
        except ValueError:
            continue  # another thread does it
        _let_linger(*entry)
