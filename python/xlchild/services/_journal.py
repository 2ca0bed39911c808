"""The state folder: whose it is, and what one life tells the next in it.

Called by _services.py and _turn.py. A folder belongs to one Services at a
time, also within one process, where the system's locks do not tell. The file
is a line of JSON, and one with the checksum of the first:

    {"version": 1, "boot": ..., "services": {NAME: RECORD}, "untold": [END...]}
    sum SHA1
"""
import errno
import fcntl
import hashlib
import json
import os
import time

from .._errors import BusyError
from .._status import Status
from . import _processes
from ._folder import Folder
from ._words import BOOT, End, lost

__all__ = ["Journal", "Record"]

_FILE = "services"
_VERSION = 1
_in_use = set()
# A script that is killed while it starts a child leaves the lock to that child,
# which shares its descriptors until it executes its program.
_sleep = time.sleep
_PATIENCE = 5.0
_LOOK = 0.002


class Record:
    """What is known of a service by its name.

    run, pid, start_time, since, ready, offset: of the process that lives, or
    is thought to; run None: there is none. wanted: it is to run. last: the
    End that was told last."""

    __slots__ = ("run", "pid", "start_time", "since", "ready", "offset",
                 "wanted", "last", "cause")

    def __init__(self):
        self.last = None
        self.wanted = False
        self.clear()

    def clear(self):
        """Nothing lives."""
        self.run = None
        self.pid = self.start_time = self.since = self.offset = 0
        self.ready = False
        self.cause = "itself"

    def as_json(self):
        """For the file."""
        made = {name: getattr(self, name) for name in self.__slots__}
        made["last"] = self.last and end_as_json(self.last)
        return made

    @classmethod
    def of_json(cls, made):
        """From the file; ValueError and the like where it is none."""
        record = cls()
        for name in cls.__slots__:
            setattr(record, name, made[name])
        if record.run is not None:
            if not (isinstance(record.run, str) and record.pid > 1
                    and record.start_time >= 0 and record.offset >= 0):
                raise ValueError("a record")
        record.last = record.last and end_of_json(record.last)
        return record


def end_as_json(end):
    """For the file."""
    reason = end.status.lost
    return {"name": end.name, "run": end.run, "pid": end.pid,
            "raw": end.status.raw, "lost": reason and int(reason),
            "source": int(end.status.source), "why": end.why,
            "cause": end.cause, "at": end.at}


def end_of_json(made):
    """From the file."""
    status = Status((0, int(made["pid"]), int(made["raw"] or 0),
                     int(made["lost"] or 0), int(made["source"]), None))
    return End(made["name"], made["run"], int(made["pid"]), status,
               made["why"], made["cause"], float(made["at"]))


def _parsed(data):
    """(boot, records, untold), or a ValueError in words."""
    body, _, line = data.partition(b"\n")
    if line != b"sum %s\n" % hashlib.sha1(body).hexdigest().encode():
        raise ValueError("it is damaged")
    made = json.loads(body)
    if made.get("version") != _VERSION:
        raise ValueError("another version wrote it")
    try:
        return (made["boot"],
                {name: Record.of_json(one)
                 for name, one in made["services"].items()},
                [end_of_json(one) for one in made["untold"]])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError("it holds what this version cannot read") from None


class Journal:
    """The folder, locked."""

    def __init__(self, path):
        self.folder = Folder(path)
        self._lock = -1
        self._mine = False
        self._boot = _processes.boot()
        self.records = {}
        self.untold = []  # ends of which nobody may have been told
        try:
            self._claim()
        except BaseException:
            self.close()
            raise

    def _claim(self):
        words = "Services: %s is in use by another Services" % self.folder.path
        if self.folder.identity in _in_use:
            raise BusyError(words + " of this process")
        _in_use.add(self.folder.identity)
        self._mine = True
        self._lock = self.folder.open("lock", os.O_RDWR | os.O_CREAT)
        until = time.monotonic() + _PATIENCE
        while not self._locked():
            pid = self._owner()
            if pid is None or os.path.exists("/proc/%d" % pid) \
                    or time.monotonic() >= until:
                raise BusyError(words + ("" if pid is None else
                                         ", that of process %d" % pid))
            _sleep(_LOOK)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def _locked(self):
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            return False

    def _owner(self):
        """Who had it last, by what that wrote."""
        pid = os.pread(self._lock, 32, 0).partition(b"\n")[0]
        return int(pid) if pid.isdigit() else None

    def close(self):
        """Another one may have the folder."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
        if self._mine:
            _in_use.discard(self.folder.identity)
            self._mine = False
        self.folder.close()

    def save(self):
        """OSError where it cannot be; the file of before is there then."""
        if not self.folder.is_there():
            raise FileNotFoundError(errno.ENOENT, "the folder was moved away",
                                    self.folder.path)
        body = json.dumps({
            "version": _VERSION, "boot": self._boot,
            "services": {name: record.as_json()
                         for name, record in self.records.items()},
            "untold": [end_as_json(end) for end in self.untold],
        }).encode()
        self.folder.replace(_FILE, b"%s\nsum %s\n" % (
            body, hashlib.sha1(body).hexdigest().encode()))

    # ---- what the previous life left ----

    def load(self, keeping):
        """Read the file. The reason in words where it could not tell; and
        further Records by name, of runs before the last one of a service, of
        which nobody may have been told."""
        others = []
        try:
            boot, self.records, self.untold = _parsed(self.folder.read(_FILE))
            reason = None
        except (ValueError, OSError) as error:
            boot = self._boot
            reason = None if isinstance(error, FileNotFoundError) \
                else str(error)
            others = self._found(keeping)
        if boot != self._boot:
            self._all_lost()
        return reason, others

    def _found(self, keeping):
        """The file does not tell: whose pidfd is kept, and who has a mark."""
        seen = {run: keeping.find(run)[:2] for run in keeping.runs()
                if "#" not in run}
        marked = _processes.find(self.folder.identity)
        seen.update(marked)
        others = []
        for run, (pid, start_time) in sorted(
                seen.items(), key=lambda item: (item[0] in marked,
                                                item[1][1])):
            record = Record()
            record.run, record.pid, record.start_time = run, pid, start_time
            record.since = time.time()
            record.wanted = True
            name = run.partition("~")[0]
            if name in self.records:
                others.append((name, self.records[name]))
            self.records[name] = record
        return others

    def _all_lost(self):
        for name, record in self.records.items():
            if record.run is not None:
                end = End(name, record.run, record.pid,
                          *lost(record.pid, BOOT))
                record.clear()
                record.last = end
                self.untold.append(end)
