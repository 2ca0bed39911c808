"""Reads tests/vectors (the form is described in its README.md)."""
import errno
import os
import re
import resource
import signal

from conftest import CHILD, ROOT, TINY

import xlchild
from xlchild import _libxl

GIVEN = "-"


def rows(name):
    """The rows of a table, as dicts."""
    head, found = None, []
    with open(ROOT / "tests" / "vectors" / name, encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if head is None and line.startswith("# id"):
                head = line[2:].split("\t")
                continue
            if not line or line.startswith("#"):
                continue
            columns = line.split("\t")
            assert len(columns) == len(head), (name, line)
            found.append(dict(zip(head, columns)))
    assert found, name
    return found


_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\", "0": b"\0",
            "s": b" ", "e": b""}


def text(column, places):
    """A text column as bytes, placeholders replaced."""
    long = re.fullmatch(r"@(\d+)(?:\*(.))?", column)
    if long:
        count = int(long.group(1))
        if long.group(2):
            return long.group(2).encode() * count
        alphabet = bytes(range(97, 123))
        return (alphabet * (count // 26 + 1))[:count]
    out = bytearray()
    at = 0
    while at < len(column):
        if column[at] != "\\":
            out += column[at].encode()
            at += 1
        elif column[at + 1] == "x":
            out.append(int(column[at + 2:at + 4], 16))
            at += 4
        else:
            out += _ESCAPES[column[at + 1]]
            at += 2
    done = bytes(out)
    for name, value in places.items():
        done = done.replace(b"{" + name.encode() + b"}", os.fsencode(value))
    return done


def words(column, places):
    """A column of words as a list of bytes."""
    if column in (GIVEN, "\\e", ""):
        return []
    return [text(word, places) for word in column.split(" ")]


def number_of_signal(word):
    """A signal's name or number."""
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    return int(getattr(signal, word))


def places(folder):
    """What the placeholders stand for; folder has its fixtures."""
    return {"child": CHILD, "tiny": TINY, "dir": os.path.realpath(folder),
            "cwd": os.path.realpath(os.getcwd())}


def _limit(word):
    return -1 if word == "inf" else int(word)


def options(settings, where):
    """(argv or None, the extension's dict of members)."""
    argv, found, flags = None, {}, 0
    if settings == GIVEN:
        return argv, found
    for item in settings.split(";"):
        name, value = item.split("=", 1)
        if name == "argv":
            argv = words(value, where)
        elif name in ("path", "cwd", "search_path", "cgroup"):
            found[name] = text(value, where)
        elif name == "env":
            found["env"] = words(value, where)
        elif name == "fds":
            found["fds"] = [
                (int(pair.split(b":")[0]),
                 {b"null": xlchild.FD_NULL, b"closed": xlchild.FD_CLOSED}
                 .get(pair.split(b":")[1]) or int(pair.split(b":")[1]))
                if pair.split(b":")[1] in (b"null", b"closed")
                else tuple(map(int, pair.split(b":")))
                for pair in words(value, where)]
        elif name == "flags":
            for word in value.split(" "):
                flags |= int(word, 0) if word[0].isdigit() \
                    else getattr(_libxl, "LIBXL_SPAWN_" + word)
        elif name == "pdeathsig":
            found[name] = number_of_signal(value)
        elif name in ("group", "uid", "gid", "nice", "ctty_fd",
                      "exited_grace_ms", "on_free"):
            found[name] = int(value)
        elif name == "groups":
            found[name] = [int(word) for word in words(value, where)]
        elif name == "umask":
            found[name] = int(value, 8)
        elif name == "rlimits":
            found[name] = []
            for word in value.split(" "):
                what, soft, hard = word.split(":")
                what = int(what) if re.fullmatch(r"-?\d+", what) \
                    else getattr(resource, "RLIMIT_" + what)
                found[name].append((what, _limit(soft), _limit(hard)))
        elif name in ("sigmask", "sigignore"):
            found[name] = [number_of_signal(word)
                           for word in value.split(" ")]
        elif name == "kill":
            found[name] = policy(value.split(":"))
        else:
            raise AssertionError("no setting is called %s" % name)
    if flags:
        found["flags"] = flags
    return argv, found


def scope_of(word):
    """A KillScope's number, by its name in the tables."""
    scope = getattr(xlchild.KillScope, word.upper(), None)
    return int(word) if scope is None else int(scope)


def policy(three):
    """(signal, milliseconds, scope) of their words."""
    return (number_of_signal(three[0]), int(three[1]), scope_of(three[2]))


def wanted_code(kind, value):
    """The returncode that kind and value mean."""
    if kind == "exit":
        return int(value)
    assert kind == "signal"
    return -number_of_signal(value)


def errno_of(word):
    """An errno by its name."""
    return getattr(errno, word)
