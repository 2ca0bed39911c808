"""Popen: subprocess's class, with another way to start, wait and kill.

Pipes, text modes and communicate() are subprocess's own. What the library
cannot do (preexec_fn) is left to subprocess too.
"""
import os
import subprocess
import sys

from . import _libxl
from ._context import default_context
from ._errors import LostError, NotFoundError, SpawnError
from ._process import milliseconds
from ._status import Status

__all__ = ["Popen"]

# What every Python hands to _execute_child first, and what newer ones add.
_FIRST = (
    "args", "executable", "preexec_fn", "close_fds", "pass_fds", "cwd",
    "env", "startupinfo", "creationflags", "shell", "p2cread", "p2cwrite",
    "c2pread", "c2pwrite", "errread", "errwrite", "restore_signals")
_MORE = {"gid": None, "gids": None, "uid": None, "umask": -1,
         "start_new_session": False, "process_group": -1}


def _names():
    """The parameters of _execute_child in this Python, in order."""
    code = subprocess.Popen._execute_child.__code__
    return code.co_varnames[1:code.co_argcount]


_LAST = _names()[len(_FIRST):]
# another order, or a parameter that is unknown here: this Python is left alone
_KNOWN = _names()[:len(_FIRST)] == _FIRST and _MORE.keys() >= set(_LAST)
_PLAIN = tuple(map(_MORE.get, _LAST))

_FLAGS_AS_IS = (_libxl.LIBXL_SPAWN_SEARCH_PATH
                | _libxl.LIBXL_SPAWN_KEEP_SIGMASK
                | _libxl.LIBXL_SPAWN_KEEP_SIGIGN)
_FLAGS = _FLAGS_AS_IS | _libxl.LIBXL_SPAWN_RESTORE_SIGPIPE
_HOLD = _libxl.LIBXL_REPORT_HOLD


def _argv(args, shell, executable):
    """The arguments as a list, as subprocess makes it."""
    if isinstance(args, (str, bytes)):
        args = [args]
    elif isinstance(args, os.PathLike):
        if shell:
            raise TypeError("path-like args is not allowed when shell is "
                            "true")
        args = [args]
    else:
        args = list(args)
    if shell:
        args = [executable or "/bin/sh", "-c"] + args
    if not args:
        raise IndexError("list index out of range")
    return args


def _add_environment(options, env, program):
    """The child's environment, in whose PATH the program is searched."""
    options["env"] = env
    if b"/" not in os.fsencode(program):
        options["search_path"] = os.pathsep.join(
            os.fsdecode(p) for p in os.get_exec_path(env))


def _add_more(options, values):
    """Ids, umask, session and group: what is hardly ever given."""
    a = dict(_MORE, **dict(zip(_LAST, values)))
    flags = options["flags"]
    if a["start_new_session"]:
        flags |= _libxl.LIBXL_SPAWN_NEW_SESSION
    if a["process_group"] == 0:
        flags |= _libxl.LIBXL_SPAWN_NEW_GROUP
    elif a["process_group"] > 0:
        flags |= _libxl.LIBXL_SPAWN_JOIN_GROUP
        options["group"] = a["process_group"]
    for name, key in (("gid", "gid"), ("uid", "uid"), ("gids", "groups")):
        if a[name] is not None:
            options[key] = a[name]
    if a["gids"] is None and not (a["uid"] is None and a["gid"] is None):
        flags |= _libxl.LIBXL_SPAWN_KEEP_GROUPS  # as subprocess
    if a["umask"] >= 0:
        options["umask"] = a["umask"]
    options["flags"] = flags


class Popen(subprocess.Popen):
    """As subprocess.Popen; takes a ``context`` too.

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
    """

    _id = None  # the child's, in _context; None: subprocess's own child
    _result = None
    _lost_raises = True

    def __init__(self, args, *rest, context=None, **options):
        self._context = context
        super().__init__(args, *rest, **options)

    def _execute_child(self, args, executable, preexec_fn, close_fds,
                       pass_fds, cwd, env, startupinfo, creationflags, shell,
                       p2cread, p2cwrite, c2pread, c2pwrite, errread,
                       errwrite, restore_signals, *more):
        if preexec_fn is not None or not _KNOWN:
            return super()._execute_child(
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env,
                startupinfo, creationflags, shell, p2cread, p2cwrite, c2pread,
                c2pwrite, errread, errwrite, restore_signals, *more)
        args = _argv(args, shell, executable)
        program = args[0] if executable is None else executable
        sys.audit("subprocess.Popen", program, args, cwd, env)
        options = {"flags": _FLAGS if restore_signals else _FLAGS_AS_IS}
        if executable is not None:
            options["path"] = executable
        if cwd is not None:
            options["cwd"] = cwd
        if env is not None:
            _add_environment(options, env, program)
        if more != _PLAIN:
            _add_more(options, more)
        if not close_fds:
            options["flags"] |= _libxl.LIBXL_SPAWN_KEEP_FDS
        fds = [pair for pair in ((0, p2cread), (1, c2pwrite), (2, errwrite))
               if pair[1] != -1]
        if close_fds and pass_fds:
            fds += [(int(number), int(number)) for number in pass_fds
                    if number > 2]
        if fds:
            options["fds"] = fds
        if self._context is None:
            self._context = default_context()
        try:
            self._start_child(args, options)
        except SpawnError as error:
            # the file that subprocess would name
            if error.stage == "chdir":
                error.filename = cwd
            elif error.stage == "exec":
                error.filename = program
            else:
                error.filename = None
            raise
        finally:
            self._close_child_ends(p2cread, p2cwrite, c2pread, c2pwrite,
                                   errread, errwrite)
        self._child_created = True

    def _start_child(self, args, options):
        self._id, self.pid = self._context._spawn(args, options, _HOLD, 0)

    def _close_child_ends(self, p2cread, p2cwrite, c2pread, c2pwrite,
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

    # ---- ends -----------------------------------------------------------

    def _ended(self, result):
        self._result = result
        if not result[3]:
            raw = result[2]
            self.returncode = -(raw & 0x7f) if raw & 0x7f else raw >> 8
            return
        status = self.status
        self.returncode = status.returncode
        if self._lost_raises:
            error = LostError("the status of child %d is lost: %s"
                              % (self.pid, status.lost.text))
            error.status = status
            raise error

    def _internal_poll(self, *args, **kwargs):
        if self._id is None:
            return super()._internal_poll(*args, **kwargs)
        if self.returncode is None:
            try:
                result = self._context._wait(self._id, 0)
            except NotFoundError:  # another thread is taking it
                return self.returncode
            except ValueError:  # closed, or reported otherwise (aio)
                return None
            if result is not None:
                self._ended(result)
        return self.returncode

    def _wait(self, timeout):
        if self._id is None:
            return super()._wait(timeout)
        if self.returncode is not None:
            return self.returncode
        # one thread at a time takes the result; the others find it
        if timeout is None:
            self._waitpid_lock.acquire()
        elif not self._waitpid_lock.acquire(True, max(timeout, 0)):
            raise subprocess.TimeoutExpired(self.args, timeout)
        try:
            if self.returncode is None:
                result = self._context._wait(self._id, milliseconds(timeout))
                if result is None:
                    raise subprocess.TimeoutExpired(self.args, timeout)
                self._ended(result)
        finally:
            self._waitpid_lock.release()
        return self.returncode

    def send_signal(self, sig):
        """Send a signal, if it has not ended; never to another process.

        >>> import signal, xlchild
        >>> with xlchild.Popen(["sleep", "1000"]) as p:
        ...     p.send_signal(signal.SIGTERM)
        >>> p.returncode
        -15
        """
        if self._id is None:
            super().send_signal(sig)
            return
        self.poll()
        if self.returncode is None:
            try:
                _libxl.libxl_childproc_kill(self._context, self._id, int(sig),
                                            _libxl.LIBXL_KILL_PROCESS)
            except NotFoundError:
                pass

    @property
    def status(self):
        """The Status, once it is known; None before, or for preexec_fn."""
        return None if self._result is None else Status(self._result)

    @property
    def rusage(self):
        """What the child used (resource.struct_rusage), or None."""
        return None if self._result is None else self.status.rusage

    def __del__(self, *args, **kwargs):
        if self._id is None:
            super().__del__(*args, **kwargs)
            return
        if self.returncode is None:
            import warnings
            warnings.warn("subprocess %s is still running" % self.pid,
                          ResourceWarning, source=self)
            context = self._context
            if not context.closed and not context.forked:
                try:
                    context._detach(self._id)
                except NotFoundError:
                    pass
