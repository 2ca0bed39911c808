"""route_unknown_children: gives statuses back to Python's own waiters.

In the modes that reap every child of the process, a child that subprocess,
multiprocessing or asyncio started is reaped by the library, and their
``os.waitpid`` fails with ChildProcessError, of which they make 0 or 255.
As childproc_exited_callback this object keeps such statuses, and while it is
in use ``os.waitpid`` and its kin (wait, wait3, wait4, waitid) look there.
asyncio asks ``os.pidfd_open`` first, which knows no process that is reaped: an
fd that says "ended" stands in for it. ``os.system`` waits in C, where nothing
can be given back: it is done by a start and a wait of Python's instead. What
other C code does so (system() and pclose() of an extension) stays wrong.
"""
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time

__all__ = ["route_unknown_children"]

GRACE_SECONDS = 5.0
ANY_SECONDS = 0.2  # for a status on its way, where no child is named
LOOK_SECONDS = 0.02
KEPT = 100000
_CALLS = ("waitpid", "wait", "wait3", "wait4", "waitid", "system")
_CLD_KILLED = getattr(os, "CLD_KILLED", 2)  # Python 3.9 and later


class _Router:
    """The callback; Context.setmode installs it, close() takes it back.

    >>> import subprocess, xlchild
    >>> with xlchild.Context(
    ...         xlchild.SigchldOwner.LIBXL, childproc_exited_callback=xlchild
    ...         .route_unknown_children) as ctx:
    ...     ours = ctx.spawn(["sh", "-c", "exit 1"])
    ...     theirs = subprocess.Popen(["sh", "-c", "exit 2"])
    ...     print(ours.wait().exitcode, theirs.wait())
    1 2
    """

    def __init__(self):
        self._users = 0
        self._kept = {}
        self._news = threading.Condition()
        self._theirs = {}
        self._waitpid = os.waitpid
        self._pidfd_open = getattr(os, "pidfd_open", None)

    def __call__(self, pid, status):
        """A child of somebody else ended: keep the status for them."""
        with self._news:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[pid] = status.raw
            self._news.notify_all()
        return True

    def install(self):
        """Have the waits of os ask here when the kernel knows no such child.
        """
        with self._news:
            self._users += 1
            if self._users > 1:
                return
            self._theirs = {name: getattr(os, name) for name in _CALLS}
            self._waitpid = self._theirs["waitpid"]
            for name in _CALLS:
                setattr(os, name, getattr(self, name))
            self._patch(self._waitpid, self.waitpid)
            self._pidfd_open = getattr(os, "pidfd_open", None)
            if self._pidfd_open is not None:
                os.pidfd_open = self.pidfd_open

    def uninstall(self):
        """Undo one install()."""
        with self._news:
            self._users -= 1
            if self._users:
                return
            for name in _CALLS:  # but what others have put there stays
                if getattr(os, name) == getattr(self, name):
                    setattr(os, name, self._theirs[name])
            self._patch(self.waitpid, self._waitpid)
            if self._pidfd_open is not None \
                    and os.pidfd_open == self.pidfd_open:
                os.pidfd_open = self._pidfd_open

    @staticmethod
    def _patch(old, new):
        """subprocess keeps references of its own."""
        holder = getattr(subprocess, "_del_safe", None)
        if holder is not None:
            holder.waitpid = new
        method = subprocess.Popen._internal_poll
        method = getattr(method, "__wrapped__", method)
        if method.__defaults__:
            method.__defaults__ = tuple(new if value == old else value
                                        for value in method.__defaults__)

    def waitpid(self, pid, options):
        """os.waitpid; a status that the library reaped is found here."""
        if pid == -1:
            pid, status, _ = self._any(options)
            return pid, status
        status = self._take(pid)
        if status is not None:
            return pid, status
        try:
            return self._waitpid(pid, options)
        except ChildProcessError:
            if pid <= 0 or not self._users:
                raise
        status = self._awaited(pid, options & os.WNOHANG)
        return (0, 0) if status is None else (pid, status)

    def wait(self):
        """os.wait, likewise."""
        return self.waitpid(-1, 0)

    def wait3(self, options):
        """os.wait3, likewise; what was found here used no resources."""
        return self._any(options)

    def wait4(self, pid, options):
        """os.wait4, likewise."""
        if pid == -1:
            return self._any(options)
        status = self._take(pid)
        if status is None:
            try:
                return self._theirs["wait4"](pid, options)
            except ChildProcessError:
                if pid <= 0 or not self._users:
                    raise
            status = self._awaited(pid, options & os.WNOHANG)
            if status is None:
                return 0, 0, _no_usage()
        return pid, status, _no_usage()

    def waitid(self, idtype, ident, options):
        """os.waitid, likewise."""
        if idtype not in (os.P_PID, os.P_ALL) or not options & os.WEXITED:
            return self._theirs["waitid"](idtype, ident, options)
        leave = options & os.WNOWAIT
        if idtype == os.P_ALL:
            look = options | os.WNOHANG
            return self._searched(
                options, lambda: self._kept_one(leave),
                lambda: self._theirs["waitid"](idtype, ident, look))
        status = self._kept.get(ident) if leave else self._take(ident)
        if status is None:
            try:
                return self._theirs["waitid"](idtype, ident, options)
            except ChildProcessError:
                if ident <= 0 or not self._users:
                    raise
            status = self._awaited(ident, options & os.WNOHANG, leave)
        return None if status is None else _waitid_result(ident, status)

    def system(self, command):
        """os.system, by a start and a wait that can be given its status."""
        sys.audit("os.system", command)
        stops = (signal.SIGINT, signal.SIGQUIT)
        ours = {}
        if threading.current_thread() is threading.main_thread():
            ours = {number: signal.getsignal(number) for number in stops}
            for number in stops:
                signal.signal(number, signal.SIG_IGN)
        try:
            pid = os.posix_spawn(
                "/bin/sh", ["sh", "-c", os.fspath(command)], os.environ,
                setsigdef=[number for number in stops
                           if ours.get(number) != signal.SIG_IGN])
            return self.waitpid(pid, 0)[1]
        finally:
            for number, handler in ours.items():
                signal.signal(number, signal.SIG_DFL if handler is None
                              else handler)

    def _any(self, options):
        """wait3 for whichever child: of the kernel's, or kept here."""
        def kernel():
            found = self._theirs["wait3"](options | os.WNOHANG)
            return found if found[0] else None

        found = self._searched(options, self._kept_any, kernel)
        return (0, 0, _no_usage()) if found is None else found

    def _kept_any(self):
        with self._news:
            for pid in self._kept:
                return pid, self._kept.pop(pid), _no_usage()
        return None

    def _kept_one(self, leave):
        with self._news:
            for pid, status in self._kept.items():
                if not leave:
                    del self._kept[pid]
                return _waitid_result(pid, status)
        return None

    def _searched(self, options, kept, kernel):
        """What one of them finds; waits unless WNOHANG, in turns, since
        nobody can wait for both. ChildProcessError: there is no child."""
        patience = None
        while True:
            found = kept()
            if found is not None:
                return found
            try:
                found = kernel()
                if found is not None:
                    return found
                patience = None
            except ChildProcessError:
                now = time.monotonic()
                if patience is None:
                    patience = now + ANY_SECONDS
                if not self._users or now > patience:
                    raise
            if options & os.WNOHANG and patience is None:
                return None
            with self._news:
                if not self._kept:
                    self._news.wait(LOOK_SECONDS)

    def _awaited(self, pid, at_once, leave=False):
        """The status of a child that the kernel does not know (any more), or
        None if it has not come yet; ChildProcessError if none comes."""
        with self._news:
            if not at_once:
                self._arrives(pid)
            elif pid not in self._kept:
                return None
            if pid not in self._kept:
                raise ChildProcessError(errno.ECHILD,
                                        os.strerror(errno.ECHILD))
            return self._kept[pid] if leave else self._kept.pop(pid)

    def pidfd_open(self, pid, flags=0):
        """os.pidfd_open; for a child that the library reaped, a readable fd.
        """
        if pid not in self._kept:
            try:
                return self._pidfd_open(pid, flags)
            except ProcessLookupError:
                with self._news:
                    if pid <= 0 or not self._arrives(pid):
                        raise
        reader, writer = os.pipe()
        os.close(writer)
        return reader

    def _arrives(self, pid):
        """Reaped, and on its way to __call__: wait for it there."""
        return self._news.wait_for(lambda: pid in self._kept, GRACE_SECONDS)

    def _take(self, pid):
        if pid in self._kept:
            with self._news:
                return self._kept.pop(pid, None)
        return None


def _no_usage():
    # made anew: Python 3.11 ends badly with one that a module keeps
    return resource.struct_rusage((0.0, 0.0) + (0,) * 14)


def _waitid_result(pid, status):
    """A wait status as os.waitid has it."""
    if os.WIFEXITED(status):
        code, value = os.CLD_EXITED, os.WEXITSTATUS(status)
    else:
        value = os.WTERMSIG(status)
        code = os.CLD_DUMPED if os.WCOREDUMP(status) else _CLD_KILLED
    return os.waitid_result((pid, os.getuid(), int(signal.SIGCHLD), value,
                             code))


route_unknown_children = _Router()
