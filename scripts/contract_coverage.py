#!/usr/bin/python3
"""Which tests name which line of docs/contract.md.

Called by `make coverage-of-contract`, which writes the table to
docs/contract-coverage.md, and by the house checks, which want no line without
a test.

A test names a line in its own name or in what stands right beside it: C in
the second argument of XT_TEST, Python in the test's name or docstring, OCaml
in the title of the test case, a shell script in what it calls its check.

usage: contract_coverage.py [--write]
"""
import ast
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import tree  # noqa: E402

TABLE = Path("docs/contract-coverage.md")
LINE = re.compile(r"(?<![A-Za-z0-9])([XEOACBF]\d{1,2})(?![A-Za-z0-9])")
C_CASE = re.compile(r'\bXT_TEST\w*\(\s*([\w#]+)\s*,\s*"([^"]*)"')
OCAML_CASE = re.compile(r'"((?:[^"\\]|\\.)*)"')
HEAD = """# Which tests prove which line of the contract

Written by `make coverage-of-contract`; `make check` fails when a line has no
test. The lines are those of [contract.md](contract.md).

"""


def lines():
    """line -> its first words."""
    found = {}
    for match in re.finditer(r"^- ([A-Z]\d+) (.*)$",
                             tree.text("docs/contract.md"), flags=re.M):
        found[match.group(1)] = match.group(2)
    return found


def in_c(text):
    for name, named in C_CASE.findall(text):
        yield name.replace("##", ""), set(LINE.findall(named))


def in_python(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) \
                and node.name.startswith("test"):
            words = node.name.replace("_", " ") + " " \
                + (ast.get_docstring(node) or "")
            yield node.name, set(LINE.findall(words))
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            named = set(LINE.findall(
                re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", node.name) + " "
                + (ast.get_docstring(node) or "")))
            yield node.name, named


def in_ocaml(text):
    for title in OCAML_CASE.findall(text):
        named = set(LINE.findall(title))
        if named:
            yield title, named


def in_shell(text):
    for title in re.findall(r'^\s*check "([^"]*)"', text, flags=re.M):
        named = set(LINE.findall(title))
        if named:
            yield title, named


READERS = {".c": in_c, ".py": in_python, ".ml": in_ocaml, ".sh": in_shell}


def coverage():
    """line -> [(file, test), ...], sorted."""
    found = {line: set() for line in lines()}
    for path in tree.files():
        if path.parts[0] != "tests" or path.suffix not in READERS:
            continue
        for test, named in READERS[path.suffix](tree.text(path)):
            for line in named & set(found):
                found[line].add((str(path), test))
    return {line: sorted(tests) for line, tests in found.items()}


def unknown():
    """(file, test, line) where a test names a line that there is not."""
    known = set(lines())
    wrong = []
    for path in tree.files():
        if path.parts[:2] == ("tests", "c") and path.suffix == ".c":
            for test, named in in_c(tree.text(path)):
                wrong += [(str(path), test, line) for line in named - known]
    return wrong


def table():
    """The whole text of the page."""
    parts = [HEAD]
    words = lines()
    for line, tests in coverage().items():
        parts.append(f"## {line}\n\n{words[line]} …\n\n")
        by_file = {}
        for path, test in tests:
            by_file.setdefault(path, []).append(test)
        for path, names in by_file.items():
            parts.append(f"- {path}: {', '.join(names)}\n")
        if not tests:
            parts.append("- no test\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def main(arguments):
    if arguments == ["--write"]:
        (tree.ROOT / TABLE).write_text(table(), encoding="utf-8")
    elif arguments:
        print(__doc__.splitlines()[-1], file=sys.stderr)
        return 2
    bare = [line for line, tests in coverage().items() if not tests]
    for line, tests in coverage().items():
        print(f"{line:4} {len(tests)}")
    if bare:
        print(f"no test: {' '.join(bare)}")
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
