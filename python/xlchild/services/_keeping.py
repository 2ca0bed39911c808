"""The pidfds of services, where they outlive the script.

Called by _services.py and _turn.py. In systemd's store of descriptors where
the script has one, else with a keeper: a process of ours
(bindings/keeper/keeper.c) that is found again by its socket in the state
folder. Both only know descriptors with labels:

    xlchild.DEVICE.INODE.RUN.PID.START     the folder's, and the service's run

A pidfd is sent before the service's program is let go, and dropped when its
end is in the state file. With it the next life asks the kernel how a service ended
that ended while nobody lived.
"""
import os
import socket
import stat
import struct

from .._errors import XlchildError
from ._processes import pidfd_open

__all__ = ["KEEPER", "Keeping"]

KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_keeper")
_SOCKET = "keeper"
_PATIENCE = 2.0  # one that hangs holds nobody up
_FD = struct.Struct("i")
_PACKET = 1024
_FIRST_LISTEN_FD = 3

_inherited = None  # of systemd's, once a process: [(label, fd)]


class _Kept:
    __slots__ = ("pid", "start_time", "fd")

    def __init__(self, pid, start_time, fd):
        self.pid = pid
        self.start_time = start_time
        self.fd = fd


def _of_label(text):
    """(folder's identity, run, pid, start time), or None."""
    words = text.split(".", 3)
    if len(words) < 4 or words[0] != "xlchild":
        return None
    rest = words[3].rsplit(".", 2)
    if len(rest) < 3 or not rest[1].isdigit() or not rest[2].isdigit():
        return None
    pid = int(rest[1])
    return (words[1] + "." + words[2], rest[0], pid, int(rest[2])) \
        if pid > 1 else None


def _take_inherited(identity):
    """What systemd gave to this process for this folder; once."""
    global _inherited
    if _inherited is None:
        _inherited = []
        if os.environ.get("LISTEN_PID") == str(os.getpid()):
            count = int(os.environ.get("LISTEN_FDS") or 0)
            names = (os.environ.get("LISTEN_FDNAMES") or "").split(":")
            for at, name in enumerate(names[:count]):
                if _of_label(name) is not None:
                    os.set_inheritable(_FIRST_LISTEN_FD + at, False)
                    _inherited.append((name, _FIRST_LISTEN_FD + at))
    mine = [one for one in _inherited if _of_label(one[0])[0] == identity]
    _inherited = [one for one in _inherited if one not in mine]
    return mine


def _systemd():
    """Connected to systemd, if it says that it takes some (FDSTORE, its
    release 254)."""
    path = os.environ.get("NOTIFY_SOCKET")
    most = os.environ.get("FDSTORE") or ""
    if not path or not most.isdigit() or int(most) == 0:
        return None
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        made.connect("\0" + path[1:] if path[0] == "@" else path)
        made.settimeout(_PATIENCE)
        return made
    except OSError:
        made.close()
        return None


def _send(to, text, fd=None):
    """Whether that packet went."""
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     _FD.pack(fd))]
    try:
        to.sendmsg([text.encode()], rights, socket.MSG_NOSIGNAL)
        return True
    except OSError:
        return False


def _receive(made):
    """(text, fd or None); ("", None) at its end."""
    data, rights, _, _ = made.recvmsg(_PACKET, socket.CMSG_SPACE(_FD.size),
                                      socket.MSG_CMSG_CLOEXEC)
    for level, kind, what in rights:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS \
                and len(what) == _FD.size:
            return data.decode("utf-8", "replace"), _FD.unpack(what)[0]
    return data.decode("utf-8", "replace"), None


class Keeping:
    """Where the pidfds are; ``place`` is "systemd", "keeper" or None."""

    def __init__(self, folder, context):
        self._folder = folder
        self._context = context
        self._runs = {}
        self._socket = _systemd()
        self.why = None  # nothing is kept
        try:
            for label, fd in _take_inherited(folder.identity):
                self._enter(label, fd)
            if self._socket is not None:
                self.place = "systemd"
                return
            self.place = "keeper"
            self._reach(self._enter)
        except BaseException:
            self.close()
            raise

    # ---- the keeper ----

    def _connect(self):
        """To the keeper in the folder; OSError. What was looked at is what is
        connected to: nothing of another user's, and no link."""
        path = os.open(_SOCKET, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
                       dir_fd=self._folder.fd)
        try:
            about = os.fstat(path)
            if not stat.S_ISSOCK(about.st_mode) \
                    or about.st_uid != os.geteuid() or about.st_mode & 0o022:
                raise PermissionError("not this user's keeper")
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                made.settimeout(_PATIENCE)
                made.connect("/proc/self/fd/%d" % path)
                peer = made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED,
                                       12)
                if struct.unpack("iII", peer)[1] != os.geteuid():
                    raise PermissionError("not this user's keeper")
            except BaseException:
                made.close()
                raise
            return made
        finally:
            os.close(path)

    def _start(self):
        """Another keeper, in place of what is there."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
            os.fchmod(made.fileno(), 0o600)  # its mode before it has a name
            self._folder.unlink(_SOCKET)
            made.bind(self._folder.inside(_SOCKET))
            made.listen(16)
            done = self._context.run(
                ["xlchild-keeper", "keep"], path=KEEPER, search=False,
                fds={3: made.fileno(), 4: self._folder.fd}, env={},
                stdin=-3, stdout=-3, stderr=-3, new_session=True, timeout=10,
                linger_eof=False)
            return done.returncode == 0

    def _ask_all(self, made, enter):
        """Take all that it has; False where it is just about to end."""
        if not _send(made, "list"):
            return False
        while True:
            text, fd = _receive(made)
            if not text or text == "end":
                return text == "end"
            if fd is not None:
                enter(text[len("have "):], fd)

    def _try(self, enter):
        try:
            made = self._connect()
        except OSError as error:
            self.why = str(error)
            return False
        try:
            if self._ask_all(made, enter):
                self._socket = made
                self.why = None
                return True
            self.why = "the keeper does not answer"
        except OSError as error:
            self.why = str(error)
        made.close()
        return False

    def _reach(self, enter):
        if self._try(enter):
            return
        try:
            if self._start():
                self._try(enter)
            else:
                self.why = "the keeper could not be started"
        except (OSError, XlchildError) as error:
            self.why = "the keeper could not be started: %s" % error

    def _enter(self, label, fd):
        words = _of_label(label)
        if words is None or words[0] != self._folder.identity \
                or words[1] in self._runs:
            os.close(fd)
        else:
            self._runs[words[1]] = _Kept(words[2], words[3], fd)

    # ---- saying it ----

    def _label(self, run, kept):
        return "xlchild.%s.%s.%d.%d" % (self._folder.identity, run, kept.pid,
                                        kept.start_time)

    def _say_hold(self, run, kept):
        label = self._label(run, kept)
        if self._socket is None:
            return False
        if self.place == "systemd":
            # a pidfd has hung up once its process is reaped: no reason to
            # close it, as systemd would
            return _send(self._socket, "FDSTORE=1\nFDPOLL=0\nFDNAME=" + label,
                         kept.fd)
        return _send(self._socket, "hold " + label, kept.fd)

    def hold(self, run, pid, start_time, fd=-1):
        """The pidfd of a child that has not been reaped, or a copy of fd;
        whether it is kept."""
        try:
            kept = _Kept(pid, start_time,
                         pidfd_open(pid) if fd < 0 else os.dup(fd))
        except OSError as error:
            self.why = str(error)
            return False
        self._runs[run] = kept
        if self._say_hold(run, kept):
            return True
        return self.revive()

    def drop(self, run):
        """Nobody will ask for it any more."""
        kept = self._runs.pop(run, None)
        if kept is None:
            return
        label = self._label(run, kept)
        os.close(kept.fd)
        if self._socket is not None:
            _send(self._socket, "FDSTOREREMOVE=1\nFDNAME=" + label
                  if self.place == "systemd" else "drop " + label)

    def keep_only(self, runs):
        """Drop what is of no such run, and needed no more."""
        for run in [run for run in self._runs
                    if run.partition("#")[0] not in runs]:
            self.drop(run)

    def find(self, run):
        """(pid, start time, pidfd) or None; the descriptor stays ours."""
        kept = self._runs.get(run)
        return kept and (kept.pid, kept.start_time, kept.fd)

    def runs(self):
        """The names of all that are kept."""
        return list(self._runs)

    def fileno(self):
        """To be polled: readable when the keeper is gone; None: there is
        none."""
        return self._socket.fileno() if self.place == "keeper" \
            and self._socket is not None else None

    def revive(self):
        """Another keeper, with what this one had; whether there is one."""
        if self.place != "keeper":
            return False
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._reach(lambda _, fd: os.close(fd))
        return self._socket is not None and all(
            [self._say_hold(run, kept) for run, kept in self._runs.items()])

    def close(self):
        """Closes what this life has open."""
        for kept in self._runs.values():
            os.close(kept.fd)
        self._runs.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


