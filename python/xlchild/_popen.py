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
from ._process import Process, milliseconds
from ._status import Status

__all__ = ["Popen"]

_NAMES_38 = (
    "args", "executable", "preexec_fn", "close_fds", "pass_fds", "cwd",
    "env", "startupinfo", "creationflags", "shell", "p2cread", "p2cwrite",
    "c2pread", "c2pwrite", "errread", "errwrite", "restore_signals",
    "start_new_session")


def _names():
    """The parameters of _execute_child in this Python, in order."""
    code = subprocess.Popen._execute_child.__code__
    return code.co_varnames[1:code.co_argcount]


_NAMES = _names()
_KNOWN = set(_NAMES_38) <= set(_NAMES)  # else this Python is left alone


class Popen(subprocess.Popen):
    """As subprocess.Popen; takes a ``context`` too.

    A status that cannot be learnt raises LostError from wait() and poll(),
    and returncode is then a Lost. exec and set-up failures are SpawnError
    (an OSError, FileNotFoundError …).

    >>> import subprocess, xlchild
    >>> with xlchild.Popen(["cat"], stdin=subprocess.PIPE,
    ...                    stdout=subprocess.PIPE, text=True) as p:
    ...     p.communicate("hello")[0]
    'hello'
    """

    _process = None

    def __init__(self, args, *rest, context=None, **options):
        self._context = context
        super().__init__(args, *rest, **options)

    def _execute_child(self, *values):
        a = dict(zip(_NAMES, values))
        if a["preexec_fn"] is not None or not _KNOWN:
            return super()._execute_child(*values)
        args = a["args"]
        if isinstance(args, (str, bytes)):
            args = [args]
        elif isinstance(args, os.PathLike):
            if a["shell"]:
                raise TypeError("path-like args is not allowed when shell "
                                "is true")
            args = [args]
        else:
            args = list(args)
        executable = a["executable"]
        if a["shell"]:
            args = ["/bin/sh", "-c"] + args
            if executable:
                args[0] = executable
        if not args:
            raise IndexError("list index out of range")
        if executable is None:
            executable = args[0]
        sys.audit("subprocess.Popen", executable, args, a["cwd"], a["env"])
        options = self._options(a, args, os.fsencode(executable))
        context = self._context or default_context()
        process = Process(context, args)
        try:
            try:
                self._start_child(context, process, options)
            except SpawnError as error:
                self._set_up_failed(error, a, executable)
                raise
            self._process = process
            self.pid = process.pid
            self._child_created = True
        finally:
            self._close_child_ends(a)

    def _start_child(self, context, process, options):
        process.id, process.pid = context._spawn(
            process.args, options, _libxl.LIBXL_REPORT_HOLD, 0)
        process._held = True

    def _options(self, a, args, program):
        flags = _libxl.LIBXL_SPAWN_SEARCH_PATH
        if os.path.dirname(program):
            flags = 0
        if a["start_new_session"]:
            flags |= _libxl.LIBXL_SPAWN_NEW_SESSION
        flags |= _libxl.LIBXL_SPAWN_KEEP_SIGMASK
        options = {"path": program}
        options["inherit_ignored"] = a["restore_signals"]
        group = a.get("process_group", -1)
        if group is not None and group >= 0:
            if group == 0:
                flags |= _libxl.LIBXL_SPAWN_NEW_GROUP
            else:
                flags |= _libxl.LIBXL_SPAWN_JOIN_GROUP
                options["group"] = group
        table = {}
        for target, source in ((0, a["p2cread"]), (1, a["c2pwrite"]),
                               (2, a["errwrite"])):
            if source != -1:
                table[target] = source
        if a["close_fds"]:
            for number in a["pass_fds"]:
                if number > 2:
                    table[int(number)] = int(number)
        else:
            flags |= _libxl.LIBXL_SPAWN_KEEP_FDS
        if table:
            options["fds"] = list(table.items())
        if a["cwd"] is not None:
            options["cwd"] = a["cwd"]
        if a["env"] is not None:
            options["env"] = a["env"]
            path = os.get_exec_path(a["env"])
            options["search_path"] = os.pathsep.join(
                os.fsdecode(p) for p in path)
        for name, key in (("gid", "gid"), ("uid", "uid")):
            value = a.get(name)
            if value is not None and value != -1:
                options[key] = value
        groups = a.get("gids")
        if groups is not None:
            options["groups"] = groups
        umask = a.get("umask", -1)
        if umask is not None and umask >= 0:
            options["umask"] = umask
        options["flags"] = flags
        return options

    def _set_up_failed(self, error, a, executable):
        """Name the file that subprocess would name; there is no child."""
        if error.stage == "chdir":
            error.filename = a["cwd"]
        elif error.stage == "exec":
            error.filename = executable if not a["shell"] \
                else os.fsdecode(executable)
        else:
            error.filename = None

    def _close_child_ends(self, a):
        """Close here the ends of pipes that the child has got."""
        devnull = getattr(self, "_devnull", None)
        for inner, outer in (("p2cread", "p2cwrite"),
                             ("c2pwrite", "c2pread"),
                             ("errwrite", "errread")):
            if a[inner] != -1 and a[outer] != -1 and a[inner] != devnull:
                os.close(a[inner])
        if devnull is not None:
            os.close(devnull)
        self._closed_child_pipe_fds = True

    # ---- ends -----------------------------------------------------------

    def _ended(self, result):
        status = self._process._status = Status(result)
        self.returncode = status.returncode
        if status.lost is not None:
            error = LostError("the status of child %d is lost: %s"
                              % (self.pid, status.lost.text))
            error.status = status
            raise error
        return self.returncode

    def _internal_poll(self, *args, **kwargs):
        if self._process is None:
            return super()._internal_poll(*args, **kwargs)
        if self.returncode is None:
            try:
                result = self._process.context._wait(self._process.id, 0)
            except NotFoundError:  # another thread is taking it
                return self.returncode
            except ValueError:  # closed, or reported otherwise (aio)
                return None
            if result is not None:
                self._ended(result)
        return self.returncode

    def _wait(self, timeout):
        if self._process is None:
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
                result = self._process.context._wait(
                    self._process.id, milliseconds(timeout))
                if result is None:
                    raise subprocess.TimeoutExpired(self.args, timeout)
                self._ended(result)
        finally:
            self._waitpid_lock.release()
        return self.returncode

    def send_signal(self, sig):
        """Send a signal, if it has not ended; never to another process."""
        if self._process is None:
            super().send_signal(sig)
            return
        self.poll()
        if self.returncode is None:
            self._process.kill(sig)

    @property
    def status(self):
        """The Status, once it is known; None before, or for preexec_fn."""
        return self._process._status if self._process else None

    @property
    def rusage(self):
        """What the child used (resource.struct_rusage), or None."""
        return self.status.rusage if self.status else None

    def __del__(self, *args, **kwargs):
        process = getattr(self, "_process", None)
        if process is None:
            super().__del__(*args, **kwargs)
            return
        if self.returncode is None:
            import warnings
            process._held = False
            warnings.warn("subprocess %s is still running" % self.pid,
                          ResourceWarning, source=self)
            context = process.context
            if not context.closed and not context.forked:
                try:
                    context._detach(process.id)
                except NotFoundError:
                    pass
