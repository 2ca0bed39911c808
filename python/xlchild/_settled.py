"""settle(): a child that has just been started shows its program in /proc.

Called by _popen.py, when somebody asks for a pid for the first time. A start
is over when the kernel has given the child's memory up: a moment later it puts
the program's own in its place, and only then do cmdline, comm and environ tell
of it. Whoever has the number may be about to look.
"""
import os
import time

__all__ = ["settle"]

_LIMIT = 0.02  # seconds; a busy machine may keep it waiting for longer


def _first_byte(path):
    """Of a file of /proc's; None: it is not to be had."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    room = bytearray(1)
    try:
        # readv: some put a read that waits in the place of os.read
        return room[:os.readv(fd, [room])]
    except OSError:
        return None
    finally:
        os.close(fd)


def _has_ended(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in b"ZX"
    except OSError:
        return True


def settle(pid):
    """Return when /proc/PID tells of the program; or it has ended, or there
    is no /proc, or a few milliseconds have gone by."""
    path = "/proc/%d/cmdline" % pid
    end = None
    while True:
        first = _first_byte(path)
        if first is None or first or _has_ended(pid):
            return
        now = time.monotonic()
        if end is None:
            end = now + _LIMIT
        elif now > end:
            return
        os.sched_yield()
