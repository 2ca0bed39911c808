"""A file system that takes its time: every execve of this process's children,
and its own, is held until the test says so.

A seccomp filter with a supervisor (Linux 5.5): a thread of this process, as a
Gate, or another process that is given the listener (bench/python/held.py).
A filter stays: use it in a process of its own (see test_nowait_slow.py).
"""
import ctypes
import fcntl
import os
import platform
import struct
import threading

_CALLS = {"x86_64": (317, 59), "aarch64": (277, 221)}  # seccomp, execve
_NEW_LISTENER = 1 << 3
_NOTIFY, _ALLOW = 0x7fc00000, 0x7fff0000
_RECV, _SEND = 0xc0502100, 0xc0182101
_GO_ON = 1
NOT_HERE = 77  # exit status: this machine does not allow it


class Gate:
    """From now on they are held."""

    def __init__(self):
        self._listener = listener()
        self._held = []
        self._change = threading.Condition()
        self._open = False
        threading.Thread(target=self._supervise, daemon=True).start()

    def _supervise(self):
        while True:
            number = held_one(self._listener)
            with self._change:
                self._held.append(number)
                if self._open:
                    self._answer()
                self._change.notify_all()

    def _answer(self):
        for number in self._held:
            go_on(self._listener, number)
        self._held.clear()

    @property
    def held(self):
        """How many are."""
        with self._change:
            return len(self._held)

    def wait_for(self, count):
        """Blocks until so many are held."""
        with self._change:
            if not self._change.wait_for(
                    lambda: len(self._held) >= count, 20):
                raise TimeoutError("%d are held, not %d"
                                   % (len(self._held), count))

    def forget(self):
        """Those that are held have been killed."""
        with self._change:
            self._held.clear()

    def open(self):
        """They go on, and whoever comes does."""
        with self._change:
            self._open = True
            self._answer()


def held_one(fd):
    """Blocks until one is held; its number. fd is the listener's."""
    notice = bytearray(80)
    while True:
        try:
            fcntl.ioctl(fd, _RECV, notice)
        except (FileNotFoundError, InterruptedError):
            continue  # it has been killed meanwhile
        return struct.unpack_from("Q", notice)[0]


def go_on(fd, number):
    """Let that one go, if it still is there."""
    try:
        fcntl.ioctl(fd, _SEND, struct.pack("QqiI", number, 0, 0, _GO_ON))
    except FileNotFoundError:
        pass


def listener():
    """The filter is there from now on: the fd of its supervisor."""
    if platform.machine() not in _CALLS:
        os._exit(NOT_HERE)
    seccomp, execve = _CALLS[platform.machine()]
    steps = b"".join(struct.pack("HBBI", *step) for step in (
        (0x20, 0, 0, 0), (0x15, 0, 1, execve), (0x06, 0, 0, _NOTIFY),
        (0x06, 0, 0, _ALLOW)))
    room = ctypes.create_string_buffer(steps, len(steps))
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(room))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    fd = libc.syscall(ctypes.c_long(seccomp), ctypes.c_ulong(1),
                      ctypes.c_ulong(_NEW_LISTENER), program)
    if fd < 0:
        os._exit(NOT_HERE)
    return fd
