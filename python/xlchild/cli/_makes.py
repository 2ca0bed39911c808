"""GNU make's job server, as the server: makes below share the N of -j.

A gate of the pool (_gates.py). Each command has a pipe, or a fifo, of its own:
what it has taken and not given back is known, and comes back when it ends,
however it ends. Tokens go to where they are taken; what lies unread is taken
back when another could use it.
"""
import fcntl
import os
import shutil
import tempfile
import termios
import time

__all__ = ["Server"]

_BEAT = 0.02
_STALE = 0.1  # seconds after which an unread token goes to another
_TOKEN = b"+"
_READ, _WRITE = 3, 4  # as commands know the ends of their pipe


class _Place:
    """The tokens of one command."""

    def __init__(self, path=None):
        self.path = path
        self.pipe = ()
        if path is None:
            self.pipe = os.pipe()
            path = "/proc/self/fd/%d" % self.pipe[0]
        else:
            os.mkfifo(path, 0o600)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.given = 0  # in it, or with the command's makes
        self.since = 0.0  # when it was given the last one
        self.eager = False  # it takes what it is given

    def unread(self):
        """Tokens that nobody has taken."""
        count = int.from_bytes(fcntl.ioctl(
            self._fd, termios.FIONREAD, bytes(4)), "little")
        if self.given > count:
            self.eager = True
        return count

    def give(self):
        """One more."""
        os.write(self._fd, _TOKEN)
        self.given += 1
        self.since = time.monotonic()

    def take(self):
        """One back; False if all have been taken."""
        try:
            os.read(self._fd, 1)
        except BlockingIOError:
            return False
        self.given -= 1
        return True

    def close(self):
        """The command has ended."""
        os.close(self._fd)
        for fd in self.pipe:
            os.close(fd)
        if self.path is not None:
            os.unlink(self.path)


class Server:
    """The gate: commands and what their makes run are jobs together.

    style: pipe, which every make knows, or fifo (from make 4.4, and ninja
    1.13 on).
    """

    def __init__(self, jobs, style, flags=""):
        self._jobs = jobs
        self._flags = flags
        self._folder = tempfile.mkdtemp(prefix="xlchild-") \
            if style == "fifo" else None
        self._places = {}
        self._running = 0
        self._count = 0

    def _idle(self):
        return self._jobs - self._running - sum(
            place.given for place in self._places.values())

    def room(self, wanted):
        """As many as there are tokens for; unread ones are taken back."""
        idle = self._idle()
        for place in self._places.values():
            while idle < wanted and place.take():
                idle += 1
        allowed = max(0, min(wanted, idle))
        self._running += allowed
        return allowed

    def unused(self, count):
        """So many did not start."""
        self._running -= count

    def ended(self, results):
        """All that these had is back."""
        self._running -= len(results)
        for result in results:
            self._drop(result.index)

    def _drop(self, index):
        place = self._places.pop(index, None)
        if place is not None:
            place.close()

    def options(self, result):
        """What this command is started with."""
        self._drop(result.index)
        self._count += 1
        place = self._places[result.index] = _Place(
            self._folder and "%s/%d" % (self._folder, self._count))
        auth = "fifo:" + place.path if place.path \
            else "%d,%d" % (_READ, _WRITE)
        found = {"env": {"MAKEFLAGS": "%s -j%d --jobserver-auth=%s" % (
            self._flags, self._jobs, auth)}}
        if place.pipe:
            found["fds"] = {_READ: place.pipe[0], _WRITE: place.pipe[1]}
        return found

    @staticmethod
    def fileno():
        """Nothing tells."""

    def patience(self):
        """The next beat."""
        return _BEAT

    def beat(self):
        """Hand tokens out; seconds until the next time."""
        places = list(self._places.values())
        if not places:
            return None
        unread = {place: place.unread() for place in places}
        for _ in range(self._idle()):
            least = min(places, key=lambda place: (
                unread[place], not place.eager, place.since))
            least.give()
            unread[least] += 1
        now = time.monotonic()
        hungry = sorted((place for place in places if not unread[place]),
                        key=lambda place: (not place.eager, place.since))
        for place in hungry:
            rich = max(places, key=unread.get)
            if unread[rich] < 2 and now - rich.since < _STALE \
                    or not unread[rich] or not rich.take():
                break
            unread[rich] -= 1
            place.give()
            unread[place] = 1
        return _BEAT

    def close(self):
        """Nothing is left of it."""
        for index in list(self._places):
            self._drop(index)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
