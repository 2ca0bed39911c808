"""Processes as /proc shows them.

Called by _journal.py, where neither the state file nor a kept pidfd tells what
lives, and by _turn.py for what an ended service left in its group.
"""
import os
import signal

__all__ = ["VARIABLE", "boot", "find", "in_group", "kill", "mark",
           "pidfd_open", "start_time", "title"]

VARIABLE = "XLCHILD_SERVICE"
_EXITING = 4  # the kernel's PF_EXITING


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def boot():
    """Names this boot of the machine and this pid namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = "pid"
    return "%s,%s" % (_read("/proc/sys/kernel/random/boot_id")
                      .decode().strip(), namespace)


def mark(folder, run):
    """The variable's value, by which a run is found again. run has the
    service's name."""
    return "%s/%s" % (folder, run)


def _mark_of(pid):
    given = VARIABLE.encode() + b"="
    for text in _read("/proc/%d/environ" % pid).split(b"\0"):
        if text.startswith(given):
            return text[len(given):].decode("utf-8", "replace")
    return None


def _fields(pid):
    """What stat says after the name, which may hold blanks and brackets."""
    return _read("/proc/%d/stat" % pid).rpartition(b")")[2].split()


def start_time(pid):
    """In clock ticks after boot; 0 where nobody tells."""
    fields = _fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def title(pid):
    """The words of its command line; None where there are none."""
    data = _read("/proc/%d/cmdline" % pid)
    return data.split(b"\0") if data else None


def _all():
    return [int(name) for name in os.listdir("/proc")
            if name.isdigit() and int(name) > 1 and int(name) != os.getpid()]


def find(folder):
    """{run: (pid, start time)} of the leaders that were started with such a
    mark."""
    found = {}
    for pid in _all():
        before = _fields(pid)
        marked = _mark_of(pid) if len(before) > 19 else None
        if marked is None or not marked.startswith(folder + "/"):
            continue
        # the pid may be another process's between two looks
        if int(before[2]) == pid and start_time(pid) == int(before[19]):
            found[marked.partition("/")[2]] = (pid, int(before[19]))
    return found


def in_group(group, marked):
    """Who lives in a process group: ([(pid, start time)] of those with this
    mark, how many others, whether one of those is ending, and so has no mark
    any more)."""
    found, others, leaving = [], 0, False
    for pid in _all():
        fields = _fields(pid)
        if len(fields) < 20 or int(fields[2]) != group \
                or fields[0] in (b"Z", b"X"):
            continue
        if _mark_of(pid) == marked:
            found.append((pid, int(fields[19])))
        else:  # its memory and its mark go before its files and locks
            others += 1
            leaving = leaving or bool(int(fields[6]) & _EXITING)
    return found, others, leaving


def pidfd_open(pid):
    """A pidfd; OSError where the kernel gives none."""
    if pid <= 1:
        raise ValueError("a process id is above 1")
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    import ctypes  # before Python 3.9
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(434, pid, 0)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def kill(pid, since):
    """SIGKILL to this process, and never to another one with its number."""
    try:
        fd = pidfd_open(pid)
    except OSError:
        return
    try:
        if start_time(pid) == since and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(fd)
