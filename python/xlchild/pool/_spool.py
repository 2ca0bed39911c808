"""Files that take the output of commands while they run.

A command that writes into a file of its own needs no reading while it runs,
and a gigabyte of output costs no memory. The local runner (_local.py) takes a
file for each stream of a start; a capturing Pool reads it at the end, the
command line (xlchild.cli._printer) copies what is large.

Making files is slow, so they are used again, but only while nobody else has
them open for writing: the kernel grants a read lease just then. What a
command has left in the background can so never write into another's output.
Another child that is just being started may have a copy for a moment: whoever
is not alone is asked again before a new file is made.
"""
import collections
import errno
import fcntl
import os
import stat
import time

from .._errors import raised_by_others

__all__ = ["NamedSpool", "Spool", "SpoolFile", "close", "holding"]

_PIECE = 1 << 16
_WORN = 1 << 20  # a file is not used again when it has become this long
_SHARED_KEPT = 64  # files that somebody has open, kept to be asked again
_ASKED = 4  # of them, for a file that is needed
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
_PLENTY = 1 << 20  # bytes
_GLANCE = 0.5  # a quota does not show in the room that is left
_UNNAMED_NOT_HERE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_READ = os.O_RDONLY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_OWN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OWN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_control, _seek, _END = fcntl.fcntl, os.lseek, os.SEEK_END  # asked for often
_LEASE, _SHARED, _NONE = fcntl.F_SETLEASE, fcntl.F_RDLCK, fcntl.F_UNLCK
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class SpoolFile:
    """What one command writes to one stream: begins where it was taken."""

    __slots__ = ("_fd", "_name", "_spool", "_begin")

    def __init__(self, fd, spool):
        self._spool = spool
        self._fd = fd
        self._name = str(fd)
        self._begin = 0

    def writer(self):
        """A new fd that appends to it."""
        return os.open(self._name, _WRITE, dir_fd=self._spool.fds)

    def finish(self, limit=0, keep_large=False):
        """The command has ended: what it wrote, or the first limit bytes
        (0: all). The file is closed, and may be used for another.

        keep_large: None if it wrote more than that; nothing is closed.
        """
        alone = self._alone()
        end = _seek(self._fd, 0, _END)
        size = end - self._begin
        if not size:
            self._leave(alone, end)
            return b""
        if limit and size > limit:
            if keep_large:
                return None
            size = limit
        try:
            text = self._read(size)
        except BaseException:
            alone = False
            raise
        finally:
            self._leave(alone, end)
        return text

    def _read(self, size):
        if size <= _PIECE:
            return os.pread(self._fd, size, self._begin)
        return b"".join(self.pieces(size))

    def pieces(self, size=None):
        """What was written, piece by piece."""
        at = self._begin
        end = os.lseek(self._fd, 0, os.SEEK_END) if size is None \
            else at + size
        while at < end:
            piece = os.pread(self._fd, min(end - at, _PIECE), at)
            if not piece:
                return
            at += len(piece)
            yield piece

    def close(self):
        """It may be used for another command, if nobody writes any more."""
        self._leave(self._alone(), os.lseek(self._fd, 0, os.SEEK_END))

    def _alone(self):
        """It may be used again, and nobody has it open for writing."""
        if self._spool.idle is None:
            return False
        try:
            _control(self._fd, _LEASE, _SHARED)
            _control(self._fd, _LEASE, _NONE)
        except OSError as error:
            if raised_by_others(error):
                raise
            return False  # or the filesystem has no leases
        return True

    def _leave(self, alone, end):
        if end >= _WORN or self._spool.idle is None:
            self.shut()
        elif alone:
            self._begin = end
            self._spool.idle.append(self)
        else:
            self._spool.keep_shared(self)

    def ask_again(self):
        """True: nobody else has it open now, and it can be used; False: still
        somebody has; None: it is worn out, and closed."""
        alone = self._alone()
        self._begin = _seek(self._fd, 0, _END)  # whoever had it may have written
        if self._begin < _WORN:
            return alone
        self.shut()
        return None

    def shut(self):
        """It is not used again."""
        fd, self._fd = self._fd, -1  # never twice, whatever a handler raises
        if fd >= 0:
            os.close(fd)

    def __del__(self):
        # a handler's exception has come between; in a forked child the
        # number may be the child's own file
        if getattr(self, "_fd", -1) >= 0 \
                and self._spool.owner == os.getpid():
            self.shut()


class _Spool:
    """What both kinds have in common.

    fds is the folder of this process's fds, once it is wanted: opening a
    file again by its fd is quicker from there.
    """

    owner = 0  # the process that it belongs to
    _place = None
    _looked = 0.0

    def __init__(self, folder):
        self.folder = folder
        self.owner = os.getpid()

    @property
    def fds(self):
        if self._place is None:
            self._place = os.open("/proc/self/fd", _PLACE)
        return self._place

    def close(self):
        """Nothing is kept open."""
        place, self._place = self._place, None
        if place is not None:
            os.close(place)

    def __del__(self):
        if self.owner == os.getpid():
            _Spool.close(self)

    def full(self, file):
        """The error that a writer would get now; None: there is room.

        The command that got it need not have told. So this is asked before
        a file is given up: until then no room comes back.
        """
        room = os.fstatvfs(file._fd)
        free = room.f_bavail if os.geteuid() else room.f_bfree
        now = time.monotonic()
        if now - self._looked < _GLANCE and (
                free * room.f_frsize > _PLENTY or not room.f_blocks):
            return None
        self._looked = now
        try:
            self._probe()
        except OSError as error:
            if raised_by_others(error):
                raise
            if error.errno in _FULL:
                error.filename = self.folder
                return error
        return None

    def _probe(self):
        """Writes a little, as a command would."""
        try:
            fd = os.open(self.folder, os.O_TMPFILE | os.O_RDWR
                         | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _UNNAMED_NOT_HERE:
                raise
            fd = _unlinked(self.folder)
        try:
            os.write(fd, bytes(4096))
        finally:
            os.close(fd)


class Spool(_Spool):
    """Files without a name in a folder (None: the system's temporary one)."""

    def __init__(self, folder=None):
        super().__init__(folder or os.environ.get("TMPDIR") or "/tmp")
        self.idle = []
        self._shared = collections.deque()  # somebody else had these open
        self._new().shut()  # does it work there?

    def take(self, _result):
        """Two files, for stdout and stderr."""
        idle = self.idle
        out = idle.pop() if idle else self._another()
        try:
            return out, idle.pop() if idle else self._another()
        except BaseException:
            out.close()
            raise

    def keep_shared(self, file):
        """Somebody else has it open, perhaps for a moment only."""
        self._shared.append(file)
        if len(self._shared) > _SHARED_KEPT:
            self._shared.popleft().shut()

    def _another(self):
        """One that was not alone and is by now, or else a new one."""
        shared = self._shared
        for _ in range(min(_ASKED, len(shared))):
            file = shared.popleft()
            usable = file.ask_again()
            if usable:
                return file
            if usable is False:
                shared.append(file)
        return self._new()

    def spare(self):
        """Files are scarce: those that nobody needs are closed."""
        while self.idle:
            self.idle.pop().shut()
        while self._shared:
            self._shared.popleft().shut()

    def close(self):
        """The idle files are closed."""
        self.spare()
        self.idle = None
        super().close()

    def _new(self):
        try:
            fd = os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC,
                         0o600)
        except OSError as error:
            if error.errno not in _UNNAMED_NOT_HERE:
                raise
            fd = _unlinked(self.folder)
        try:
            return SpoolFile(os.open("/proc/self/fd/%d" % fd, _READ), self)
        finally:
            os.close(fd)


class NamedSpool(_Spool):
    """Files that stay: ``folder/SEQ/stdout`` and ``stderr``, SEQ from 1."""

    idle = None  # none is used again

    def spare(self):
        """There are no idle files."""

    def __init__(self, folder):
        super().__init__(folder)
        os.makedirs(folder, exist_ok=True)

    def take(self, result):
        """Two new files, for stdout and stderr."""
        path = os.path.join(self.folder, str(result.index + 1))
        try:
            os.mkdir(path)
        except FileExistsError:
            pass
        place = os.open(path, _OWN_FOLDER)
        try:
            out = self._new(path, place, "stdout")
            try:
                return out, self._new(path, place, "stderr")
            except BaseException:
                out.close()
                raise
        finally:
            os.close(place)

    def _new(self, path, place, name):
        """Empty, and no other file by another name: somebody else may have
        been at the folder."""
        fd = -1
        try:
            fd = os.open(name, _OWN | os.O_CREAT, 0o666, dir_fd=place)
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise OSError(errno.EEXIST, "exists, and is no file of its own")
            os.ftruncate(fd, 0)
            return SpoolFile(os.open("/proc/self/fd/%d" % fd, _READ), self)
        except OSError as error:
            error.filename = os.path.join(path, name)
            raise
        finally:
            if fd >= 0:
                os.close(fd)


def _unlinked(folder):
    """A file there, on a filesystem that has none without a name."""
    import tempfile  # slow to import
    fd, path = tempfile.mkstemp("", "xlchild-", folder)
    os.unlink(path)
    return fd


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
