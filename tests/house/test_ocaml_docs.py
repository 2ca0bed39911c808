"""Every public value and exception of OCaml has a comment of its own.

Public are the interfaces of the libraries, xlchild*.mli, and the files of those
modules of theirs that have one: dune keeps the other modules to itself.
"""
import re

import reference
import tree

ITEM = re.compile(r"\s*(?:val|exception)\s+(\w+)")
ANY_ITEM = re.compile(r"\s*(?:val|exception|type|module|include|end)\b")


def opens_comment(line):
    return line.lstrip().startswith("(**")


def undocumented(text):
    """Names of the items of an interface that nothing is said about."""
    lines = text.splitlines() + [""]
    names = []
    for start, line in enumerate(lines):
        match = ITEM.match(line)
        if not match:
            continue
        end = start + 1
        while lines[end].strip() and not opens_comment(lines[end]) \
                and not ANY_ITEM.match(lines[end]):
            end += 1
        before = start - 1
        while before > 0 and lines[before].strip() \
                and not opens_comment(lines[before]):
            before -= 1
        said_before = lines[start - 1].endswith("*)") \
            and opens_comment(lines[before])
        if not opens_comment(lines[end]) and not said_before:
            names.append(match.group(1))
    return names


def test_every_value_is_documented():
    interfaces = [p for p in tree.files()
                  if p.suffix == ".mli" and p.name.startswith("xlchild")]
    assert interfaces
    interfaces += [path for parts in reference.PARTS.values()
                   for _, path in parts]
    wrong = [f"{path}: {name}" for path in interfaces
             for name in undocumented(tree.text(path))]
    assert wrong == []


def test_the_check_sees_what_is_missing():
    text = "val a : int\n(** One. *)\n\nval b :\n  int ->\n  int\n\nval c : int\n"
    assert undocumented(text) == ["b", "c"]
