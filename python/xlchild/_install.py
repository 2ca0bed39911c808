"""install(): this process's subprocess and asyncio start through the library.

The ways of _popen.py are put into the class subprocess.Popen itself, so that
it is the same class as before: for subclasses, isinstance, and whoever has
imported it or puts something else in the place of its name. What starts with
it (run, check_output, os.popen …) is left alone. asyncio's loops get another
way to make a transport (_loops.py); _starts.py counts.
"""
import _posixsubprocess
import os
import sys
import threading

from . import _later, _starts
from ._popen import REPLACED, STOCK, Ways

__all__ = ["install", "uninstall"]

_START = "_execute_child"
_lock = threading.RLock()
_installed = False
_theirs = {}  # of subprocess.Popen: what is replaced
_NOTHING = object()  # there was none


class _ForkExec:
    """_posixsubprocess.fork_exec, which counts. No function: one that is kept
    in a class would become a method."""

    def __init__(self, function):
        self._xl_instead_of = function
        self.__doc__ = function.__doc__

    def __call__(self, *args):
        _starts.fork_exec_by_hand()
        return self._xl_instead_of(*args)


def _put(names):
    for name, thing in vars(Ways).items():
        if name.startswith("_xl_"):  # for good: a start may be under way
            setattr(STOCK, name, thing)
    for name in names:
        if name not in _theirs:
            _theirs[name] = vars(STOCK).get(name, _NOTHING)
            setattr(STOCK, name, vars(Ways)[name])


def _take_back(names):
    """But what others have put there stays."""
    for name in names:
        before = _theirs.pop(name, None)
        if before is None or vars(STOCK).get(name) is not vars(Ways)[name]:
            continue
        if before is _NOTHING:
            delattr(STOCK, name)
        else:
            setattr(STOCK, name, before)


def install():
    """Have the program's own subprocess and asyncio start through xlchild.

    From now on, in this process: subprocess (all of it, and os.popen),
    asyncio's create_subprocess_* and its loops' subprocess_*, uvloop's too.
    They behave as before, except that statuses are the kernel's. True if it
    was not in force already: twice is the same as once. Any thread may call
    it, and children that live are not disturbed; a forked child inherits it.

    >>> import subprocess, xlchild
    >>> xlchild.install(), xlchild.install()
    (True, False)
    >>> subprocess.run(["echo", "hello"], capture_output=True).stdout
    b'hello\\n'
    >>> xlchild.uninstall()
    True
    """
    global _installed
    with _lock:
        if _installed:
            return False
        _installed = True
        _starts.late[0] = _starts.emptied[0] = None
        _put(REPLACED)
        _put_fork_exec()
        _starts.listen(True)
        for name, function in _MODULES.items():
            _later.when_imported(name, function)
    return True


def uninstall():
    """Undo install(): later children are started as Python does it.

    Those that live go on, and are waited for as they were started. True if
    install() was in force; False, and nothing else, if it was not. What
    report() has counted stays.

    >>> import subprocess, xlchild
    >>> xlchild.uninstall()
    False
    >>> installed = xlchild.install()
    >>> child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    >>> xlchild.uninstall()
    True
    >>> child.stdin.close()
    >>> child.wait()
    0
    """
    global _installed
    with _lock:
        if not _installed:
            return False
        _installed = False
        _later.forget()
        _starts.listen(False)
        _take_back_fork_exec()
        _take_back([_START])
        loops = sys.modules.get("xlchild._loops")
        if loops is not None:
            loops.take_back()
        _starts.emptied[0], _starts.late[0] = _nobody_left, _one_more
        if not _starts.held:
            _nobody_left()
    return True


def _one_more():
    """Another thread was in a start while uninstall() took the ways back."""
    with _lock:
        if not _installed:
            _put([name for name in REPLACED if name != _START])
            _starts.emptied[0] = _nobody_left


def _nobody_left():
    """The last child that was started through the library is known."""
    with _lock:
        if not _installed and not _starts.held:
            _starts.emptied[0] = None
            _take_back(list(_theirs))


def _put_fork_exec():
    if not isinstance(_posixsubprocess.fork_exec, _ForkExec):
        _posixsubprocess.fork_exec = _ForkExec(_posixsubprocess.fork_exec)


def _take_back_fork_exec():
    if isinstance(_posixsubprocess.fork_exec, _ForkExec):
        _posixsubprocess.fork_exec = _posixsubprocess.fork_exec._xl_instead_of


def _asyncio(module):
    from . import _loops
    _loops.put_into_asyncio(module)


def _uvloop(module):
    from . import _loops
    _loops.put_into_uvloop(module)


_MODULES = {"asyncio.unix_events": _asyncio, "uvloop": _uvloop}


def _in_a_forked_child():
    global _lock
    _lock = threading.RLock()  # its owner may be gone


os.register_at_fork(after_in_child=_in_a_forked_child)
