"""README's Install and its examples, as a script of what a newcomer types.

Used by test_readme.py. The blocks that install are run in the order in which
they stand; an example is saved under the name that README says, run by the
command that README says, and has to print what README says.
"""
import re
import shlex

import blocks
import tree

EXAMPLE = re.compile(
    r"Save as `(\S+)`; run by\s+`([^`]+)`:\n\n```\w+\n(.*?)^```\n\n"
    r"```output\n(.*?)^```\n", re.M | re.S)
INSTALLS = "it installs; "


def text():
    """README."""
    return tree.text("README.md")


def installing():
    """The blocks that install: (those of all, that of a user without sudo)."""
    found = [b.body for b in blocks.in_markdown("README.md", text())
             if b.reason and b.reason.startswith(INSTALLS)]
    with_sudo = [b for b in found if "PREFIX=$HOME" not in b]
    (without,) = [b for b in found if "PREFIX=$HOME" in b]
    return with_sudo, without


def examples():
    """(name, command, body, output) of each."""
    return EXAMPLE.findall(text())


def of_the_shell():
    """The command line's examples: [(body, output or None)]."""
    return [(b.body, b.output) for b in blocks.in_markdown(
        "README.md", text()) if b.language == "sh" and b.reason is None
        and "python3 -m xlchild" in b.body]


def said(command, wanted):
    """Lines of sh: it prints just that."""
    return ("{ %s\n} > said\nprintf %%s %s | diff - said\n"
            % (command.rstrip("\n"), shlex.quote(wanted)))


def trying():
    """Lines of sh: every example."""
    lines = []
    for name, command, body, output in examples():
        lines.append("printf %%s %s > %s\n" % (shlex.quote(body), name))
        lines.append(said(command, output))
    lines.append("PATH=~/xl/bin:$PATH\n")
    for body, output in of_the_shell():
        lines.append(body if output is None else said(body, output))
    lines.append(said("~/xl-pip/bin/xlchild -k echo ::: a b", "a\nb\n"))
    return "".join(lines)
