"""route_unknown_children: gives statuses back to Python's own waiters.

In the modes that reap every child of the process, a child that subprocess,
multiprocessing or asyncio started is reaped by the library, and their
``os.waitpid`` fails with ChildProcessError, of which they make 0 or 255.
As childproc_exited_callback this object keeps such statuses, and while it is
in use ``os.waitpid`` looks there. asyncio asks ``os.pidfd_open`` first, which
knows no process that is reaped: an fd that says "ended" stands in for it.
"""
import errno
import os
import subprocess
import threading

__all__ = ["route_unknown_children"]

GRACE_SECONDS = 5.0
KEPT = 100000


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
        """Have os.waitpid ask here when the kernel knows no such child."""
        with self._news:
            self._users += 1
            if self._users > 1:
                return
            self._waitpid = os.waitpid
            os.waitpid = self.waitpid
            self._patch(self._waitpid, self.waitpid)
            self._pidfd_open = getattr(os, "pidfd_open", None)
            if self._pidfd_open is not None:
                os.pidfd_open = self.pidfd_open

    def uninstall(self):
        """Undo one install()."""
        with self._news:
            self._users -= 1
            if self._users == 0 and os.waitpid == self.waitpid:
                os.waitpid = self._waitpid
                self._patch(self.waitpid, self._waitpid)
                if self._pidfd_open is not None:
                    os.pidfd_open = self._pidfd_open

    @staticmethod
    def _patch(old, new):
        """subprocess keeps references of its own."""
        holder = getattr(subprocess, "_del_safe", None)
        if holder is not None:
            holder.waitpid = new
        method = subprocess.Popen._internal_poll
        if method.__defaults__:
            method.__defaults__ = tuple(new if value == old else value
                                        for value in method.__defaults__)

    def waitpid(self, pid, options):
        """os.waitpid; a status that the library reaped is found here."""
        status = self._take(pid)
        if status is not None:
            return pid, status
        try:
            return self._waitpid(pid, options)
        except ChildProcessError:
            if pid <= 0 or not self._users:
                raise
        with self._news:
            if not options & os.WNOHANG:
                self._arrives(pid)
            elif pid not in self._kept:
                return 0, 0
            if pid not in self._kept:
                raise ChildProcessError(errno.ECHILD,
                                        os.strerror(errno.ECHILD))
            return pid, self._kept.pop(pid)

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


route_unknown_children = _Router()
