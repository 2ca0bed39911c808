"""Files that take the output of commands while they run.

A command that writes into a file of its own needs no reading while it runs,
and a gigabyte of output costs no memory. The local runner (_local.py) takes a
file for each stream of a start; a capturing Pool reads it at the end, the
command line (xlchild.cli._printer) copies what is large.

Making files is slow, so they are used again, but only while nobody else has
them open for writing: the kernel grants a read lease just then. What a
command has left in the background can so never write into another's output.
"""
import errno
import fcntl
import os

__all__ = ["NamedSpool", "Spool", "SpoolFile", "close", "holding"]

_PIECE = 1 << 16
_WORN = 1 << 20  # a file is not used again when it has become this long
_UNNAMED_NOT_HERE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_READ = os.O_RDONLY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class SpoolFile:
    """What one command writes to one stream: begins where it was taken."""

    __slots__ = ("_fd", "_spool", "_begin")

    def __init__(self, fd, spool=None):
        self._fd = fd
        self._spool = spool
        self._begin = 0

    def writer(self):
        """A new fd that appends to it."""
        return os.open("/proc/self/fd/%d" % self._fd, _WRITE)

    @property
    def size(self):
        """How many bytes have been written."""
        return os.lseek(self._fd, 0, os.SEEK_END) - self._begin

    def read(self, limit=0):
        """What was written, or the first limit bytes of it (0: all)."""
        size = self.size
        if limit and limit < size:
            size = limit
        if size <= _PIECE:
            return os.pread(self._fd, size, self._begin) if size else b""
        return b"".join(self.pieces(size))

    def pieces(self, size=None):
        """The same, piece by piece."""
        at = self._begin
        end = at + (self.size if size is None else size)
        while at < end:
            piece = os.pread(self._fd, min(end - at, _PIECE), at)
            if not piece:
                return
            at += len(piece)
            yield piece

    def close(self):
        """It may be used for another command, if nobody writes any more."""
        if self._spool is None or not self._spool._again(self):
            os.close(self._fd)

    def _free(self):
        """Nobody has it open for writing; it begins at its end now."""
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False  # or the filesystem has no leases
        self._begin = os.lseek(self._fd, 0, os.SEEK_END)
        return self._begin < _WORN


class Spool:
    """Files without a name in a folder (None: the system's temporary one)."""

    def __init__(self, folder=None):
        self.folder = folder or os.environ.get("TMPDIR") or "/tmp"
        self._idle = []
        os.close(self._new()._fd)  # does it work there?

    def take(self, _result):
        """Two files, for stdout and stderr."""
        idle = self._idle
        out = idle.pop() if idle else self._new()
        try:
            return out, idle.pop() if idle else self._new()
        except BaseException:
            out.close()
            raise

    def close(self):
        """The idle files are closed."""
        while self._idle:
            os.close(self._idle.pop()._fd)

    def _again(self, file):
        if not file._free():
            return False
        self._idle.append(file)
        return True

    def _new(self):
        try:
            fd = os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC,
                         0o600)
        except OSError as error:
            if error.errno not in _UNNAMED_NOT_HERE:
                raise
            fd = self._unlinked()
        try:
            return SpoolFile(os.open("/proc/self/fd/%d" % fd, _READ), self)
        finally:
            os.close(fd)

    def _unlinked(self):
        """A filesystem that has no files without a name."""
        import tempfile  # slow to import
        fd, path = tempfile.mkstemp("", "xlchild-", self.folder)
        os.unlink(path)
        return fd


class NamedSpool:
    """Files that stay: ``folder/SEQ/stdout`` and ``stderr``, SEQ from 1."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def take(self, result):
        """Two new files, for stdout and stderr."""
        place = os.path.join(self.folder, str(result.index + 1))
        os.makedirs(place, exist_ok=True)
        out = self._new(os.path.join(place, "stdout"))
        try:
            return out, self._new(os.path.join(place, "stderr"))
        except BaseException:
            out.close()
            raise

    def close(self):
        """Nothing is kept open."""

    @staticmethod
    def _new(path):
        os.close(os.open(path, _WRITE | os.O_CREAT | os.O_TRUNC, 0o666))
        return SpoolFile(os.open(path, _READ))


def close(files):
    """Close the files of a Result: a pair, with None for what was read."""
    for file in files or ():
        if file is not None:
            file.close()


def holding(data):
    """A file that holds data, to be read from its beginning: an fd."""
    fd = os.memfd_create("xlchild", os.MFD_CLOEXEC)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left):]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
    except BaseException:
        os.close(fd)
        raise
