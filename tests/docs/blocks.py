"""Finds the code blocks of README.md, docs/*.md and the manual pages.

Used by test_docs.py, which runs them. In Markdown a block is fenced and its
language named; `<!-- not run: REASON -->` on the line before keeps it from
being run, and a block in the language `output` right after one holds what
that one prints. In a manual page a block stands between .EX and .EE and is C.
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import tree  # noqa: E402

RUN = ("c", "python", "ocaml", "sh")
# Languages that are shown, not run.
SHOWN = ("output", "text", "make", "")
NOT_RUN = re.compile(r"^<!-- not run: (\S.*\S) -->$")
FENCE = re.compile(r"^( *)(```+)(\w*)\s*$")


class Block:
    """One block: where it stands, what it is, what it should print."""

    def __init__(self, path, line, language, body):
        self.path = path
        self.line = line
        self.language = language
        self.body = body
        self.output = None
        self.reason = None

    def __repr__(self):
        return f"{self.path}:{self.line}"


def in_markdown(path, text):
    """The blocks of one Markdown text."""
    blocks = []
    reason = None
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        marker = NOT_RUN.match(line.strip())
        if marker:
            reason = marker.group(1)
            continue
        fence = FENCE.match(line)
        if not fence:
            if line.strip():
                reason = None
            continue
        indent, ticks, language = fence.groups()
        start = number
        while number < len(lines) and lines[number].strip() != ticks:
            number += 1
        if number == len(lines):
            raise ValueError(f"{path}:{start}: a block without an end")
        body = "".join(text_line[len(indent):] + "\n"
                       for text_line in lines[start:number])
        number += 1
        if language == "output":
            if not blocks or blocks[-1].output is not None:
                raise ValueError(f"{path}:{start}: output of nothing")
            blocks[-1].output = body
        elif language in RUN:
            block = Block(path, start, language, body)
            block.reason = reason
            blocks.append(block)
        elif language not in SHOWN:
            raise ValueError(f"{path}:{start}: no such language: {language}")
        reason = None
    return blocks


def unroff(line):
    """What a line of a manual page's example looks like on paper."""
    line = re.sub(r"^\\&", "", line)
    for coded, plain in ((r"\-", "-"), (r"\&", ""), (r"\(aq", "'"),
                         (r"\(dq", '"'), (r"\e", "\\")):
        line = line.replace(coded, plain)
    return line


def in_manual(path, text):
    """The examples of one manual page."""
    blocks = []
    body = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == ".EX":
            body = []
            start = number
        elif line == ".EE":
            blocks.append(Block(path, start, "c",
                                "".join(each + "\n" for each in body)))
            body = None
        elif body is not None:
            body.append(unroff(line))
    if body is not None:
        raise ValueError(f"{path}: .EX without .EE")
    return blocks


def pages():
    """The texts whose blocks are run."""
    return [p for p in tree.files()
            if p == Path("README.md")
            or (p.parts[0] == "docs" and p.suffix in (".md", ".3", ".7"))]


def everywhere():
    """Every block of every page."""
    found = []
    for path in pages():
        read = in_markdown if path.suffix == ".md" else in_manual
        found += read(path, tree.text(path))
    return found
