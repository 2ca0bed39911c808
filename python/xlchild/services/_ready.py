"""Whether a service that was started is ready: one watch a run.

Called by _turn.py; _services.py asks checked() what add() was told. None of
these breaks when the script dies: a log and a file are read where they are,
and the socket of "notify" is with the keeper, as the pidfds are.
"""
import os
import re
import socket

from ._words import wrong

__all__ = ["NOTIFY", "checked", "watch"]

NOTIFY = "#notify"  # after the run's name, in the keeper
_LONGEST = 8192  # of a line, what is looked at
_PIECE = 65536
_DATAGRAM = 4096
_WORDS = "None, ('line', REGEX), ('file', PATH) or ('notify',)"


def checked(ready, log):
    """add()'s ready, as watch() takes it."""
    if ready is None:
        return None
    if not isinstance(ready, (tuple, list)) or not ready:
        raise wrong("add", "ready", _WORDS)
    if ready[0] == "notify" and len(ready) == 1:
        return ("notify",)
    if ready[0] == "file" and len(ready) == 2:
        path = os.fspath(ready[1])
        if not path:
            raise wrong("add", "ready", "the path of a file")
        return ("file", os.path.abspath(path))
    if ready[0] == "line" and len(ready) == 2:
        if log is None or not os.path.isfile(log) and os.path.exists(log):
            raise wrong("add", "ready", "without a line, where the log is no "
                        "file: lines are looked for in the log")
        text = ready[1].encode() if isinstance(ready[1], str) else ready[1]
        try:
            return ("line", re.compile(text))
        except (re.error, TypeError) as error:
            raise wrong("add", "ready", "a regular expression: %s"
                        % error) from None
    raise wrong("add", "ready", _WORDS)


def watch(service, folder, offset, fresh):
    """The watch of a run. fresh: it has not been started yet. OSError."""
    if service.ready is None:
        return _Nothing()
    kind = service.ready[0]
    if kind == "file":
        return _File(service.ready[1], fresh)
    if kind == "line":
        return _Line(service.log, service.ready[1], offset)
    return _Notify(service, folder, fresh)


class _Nothing:
    """It is ready at once."""

    looks = False  # look() is to be called now and then
    fd = None  # … or when this is readable
    environment = {}

    def begin(self, offset):
        """The log has so many bytes of others."""

    def look(self):
        """Whether it is ready."""
        return False

    def close(self):
        """What it has open."""


class _File(_Nothing):
    looks = True

    def __init__(self, path, fresh):
        self._path = path
        if fresh:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def look(self):
        return os.path.exists(self._path)


class _Line(_Nothing):
    looks = True

    def __init__(self, path, pattern, offset):
        self._path = path
        self._pattern = pattern
        self._at = offset
        self._rest = b""
        self._file = -1

    def begin(self, offset):
        self._at = offset

    def _open(self):
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC
                                     | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                return False
        return True

    def look(self):
        if not self._open():
            return False
        if os.fstat(self._file).st_size < self._at:
            self._at, self._rest = 0, b""  # somebody emptied it
        while True:
            data = os.pread(self._file, _PIECE, self._at)
            if not data:
                return False
            self._at += len(data)
            *lines, rest = (self._rest + data).split(b"\n")
            if any(self._pattern.search(line[:_LONGEST]) for line in lines):
                return True
            self._rest = rest[:_LONGEST]

    def close(self):
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Notify(_Nothing):
    """The protocol of sd_notify(3): a datagram with a line READY=1."""

    def __init__(self, service, folder, fresh):
        self._socket = None
        name = service.name + ".notify"
        path = os.path.join(folder.path, name)
        self.environment = {"NOTIFY_SOCKET": path}
        if fresh:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                os.fchmod(made.fileno(), 0o666 if "user" in service.options
                          else 0o600)
                folder.unlink(name)
                made.bind(folder.inside(name))
            except BaseException:
                made.close()
                raise
            self._use(made)

    def _use(self, made):
        made.setblocking(False)
        self._socket = made
        self.fd = made.fileno()

    def resume(self, fd):
        """With the socket that outlived the script."""
        self._use(socket.socket(fileno=os.dup(fd)))

    def look(self):
        while self._socket is not None:
            try:
                data = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                return False
            if b"READY=1" in data.split(b"\n"):
                return True
        return False

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = self.fd = None
