"""The state folder and files in it, also where the script is root's.

Called by _journal.py, _launch.py, _keeping.py and _ready.py. The folder is
opened once, and what is in it by that descriptor: whoever moves it away, or
puts a symbolic link in its place, changes nothing.
"""
import errno
import os
import stat

__all__ = ["Folder", "open_log"]

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def _refused(path, words):
    return PermissionError(errno.EPERM, "%s: it %s" % (
        os.strerror(errno.EPERM), words), path)


class Folder:
    """This user's, and nobody else's to write."""

    def __init__(self, path):
        self.path = path = os.path.abspath(os.fspath(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        try:
            about = os.fstat(self.fd)
            if about.st_uid != os.geteuid():
                raise _refused(path, "belongs to another user")
            if about.st_mode & 0o022:
                raise _refused(path, "may be written by others")
        except BaseException:
            os.close(self.fd)
            raise
        self.identity = "%x.%x" % (about.st_dev, about.st_ino)

    def is_there(self):
        """Whether the next life finds it by its path."""
        try:
            about = os.stat(self.path)
        except OSError:
            return False
        return self.identity == "%x.%x" % (about.st_dev, about.st_ino)

    def open(self, name, flags):
        """A regular file of this user's with one name; its descriptor."""
        fd = os.open(name, flags | _FLAGS, 0o600, dir_fd=self.fd)
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1 \
                    or about.st_uid != os.geteuid():
                raise _refused(os.path.join(self.path, name),
                               "is no file of this user's alone")
        except BaseException:
            os.close(fd)
            raise
        return fd

    def read(self, name):
        """All of a file."""
        with open(self.open(name, os.O_RDONLY), "rb") as file:
            return file.read()

    def replace(self, name, data):
        """A file in one piece: a reader finds the old or the new one. Not
        waited for until it is on a disk: that matters after a power cut alone,
        when nothing lives of which it tells, and is seen by its checksum."""
        new = name + ".new"
        with open(self.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                  "wb") as file:
            file.write(data)
        os.rename(new, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def unlink(self, name):
        """It is not there any more."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def inside(self, name):
        """A path for what takes no descriptor of a folder."""
        return "/proc/self/fd/%d/%s" % (self.fd, name)

    def close(self):
        """Closed once."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def open_log(path):
    """A log: everybody who has it writes at its end. No symbolic link."""
    if path.startswith(("/dev/", "/proc/")):  # /dev/stdout is one by nature
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
                       | os.O_NOCTTY)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS, 0o640)
    try:
        about = os.fstat(fd)
        if stat.S_ISREG(about.st_mode) and about.st_nlink > 1 \
                and about.st_uid != os.geteuid():
            raise _refused(path, "is another user's file by another name")
        os.set_blocking(fd, True)
    except BaseException:
        os.close(fd)
        raise
    return fd
