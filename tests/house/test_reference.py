"""The reference is complete: no public name without its words.

Held against the sources, without Sphinx: what `make site` shows is what
scripts/reference.py finds, and names.tsv joins the three languages.
"""
import re

import headers
import reference

FUNCTIONS = list(reference.functions())
PYTHON = list(reference.python())
KNOWN = reference.names()


def test_every_function_of_c_is_there():
    assert sorted(name for _, name, *_ in FUNCTIONS) == headers.declared()


def test_every_function_says_threads_and_errors():
    """Those that say `as ...` lean on another's comment."""
    wrong = [name for _, name, _, summary, parts in FUNCTIONS
             if not summary or not (
                 {"Threads", "Returns"} <= set(parts)
                 or re.search(r"\b[Aa]s libxl_\w+", summary))]
    assert wrong == []


def test_every_member_and_flag_has_words():
    assert len(reference.members()) > 25 and len(reference.flags()) > 15
    assert [name for name, _, words in reference.members() if not words] == []
    assert [name for name, _, words in reference.flags() if not words
            and name[len("LIBXL_SPAWN_"):] not in words] == []


def test_the_table_has_each_name_once():
    wanted = {name for _, name, *_ in FUNCTIONS} \
        | {"spec." + name for name, *_ in reference.members()} \
        | {name for name, *_ in reference.flags()}
    assert set(KNOWN) == wanted


def test_what_the_table_says_of_python_is_there():
    there = set()
    for _, name, _, _, _, methods in PYTHON:
        there.add(name)
        there |= {"%s.%s" % (name, method) for method, *_ in methods}
    options = reference.tree.text("python/xlchild/_spec.py")
    wrong = []
    for python, _, _ in KNOWN.values():
        for each in python.split(", "):
            if each.endswith("="):
                if not re.search(r"\b%s\b" % each[:-1], options):
                    wrong.append(each)
            elif each not in there | {"-", "args"}:
                wrong.append(each)
    assert wrong == []


def test_what_the_table_says_of_ocaml_is_there():
    path = reference.INTERFACES[0]
    there = reference.values(path)
    text = reference.tree.text(path)
    wrong = []
    for _, ocaml, _ in KNOWN.values():
        if ocaml.startswith("?"):
            if "?%s:" % re.match(r"\?(\w+)", ocaml).group(1) not in text:
                wrong.append(ocaml)
            wrong += [c for c in re.findall(r"\b[A-Z]\w+", ocaml)
                      if c not in text]
        elif ocaml not in there | {"-", "program, arguments"}:
            wrong.append(ocaml)
    assert wrong == []


def test_every_name_of_python_has_words():
    assert [(module, name) for module, name, *_ in PYTHON if not _[2]] == []
    assert [(name, method) for _, name, _, _, _, methods in PYTHON
            for method, _, words in methods if not words] == []


def test_the_modules_are_all_there():
    public = {str(p) for p in reference.tree.files()
              if p.parts[:2] == ("python", "xlchild") and p.suffix == ".py"
              and (not p.name.startswith("_") or p.name == "__init__.py")
              and not any(part.startswith("_") for part in p.parts[2:-1])}
    assert public == {path for _, path in reference.MODULES}


def test_the_interfaces_are_all_there():
    public = {str(p) for p in reference.tree.files()
              if p.suffix == ".mli" and p.name.startswith("xlchild")}
    assert public == set(reference.INTERFACES)
    for path in reference.INTERFACES:
        assert reference.values(path) or "include" in \
            reference.tree.text(path), path


def test_no_row_says_nothing_of_the_kernel():
    assert [c for c, row in KNOWN.items() if not row[2]] == []


def test_every_reason_of_a_lost_status_is_in_each_language():
    """C6: one that a language does not know would be no answer there."""
    enum = reference.header("event")
    enum = enum[enum.index("typedef enum libxl_childproc_lost {"):]
    enum = enum[:enum.index("}")]
    wanted = {name for name in re.findall(r"LIBXL_LOST_(\w+)", enum)
              if name != "NONE"}
    python = reference.tree.text("python/xlchild/_enums.py")
    python = python[python.index("class LostReason"):]
    python = python[:python.index("@property")]
    ocaml = reference.tree.text("ocaml/lib/types.ml")
    ocaml = ocaml[ocaml.index("type lost_reason ="):]
    ocaml = ocaml[:ocaml.index("type status")]
    assert len(wanted) > 4
    assert set(re.findall(r"^    (\w+) = \d", python, re.M)) == wanted
    assert {c.upper() for c in re.findall(r"^  \| (\w+)", ocaml, re.M)} \
        == wanted
    page = reference.tree.text("docs/troubleshooting.md")
    assert all("`%s`" % name in page for name in wanted)
