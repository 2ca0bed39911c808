"""The tree as a reader finds it: nothing generated, nothing of the machine
it was written on, a comment at the head of every file."""
import re
import stat
import subprocess
from pathlib import Path

import tree

TEXT = {".c", ".h", ".py", ".pyi", ".ml", ".mli", ".mk", ".md", ".sh", ".i",
        ".swg", ".tsv", ".txt", ".toml", ".cfg", ".opam", ".allow", ".map",
        ".in", ".3", ".7", ""}
GENERATED = re.compile(
    r"(\.(o|so|a|pyc|cmx|cmo|cmi|cma|cmxa|d|gcda|gcno|log)$|_wrap\.c$|"
    r"(^|/)(build|_build|__pycache__)/)")


def texts():
    for path in tree.files():
        if path.suffix in TEXT and not (tree.ROOT / path).is_symlink():
            yield path, tree.text(path)


def test_nothing_generated_is_kept():
    assert [str(p) for p in tree.files() if GENERATED.search(str(p))] == []


def test_no_paths_of_the_machine_it_was_written_on():
    # (the parts are put together here so that this file passes itself)
    path = re.compile("/" + r"(?:work|root|home/\w+|Users)/[\w.]")
    wrong = [f"{p}:{n}: {line.strip()}" for p, body in texts()
             for n, line in enumerate(body.splitlines(), 1)
             if path.search(line)]
    assert wrong == []


def test_every_source_says_what_it_is_for():
    head = {".c": r"/\* ", ".h": r"/\* ", ".py": r'(#!.*\n)?(#.*\n)*r?"""',
            ".ml": r"(#!.*\n)?\(\*", ".mli": r"\(\*", ".mk": r"# ",
            ".sh": r"(#!.*\n)?# ", ".i": r"(/\*|//|%module|%{)",
            ".swg": r"(/\*|//)"}
    wrong = [str(p) for p, body in texts()
             if p.suffix in head and body
             and not re.match(head[p.suffix], body)]
    assert wrong == []


def test_c_lines_fit_in_80_columns_and_have_no_tabs():
    wrong = [f"{p}:{n}" for p, body in texts()
             if p.suffix in (".c", ".h") and p.parts[0] in ("c", "tests")
             for n, line in enumerate(body.splitlines(), 1)
             if len(line) > 80 or "\t" in line]
    assert wrong == []


def test_no_trailing_blanks_and_a_last_newline():
    wrong = [f"{p}" for p, body in texts()
             if p.suffix not in (".tsv", ".md")
             and (re.search(r"[ \t]+$", body, flags=re.M)
                  or (body and not body.endswith("\n")))]
    assert wrong == []


def test_shared_swig_file_has_no_language_conditionals():
    body = tree.text("bindings/libxl.i")
    assert re.findall(r"#\s*(?:el)?if.*SWIG(?:PYTHON|OCAML|PERL|RUBY|LUA|TCL)",
                      body) == []
    assert "%module" in body


def test_scripts_can_be_run():
    wrong = [str(p) for p, body in texts()
             if body.startswith("#!") and p.suffix not in (".py", ".ml")
             and not (tree.ROOT / p).stat().st_mode & stat.S_IXUSR]
    assert wrong == []


def test_shell_scripts_parse():
    scripts = [p for p, body in texts()
               if re.match(r"#!/bin/sh\b", body)]
    assert scripts, "there are shell scripts"
    for path in scripts:
        answer = subprocess.run(["sh", "-n", str(tree.ROOT / path)],
                                stderr=subprocess.PIPE, text=True)
        assert answer.returncode == 0, answer.stderr


def test_one_version_everywhere():
    makefile = re.search(r"^VERSION := (\S+)", tree.text("Makefile"),
                         flags=re.M).group(1)
    found = {
        "c": re.search(r'libxl_version_string\(void\)\s*{\s*return "([^"]+)"',
                       "\n".join(body for p, body in texts()
                                 if p.parent.parent == Path("c/src"))).group(1),
        "CHANGELOG.md": re.search(r"^## (\d\S*)", tree.text("CHANGELOG.md"),
                                  flags=re.M).group(1),
        "pyproject.toml": re.search(r'version\s*=\s*"([^"]+)"',
                                    tree.text("pyproject.toml"),
                                    re.I).group(1),
        "ocaml": re.search(r"\(version\s+(\S+?)\)",
                           tree.text("ocaml/dune-project")).group(1),
    }
    assert set(found.values()) == {makefile}, found
