#!/usr/bin/python3
"""The reference: every public name of the three languages, out of its source.

Reads the C headers' comments, Python's docstrings (without importing anything)
and the comments of the .mli files, and joins them by docs/reference/names.tsv.
Called by scripts/make_site.py, which makes pages of it, and by
tests/house/test_reference.py, which fails where something is missing.
"""
import ast
import re
import sys
from pathlib import Path

import tree

NAMES = Path("docs/reference/names.tsv")
HEADERS = ("ctx", "treaty", "childproc", "exec", "family", "account", "event",
           "osevent")
MODULES = (("xlchild", "python/xlchild/__init__.py"),
           ("xlchild.aio", "python/xlchild/aio.py"),
           ("xlchild.trio", "python/xlchild/trio.py"),
           ("xlchild.anyio", "python/xlchild/anyio.py"),
           ("xlchild.under", "python/xlchild/under.py"),
           ("xlchild.pool", "python/xlchild/pool/__init__.py"),
           ("xlchild.services", "python/xlchild/services/__init__.py"),
           ("xlchild.cli", "python/xlchild/cli/__init__.py"))
INTERFACES = ("ocaml/lib/xlchild.mli", "ocaml/lwt/xlchild_lwt.mli",
              "ocaml/eio/xlchild_eio.mli",
              "ocaml/supervisor/xlchild_supervisor.mli",
              "ocaml/forkhelpers/xlchild_forkhelpers.mli",
              "ocaml/forkhelpers_mtime/xlchild_forkhelpers_mtime.mli",
              "ocaml/syslog/xlchild_syslog.mli")
PARTS = {"ocaml/lib/xlchild.mli": (("Family", "ocaml/lib/family_type.ml"),
                                   ("Child", "ocaml/lib/child_type.ml"),
                                   ("Account", "ocaml/lib/account.mli"),
                                   ("Fd_map", "ocaml/lib/fd_map.mli"),
                                   ("Environment", "ocaml/lib/environment.mli"),
                                   ("Rlimit", "ocaml/lib/limits.mli"),
                                   ("", "ocaml/lib/show.mli"))}
LABELS = ("Before", "Effects", "Owns", "Calls", "Threads", "Signals", "Fork",
          "Returns")
_FUNCTION = re.compile(
    r"/\*(?P<comment>(?:[^*]|\*(?!/))*)\*/\s*\n(?:LIBXL_API|static inline)\s+"
    r"(?P<prototype>[^;{]*?\b(?P<name>libxl_\w+)\s*\([^;{]*\))")
_TYPE = re.compile(
    r"(?P<comment>/\*(?:[^*]|\*(?!/))*\*/\s*\n)?"
    r"typedef (?P<body>(?:enum|struct)[^;]*?{.*?^})\s*(?P<name>libxl_\w+);",
    re.M | re.S)
_MEMBER = re.compile(
    r"^    (?P<type>[A-Za-z_][\w ]*?[ *]+)(?P<name>\w+);"
    r"[ \t]*(?:/\*(?P<words>.*?)\*/)?$", re.M | re.S)
_HOOK = re.compile(r"^    (?P<type>\w+ \(\*(?P<name>\w+)\)\(.*?\));", re.M)
_FLAG = re.compile(
    r"#define (?P<name>LIBXL_SPAWN_\w+) \(1u << (?P<bit>\d+)\)"
    r"[ \t]*(?:/\*(?P<words>.*?)\*/)?$", re.M | re.S)


def names():
    """C name -> (Python's, OCaml's, kernel)."""
    found = {}
    for line in tree.text(NAMES).splitlines():
        if line and not line.startswith("#"):
            c, *others = line.split("\t")
            if c in found or len(others) != 3:
                raise ValueError("%s: %r" % (NAMES, line))
            found[c] = tuple(others)
    return found


# ---- C ------------------------------------------------------------------------


def _plain(comment):
    """A comment without its stars."""
    lines = [re.sub(r"^\s*\*? ?", "", line, count=1)
             for line in comment.splitlines()]
    return "\n".join(line.rstrip() for line in lines).strip()


def header(name):
    """The text of a public header."""
    return tree.text("c/include/xlchild/%s.h" % name)


def sections(comment):
    """(summary, {label: text}) of a function's comment."""
    text = _plain(comment)
    parts = re.split(r"\b(%s):\s" % "|".join(LABELS), text)
    summary = re.sub(r"^libxl_\w+ - ", "", parts[0].strip())
    return summary, dict(zip(parts[1::2],
                             (part.strip() for part in parts[2::2])))


def functions():
    """(header, name, prototype, summary, {label: text}) of each."""
    for each in HEADERS:
        for match in _FUNCTION.finditer(header(each)):
            prototype = match["prototype"].partition("LIBXL_SYMBOL")[0]
            yield (each, match["name"], " ".join(prototype.split()),
                   *sections(match["comment"]))


def types():
    """(header, name, definition, words before it) of enums and structs."""
    for each in HEADERS:
        for match in _TYPE.finditer(header(each)):
            words = match["comment"] or ""
            yield (each, match["name"], "typedef %s %s;" % (
                match["body"], match["name"]),
                _plain(words.strip()[2:-2]) if words else "")


def members():
    """(name, type, words) of libxl_childproc_spec's members."""
    text = header("childproc")
    body = text[text.index("typedef struct libxl_childproc_spec {"):]
    body = body[:body.index("} libxl_childproc_spec;")]
    found = [(m.start(), m["name"], m["type"].strip(),
              " ".join((m["words"] or "").split()))
             for m in _MEMBER.finditer(body)]
    for match in _HOOK.finditer(body):
        before = body[:match.start()].rstrip()
        words = before[before.rindex("/*") + 2:-2] \
            if before.endswith("*/") else ""
        found.append((match.start(), match["name"], match["type"],
                      " ".join(_plain(words).split())))
    return [row[1:] for row in sorted(found)]


def flags():
    """(name, bit, words) of the flags of a spec."""
    return [(m["name"], int(m["bit"]), " ".join((m["words"] or "").split()))
            for m in _FLAG.finditer(header("childproc"))]


# ---- Python -------------------------------------------------------------------


def _all(tree_):
    for node in tree_.body:
        if isinstance(node, ast.Assign) and any(
                getattr(t, "id", "") == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


def _signature(node):
    skip = 1 if node.args.args[:1] and node.args.args[0].arg in (
        "self", "cls") else 0
    arguments = node.args
    arguments.args = arguments.args[skip:]
    return "(%s)" % ast.unparse(arguments)


def _in(path):
    """The same of one module: its own name goes before another's."""
    return {node.name: node for node in ast.parse(tree.text(path)).body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef,
                                 ast.AsyncFunctionDef))}


def _definitions(folder):
    """Top-level name -> node, of the modules in a folder."""
    found = {}
    for path in tree.files():
        if path.parent == folder and path.suffix == ".py":
            for node in ast.parse(tree.text(path)).body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef,
                                     ast.AsyncFunctionDef)):
                    found.setdefault(node.name, node)
                elif isinstance(node, ast.Assign):
                    for target in node.targets:
                        if isinstance(target, ast.Name):
                            found.setdefault(target.id, node)
                        elif isinstance(target, ast.Attribute) \
                                and target.attr == "__doc__":
                            found[target.value.id + ".__doc__"] = node
    return found


def _of_value(name, node, known):
    """What is said of a value: its own words, or its class's."""
    said = known.get(name + ".__doc__")
    if said is not None:
        return ast.literal_eval(said.value)
    made = getattr(getattr(node, "value", None), "func", None)
    of = known.get(getattr(made, "id", ""))
    if of is not None:
        return ast.get_docstring(of)
    return "The constant %s." % (ast.unparse(node.value) if node else name)


# classes whose methods lie in several files: each part is a base
CLASSES = {"Context": ("Events", "Operations")}


def _methods(node, known):
    """(name, signature, docstring) of a class's public ones."""
    parts = [node] + [known[part] for part in CLASSES.get(node.name, ())]
    for each in (each for part in parts for each in part.body):
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) \
                and not each.name.startswith("_"):
            yield each.name, _signature(each), ast.get_docstring(each)


def python():
    """(module, name, kind, signature, docstring, methods) of each public name.

    kind: class, function, value; or "theirs" for what subprocess has.
    """
    for module, path in MODULES:
        source = ast.parse(tree.text(path))
        known = dict(_definitions(Path(path).parent),
                     **_in(path))
        theirs = {alias.name for node in source.body
                  if isinstance(node, ast.ImportFrom)
                  and node.module == "subprocess" for alias in node.names}
        for name in sorted(_all(source)):
            node = known.get(name)
            if name in theirs:
                yield module, name, "theirs", "", "As in subprocess.", []
            elif isinstance(node, ast.ClassDef):
                yield (module, name, "class", "",
                       ast.get_docstring(node), list(_methods(node, known)))
            elif isinstance(node, ast.Assign) or node is None:
                yield module, name, "value", "", _of_value(
                    name, node, known), []
            else:
                yield (module, name, "function", _signature(node),
                       ast.get_docstring(node), [])


# ---- OCaml --------------------------------------------------------------------


def interface(path):
    """(module path, declaration, comment) of each item of an .mli, and of its
    modules that have files of their own."""
    return _items(path) + [
        [".".join(filter(None, (module, inside))), *rest]
        for module, part in PARTS.get(path, ())
        for inside, *rest in _items(part)]


def _items(path):
    """Those of one file."""
    text = tree.text(path)
    inside = []
    before = None
    place = text.index("*)") + 2
    pattern = re.compile(
        r"\(\*\*(?P<comment>(?:[^*]|\*(?!\)))*)\*\)|(?P<open>^ *module (?P<name>"
        r"\w+) : sig)|(?P<end>^ *end\b)|(?P<item>^ *(?:val|exception|type|"
        r"external|module type)\b(?:(?!^ *(?:val|exception|type|module|end|"
        r"external)\b|^\s*$|^ *\(\*\*)(?:.|\n))*)", re.M)
    items = []
    while True:
        match = pattern.search(text, place)
        if match is None:
            break
        place = match.end()
        if match["open"]:
            inside.append(match["name"])
            items.append([".".join(inside[:-1]), "module " + match["name"],
                          before or ""])
            before = None
        elif match["end"]:
            inside = inside[:-1]
        elif match["item"]:
            items.append([".".join(inside), match["item"].strip(), before or ""])
            before = None
        else:
            words = " ".join(match["comment"].split())
            if re.match(r"\{\d", words):
                continue  # a heading
            gap = text[:match.start()].rsplit("\n", 2)
            if items and not items[-1][2] and gap[-2].strip():
                items[-1][2] = words
            else:
                before = words
    return items


def values(path):
    """The names of an .mli's values, with their modules' in front."""
    found = set()
    for module, declaration, _ in interface(path):
        match = re.match(r"(?:val|exception|type)\s+(?:\([^)]*\)\s+|'\w+\s+)?"
                         r"(\w+)", declaration)
        if match:
            found.add((module + "." if module else "") + match.group(1))
    return found


if __name__ == "__main__":
    for row in python():
        print(row[0], row[1], row[2])
    for row in members():
        print(row)
    sys.exit(0)
