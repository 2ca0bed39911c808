"""What is wrong with a Popen's options, found before anything is made.

Called by _popen.py. What is an error of the system's with subprocess is one of
the same errno here; what subprocess looks up when it has made its pipes, and
then leaves those open, is looked up before.
"""
import codecs
import errno
import os
import subprocess

from ._errors import SpawnError

__all__ = ["LOOKED_UP", "STREAMS", "check", "check_streams", "looked_up",
           "passed", "plain"]

STREAMS = ("stdin", "stdout", "stderr")

LOOKED_UP = frozenset(("user", "group", "extra_groups", "encoding",
                       "errors"))


def check(program, cwd, fds):
    """SpawnError for what no child could be made with. fds: pairs."""
    for _, number in fds:
        if number < 0:
            raise SpawnError("fds", errno.EBADF, "fd %d" % number)
    if cwd in ("", b""):
        raise SpawnError("chdir", errno.ENOENT, cwd)
    if program in ("", b""):
        raise _no_program(program)


def _no_program(program):
    """What the search of an empty name comes to: a folder."""
    found = errno.ENOENT
    for folder in os.get_exec_path():
        if os.path.isdir(folder):
            found = errno.EACCES
    return SpawnError("exec", found, program)


def plain(error):
    """A SpawnError as subprocess would have raised it."""
    plain = OSError(error.errno, os.strerror(error.errno),
                    *[] if error.filename is None else [error.filename])
    plain.stage = error.stage
    return plain


def check_streams(*streams):
    """Each has a fileno where it is no number: subprocess finds that out when
    it has made the pipes for those before."""
    for stream in streams:
        if stream is not None and not isinstance(stream, int):
            stream.fileno()


def passed(numbers):
    """The pairs of pass_fds; twice the same is once."""
    numbers = sorted(set(map(int, numbers)))
    if numbers and (numbers[0] < 0 or numbers[-1] >= 2 ** 31):
        raise ValueError("pass_fds: bad value(s)")
    return [(number, number) for number in numbers if number > 2]


def looked_up(options):
    """The same options with ids for names; KeyError, LookupError, ValueError
    and TypeError as subprocess has them."""
    options = dict(options)
    if options.get("user") is not None:
        options["user"] = _id("user", options["user"], _user)
    if options.get("group") is not None:
        options["group"] = _id("group", options["group"], _group)
    groups = options.get("extra_groups")
    if groups is not None:
        if isinstance(groups, str):
            raise ValueError("extra_groups: a list is wanted, not a string")
        options["extra_groups"] = [_id("extra_groups", one, _group)
                                   for one in groups]
    if subprocess.PIPE in map(options.get, STREAMS):
        _check_text(options.get("encoding"), options.get("errors"))
    return options


def _check_text(encoding, errors):
    for value, name in ((encoding, "encoding"), (errors, "errors")):
        if value and not isinstance(value, str):
            raise TypeError("%s: a string is wanted, not %r" % (name, value))
    if encoding and not codecs.lookup(encoding)._is_text_encoding:
        raise LookupError("%r is not a text encoding" % encoding)


def _id(option, name, find):
    number = find(name) if isinstance(name, str) else name
    if not isinstance(number, int):
        raise TypeError("%s: a name or a number is wanted, not %r"
                        % (option, name))
    if number < 0:
        raise ValueError("%s: %d is negative" % (option, number))
    return number


def _user(name):
    import pwd
    return pwd.getpwnam(name).pw_uid


def _group(name):
    import grp
    return grp.getgrnam(name).gr_gid
