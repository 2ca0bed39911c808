"""Reads the public headers: which functions they declare, and what the
comment before each says. Used by the house checks, no tests of its own."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import tree  # noqa: E402

DECLARATION = re.compile(
    r"(?P<comment>/\*(?:[^*]|\*(?!/))*\*/)\s*\n"
    r"LIBXL_API\s+(?P<prototype>[^;]*?\b(?P<name>libxl_\w+)\s*\([^;]*\))"
    r"\s*LIBXL_SYMBOL\((?P<symbol>\w+)\);")


INLINE = re.compile(
    r"(?P<comment>/\*(?:[^*]|\*(?!/))*\*/)\s*\n"
    r"static inline\s+(?P<prototype>[^;{]*?\b(?P<name>libxl_\w+)\s*\([^;{]*\))"
    r"\s*{")


def declared():
    """Names of all public functions, sorted."""
    return sorted(exported() + inline())


def inline():
    """Those that are compiled into the caller, to pass on its sizes."""
    return [name for _, name, _, _ in documented(INLINE)]


def exported():
    """Names of all functions declared LIBXL_API, sorted."""
    names = []
    for header in tree.public_headers():
        body = tree.text(Path("c/include") / header)
        body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        for match in re.finditer(r"LIBXL_API\s+([^;]*?)\(", body):
            if "define" not in match.group(1):
                names.append(match.group(1).split()[-1].lstrip("*"))
    return sorted(names)


def symbols():
    """What the declared functions are called in object files, sorted."""
    return sorted("xlchild_" + name[len("libxl_"):] for name in exported())


def documented(*forms):
    """(header, name, comment, prototype) of every documented declaration."""
    found = []
    for header in tree.public_headers():
        if header.name == "libxl_compat.h":
            continue
        body = tree.text(Path("c/include") / header)
        for form in forms or (DECLARATION, INLINE):
            for match in form.finditer(body):
                found.append((str(header), match["name"], match["comment"],
                              match["prototype"]))
    return found
