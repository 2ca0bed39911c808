"""A Popen's options, as the library has them.

Called by _popen.py and _quick.py. Whether this Python's subprocess hands over
what is known here is found out once (KNOWN).
"""
import os

from . import _libxl
from ._cooperative import stock_popen
from ._spec import SPAWN_OPTIONS, spec_options

__all__ = ["AS_POPEN", "FLAGS_AS_IS", "KNOWN", "OWN", "PLAIN", "STOCK",
           "add_environment", "add_more", "add_natives", "argv_of",
           "natives_of"]

# What every Python hands to _execute_child first, and what newer ones add.
_FIRST = (
    "args", "executable", "preexec_fn", "close_fds", "pass_fds", "cwd",
    "env", "startupinfo", "creationflags", "shell", "p2cread", "p2cwrite",
    "c2pread", "c2pwrite", "errread", "errwrite", "restore_signals")
_MORE = {"gid": None, "gids": None, "uid": None, "umask": -1,
         "start_new_session": False, "process_group": -1}


STOCK = stock_popen()


def _names():
    """The parameters of _execute_child in this Python, in order."""
    code = STOCK._execute_child.__code__
    return code.co_varnames[1:code.co_argcount]


_LAST = _names()[len(_FIRST):]
# another order, or a parameter that is unknown here: this Python is left alone
KNOWN = _names()[:len(_FIRST)] == _FIRST and _MORE.keys() >= set(_LAST)
PLAIN = tuple(map(_MORE.get, _LAST))

FLAGS_AS_IS = (_libxl.LIBXL_SPAWN_SEARCH_PATH
                | _libxl.LIBXL_SPAWN_KEEP_SIGMASK
                | _libxl.LIBXL_SPAWN_KEEP_SIGIGN)
AS_POPEN = FLAGS_AS_IS | _libxl.LIBXL_SPAWN_RESTORE_SIGPIPE


def _own_options():
    """Those of Context.spawn that subprocess's Popen does not have."""
    code = STOCK.__init__.__code__
    return SPAWN_OPTIONS.difference(
        code.co_varnames[:code.co_argcount + code.co_kwonlyargcount],
        ("search",))


OWN = _own_options()


def argv_of(args, shell, executable):
    """The arguments as a list, as subprocess makes it."""
    if isinstance(args, (str, bytes)):
        args = [args]
    elif isinstance(args, os.PathLike):
        if shell:
            raise TypeError("path-like args is not allowed when shell is "
                            "true")
        args = [args]
    else:
        args = list(args)
    if shell:
        args = [executable or "/bin/sh", "-c"] + args
    if not args:
        if executable is None:
            raise IndexError("args is empty: list index out of range")
        args = [""]  # what the kernel makes of none
    return args


def add_environment(options, env, program):
    """The child's environment, in whose PATH the program is searched."""
    options["env"] = env
    if b"/" not in os.fsencode(program):
        options["search_path"] = os.pathsep.join(
            os.fsdecode(p) for p in os.get_exec_path(env))


def add_more(options, values):
    """Ids, umask, session and group: what is hardly ever given."""
    a = dict(_MORE, **dict(zip(_LAST, values)))
    flags = options["flags"]
    if a["start_new_session"]:
        flags |= _libxl.LIBXL_SPAWN_NEW_SESSION
    if a["process_group"] == 0:
        flags |= _libxl.LIBXL_SPAWN_NEW_GROUP
    elif a["process_group"] > 0:
        flags |= _libxl.LIBXL_SPAWN_JOIN_GROUP
        options["group"] = a["process_group"]
    for name, key in (("gid", "gid"), ("uid", "uid"), ("gids", "groups")):
        if a[name] is not None:
            options[key] = a[name]
    if a["gids"] is None and not (a["uid"] is None and a["gid"] is None):
        flags |= _libxl.LIBXL_SPAWN_KEEP_GROUPS  # as subprocess
    if a["umask"] >= 0:
        options["umask"] = a["umask"] & 0o777
    options["flags"] = flags


def natives_of(options):
    """The options of ours among Popen's, taken out of them."""
    ours = {name: options.pop(name) for name in OWN.intersection(options)}
    if options.get("preexec_fn") is not None:
        raise ValueError("%s is not possible with preexec_fn"
                         % sorted(ours)[0])
    for name, here in (("path", "executable"), ("uid", "user"),
                       ("gid", "group"), ("groups", "extra_groups")):
        if ours.get(name) is not None and options.get(here) is not None:
            raise ValueError("%s and %s may not both be used" % (name, here))
    if ours.get("path") is not None:
        options["executable"] = ours.pop("path")
    return spec_options(search=False, **ours)


def add_natives(options, natives):
    """Those of natives_of among what Popen itself makes."""
    flags = options["flags"] | natives["flags"]
    if natives["flags"] & _libxl.LIBXL_SPAWN_KEEP_GROUPS == 0 \
            and "groups" in natives:
        flags &= ~_libxl.LIBXL_SPAWN_KEEP_GROUPS
    elif "uid" in natives or "gid" in natives:
        flags |= _libxl.LIBXL_SPAWN_KEEP_GROUPS  # as subprocess
    if "sigmask" in natives:
        flags &= ~_libxl.LIBXL_SPAWN_KEEP_SIGMASK
    if "sigignore" in natives:
        flags &= ~_libxl.LIBXL_SPAWN_KEEP_SIGIGN
    fds = dict(options.get("fds", ()))
    fds.update(natives.get("fds", ()))
    options.update(natives, flags=flags)
    if fds:
        options["fds"] = list(fds.items())
