"""GNU make's job server, as its client: one token a command.

A gate of the pool (_gates.py). The first command that runs needs no token:
that is the one make gave us. Tokens are held by a process of ours beside us,
the keeper: it gives them back even if we are killed, and our commands are
killed with us then.
"""
import os
import re
import select
import signal
import socket
import stat

__all__ = ["Client", "Unreachable", "found"]

_AUTH = re.compile(r"--jobserver-(?:auth|fds)=(\S+)")
_JOBS = re.compile(r"(?:^|\s)-j(\d+)")
_MOST = 255


class Unreachable(Exception):
    """There is a job server, and it cannot be used; the words for why."""


def found(flags):
    """(a file to read tokens from, one to write them to, fds that commands
    need to reach it) of the job server in MAKEFLAGS; None: there is none."""
    marks = _AUTH.findall(flags or "")
    if not marks:
        return None
    if marks[-1].startswith("fifo:"):
        return _fifo(marks[-1][5:])
    return _pipe(marks[-1])


def jobs_of(flags):
    """The N of make's -jN; None."""
    numbers = _JOBS.findall(flags or "")
    return int(numbers[-1]) if numbers else None


def _fifo(path):
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreachable("%s: %s" % (path, error.strerror))
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unreachable("%s is no fifo" % path)
    return fd, os.dup(fd), ()


def _pipe(mark):
    try:
        pair = [int(number) for number in mark.split(",")]
        ends = [os.fstat(number) for number in pair]
    except (ValueError, OSError):
        pair = ends = []
    # other files may have got the numbers
    if len(pair) != 2 or min(pair) < 3 \
            or not all(stat.S_ISFIFO(end.st_mode) for end in ends) \
            or not os.path.samestat(*ends):
        raise Unreachable("begin the line of the recipe with +")
    # what we open is ours alone: whether it waits is no matter of others
    return (os.open("/proc/self/fd/%d" % pair[0],
                    os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC),
            os.dup(pair[1]), tuple(pair))


class Client:
    """The gate: as many commands as there are tokens, and one."""

    def __init__(self, reading, writing):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._keeper = os.fork()
        if self._keeper == 0:
            try:
                ours.close()
                _keep(theirs, reading, writing)
            finally:
                os._exit(0)
        theirs.close()
        os.close(reading)
        os.close(writing)
        self._socket = ours
        self._tokens = []
        self._running = 0
        self._wanted = 0

    def room(self, wanted):
        """How many of these may start; the others are asked for."""
        self._receive()
        free = 1 + len(self._tokens) - self._running
        if free < wanted:
            self._want(wanted - free)
        allowed = min(wanted, free)
        self._running += allowed
        return allowed

    def unused(self, count):
        """So many did not start: their tokens go back."""
        self._running -= count
        self._settle()

    def ended(self, results):
        """These have ended; what is free now may be wanted by others."""
        self.unused(len(results))

    def fileno(self):
        """Tokens come from there."""
        return self._socket.fileno()

    @staticmethod
    def patience():
        """The file tells."""

    @staticmethod
    def beat():
        """There is nothing to do now and then."""

    @staticmethod
    def options(_result):
        """All commands have the same."""

    def close(self):
        """All tokens go back."""
        self._socket.close()
        os.waitpid(self._keeper, 0)

    def _want(self, count):
        count = min(count, _MOST)
        if count != self._wanted:
            self._wanted = count
            self._socket.send(bytes((0, count)))
            while self._receive(wait=True) != 0:
                pass

    def _settle(self):
        """Nothing is wanted, and what is too much goes back."""
        self._receive()
        if self._wanted:
            self._want(0)
        while len(self._tokens) > max(0, self._running - 1):
            self._socket.send(bytes((1, self._tokens.pop())))

    def _receive(self, wait=False):
        """Take what the keeper sent: tokens, or (0) that it has heard."""
        while True:
            try:
                message = self._socket.recv(
                    2, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not message:
                raise OSError("the job server's keeper has ended")
            if message[0] == 0:
                return 0
            self._tokens.append(message[1])
            self._wanted = max(0, self._wanted - 1)
            if wait:
                return 1


def _keep(parent, reading, writing):
    """The keeper: until the parent is gone, however it goes."""
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                  signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN,
                  signal.SIGTTOU, signal.SIGPIPE):
        signal.signal(signo, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd not in (reading, writing, parent.fileno()):
            os.dup2(null, fd)
    held, wanted = [], 0
    try:
        while True:
            poll = select.poll()
            poll.register(parent, select.POLLIN)
            if wanted:
                poll.register(reading, select.POLLIN)
            ready = dict(poll.poll())
            if parent.fileno() in ready:
                message = parent.recv(2)
                if not message:
                    return
                if message[0] == 0:
                    wanted = message[1]
                    parent.send(b"\0\0")
                else:
                    held.remove(message[1])
                    os.write(writing, message[1:])
                continue
            try:
                token = os.read(reading, 1)
            except BlockingIOError:
                continue  # another was quicker
            if not token:
                wanted = 0  # the server has gone
                continue
            held.append(token[0])
            wanted -= 1
            parent.send(b"\1" + token)
    except OSError:
        pass  # the parent is gone while it is told something
    finally:
        os.write(writing, bytes(held))
