"""A file that is written to completely, however slow its reader is.

Used by _main.py and _printer.py. A reader that has stopped must not keep the
commands' time limits and Ctrl-C from working: a pipe or a terminal is opened
once more, so that writing to it can be given up without touching the flags
that others share.
"""
import os
import select
import stat

__all__ = ["Sink"]

_SMALL = 1 << 16
_PATIENCE = 100  # milliseconds between two looks at the time


class Sink:
    """An fd that is written to in large pieces, and completely.

    OSError from it bears the name; BrokenPipeError: nobody reads any more.
    meanwhile() is called again and again while the reader does not read.
    """

    def __init__(self, fd, name, meanwhile=None):
        self._fd = fd
        self._own = None
        self._name = name
        self._parts = []
        self._size = 0
        self.meanwhile = meanwhile

    def write(self, data):
        """Sooner or later, data is written."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _SMALL:
            self.flush()

    def flush(self):
        """Now it is."""
        if not self._parts:
            return
        left = memoryview(b"".join(self._parts))
        self._parts, self._size = [], 0
        if self._own is None:
            self._own = self._opened()
        while left:
            try:
                left = left[os.write(self._own, left):]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._own, select.POLLOUT)
                poll.poll(_PATIENCE)
                if self.meanwhile is not None:
                    self.meanwhile()
            except OSError as error:
                error.filename = self._name
                raise

    def _opened(self):
        """An fd to write to that does not wait, if there can be one."""
        try:
            mode = os.fstat(self._fd).st_mode
            if stat.S_ISFIFO(mode) or os.isatty(self._fd):
                return os.open("/proc/self/fd/%d" % self._fd, os.O_WRONLY
                               | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass  # a pipe of another user's, no /proc
        return self._fd

    def close(self):
        """No more is written."""
        if self._own not in (None, self._fd):
            os.close(self._own)
        self._own = None
