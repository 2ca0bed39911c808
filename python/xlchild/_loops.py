"""asyncio's own loops, and uvloop's, with children of the library's.

_install.py puts these functions into the loops' classes. Where a program has
replaced what they rest on (subprocess.Popen, the child watcher), its own way
is taken, and _starts.py is told why.
"""
import subprocess

from . import _starts, aio
from ._popen import STOCK
from ._transport import LoopPopen, Transport

__all__ = ["put_into_asyncio", "put_into_uvloop", "take_back"]

# asyncio's own, which wait for the children that asyncio starts
_WATCHERS = ("ThreadedChildWatcher", "PidfdChildWatcher")
_theirs = []  # (class, name, function, ours)


class _TheirPopen(LoopPopen):
    """With Python's own errors."""

    _xl_own = False


class _TheirTransport(Transport):
    _popen_class = _TheirPopen


def _own_watcher(events):
    """A child watcher that the program has chosen, and not aio's."""
    policy = getattr(events, "_event_loop_policy", None)
    watcher = getattr(policy, "_watcher", None)
    if watcher is None or type(watcher).__module__ == aio.__name__:
        return False
    return (type(watcher).__module__ != "asyncio.unix_events"
            or type(watcher).__name__ not in _WATCHERS)


def put_into_asyncio(module):
    """The selector loop's way to make a subprocess transport."""
    loop_class = getattr(module, "_UnixSelectorEventLoop", None)
    theirs = getattr(loop_class, "_make_subprocess_transport", None)
    if theirs is None:
        return

    async def _make_subprocess_transport(self, protocol, args, shell, stdin,
                                         stdout, stderr, bufsize, extra=None,
                                         **kwargs):
        if subprocess.Popen is STOCK and not _own_watcher(module.events):
            return await aio.connected(
                _TheirTransport, self, protocol, args, shell, stdin, stdout,
                stderr, bufsize, extra=extra, **kwargs)
        return await theirs(self, protocol, args, shell, stdin, stdout,
                            stderr, bufsize, extra=extra, **kwargs)

    _put(loop_class, "_make_subprocess_transport", theirs,
         _make_subprocess_transport)


def put_into_uvloop(module):
    """uvloop's loops, whose children libuv starts."""
    loop_class = getattr(module, "Loop", None)
    for name, shell in ("subprocess_exec", False), ("subprocess_shell", True):
        theirs = getattr(loop_class, name, None)
        if theirs is not None:
            _put(loop_class, name, theirs, _uvloop_method(name, theirs, shell))


def _uvloop_method(name, theirs, shell):
    async def method(self, protocol_factory, *args, **options):
        unknown = [key for key in ("shell", "universal_newlines", "bufsize")
                   if options.get(key, False) not in (False, 0)]
        if unknown or options.pop("shell", shell) is not shell:
            return await theirs(self, protocol_factory, *args, **options)
        for key in "universal_newlines", "bufsize":
            options.pop(key, None)
        for key in "stdin", "stdout", "stderr":
            options.setdefault(key, subprocess.PIPE)
        protocol = protocol_factory()
        command = args[0] if shell else args
        return await aio.connected(
            _TheirTransport, self, protocol, command, shell,
            options.pop("stdin"), options.pop("stdout"),
            options.pop("stderr"), 0, **options), protocol

    method.__name__ = name
    return method


def _put(loop_class, name, theirs, ours):
    was = vars(loop_class).get(name)
    setattr(loop_class, name, ours)
    _theirs.append((loop_class, name, was, ours))


def take_back():
    """The loops' own functions again, unless others have replaced ours."""
    while _theirs:
        loop_class, name, was, ours = _theirs.pop()
        if vars(loop_class).get(name) is not ours:
            continue
        if was is None:
            delattr(loop_class, name)
        else:
            setattr(loop_class, name, was)
