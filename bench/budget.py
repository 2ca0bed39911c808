#!/usr/bin/python3
"""How many system calls starting and reaping one child takes.

    bench/budget.py [--print]

Used by run.py; run by hand it prints the counts. The program is run under
strace with N and with 2N children, one at a time; the difference, divided by
N, is a child's share, in the parent and in the child before its execve.
budget.tsv holds what each may be at most: a change that adds a call to a
child's price fails here, on a quiet machine and on a busy one alike.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

BUDGET = Path(__file__).with_name("budget.tsv")
PROGRAM = Path("build/bench/xlchild")
N = 100
# Whether a child has ended when somebody looks is a matter of luck: a call is
# over its budget only where it is made a quarter more often.

CALL = re.compile(r"^(\d+) +(\w+)\(")


def trace(args, children):
    """(calls of the parent, calls of its children up to execve)."""
    with tempfile.NamedTemporaryFile("r") as out:
        subprocess.run(
            ["strace", "-f", "-q", "-o", out.name, str(PROGRAM), *args,
             "--warmup", "20", "--children", str(children)],
            check=True, capture_output=True, timeout=120)
        lines = out.read().splitlines()
    parent = None
    counts = {"parent": Counter(), "child": Counter()}
    started = set()
    for line in lines:
        match = CALL.match(line)
        if not match:
            continue
        pid, call = match.groups()
        if parent is None:
            parent = pid
        if pid == parent:
            counts["parent"][call] += 1
        elif pid not in started:
            counts["child"][call] += 1
            if call == "execve":
                started.add(pid)
    return counts


def per_child(args):
    """{(side, call): calls a child}."""
    few = trace(args, N)
    many = trace(args, 2 * N)
    shares = {}
    for side in few:
        for call in set(few[side]) | set(many[side]):
            share = (many[side][call] - few[side][call]) / N
            if abs(share) >= 0.05:
                shares[side, call] = share
    return shares


def read_budget():
    """{name: (arguments, {(side, call): at most})}, in order."""
    budget = {}
    for line in BUDGET.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, args, side, call, most = line.split("\t")
        budget.setdefault(name, (args.split(), {}))[1][side, call] = float(most)
    return budget


def over(allowed, measured):
    """Texts, one for each call that is made too often."""
    return [f"{side} {call}: {share:.2f} a child, "
            f"{allowed.get((side, call), 0):g} allowed"
            for (side, call), share in sorted(measured.items())
            if share > 1.25 * allowed.get((side, call), 0) + 0.04]


def check():
    """(list of (name, list of what is over), reason why nothing was run)."""
    if not shutil.which("strace"):
        return [], "no budget of system calls: strace is not installed"
    if not PROGRAM.exists():
        return [], f"no budget of system calls: {PROGRAM} is not built"
    return [(name, over(allowed, per_child(args)))
            for name, (args, allowed) in read_budget().items()], None


def main():
    for name, (args, _) in read_budget().items():
        measured = per_child(args)
        for side in ("parent", "child"):
            total = sum(share for (s, _), share in measured.items()
                        if s == side)
            print(f"{name}, {side}: {total:.2f} calls a child")
            for (s, call), share in sorted(measured.items()):
                if s == side:
                    print(f"    {call:20} {share:.2f}")
    problems = [text for _, texts in check()[0] for text in texts]
    for text in problems:
        print(f"over: {text}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
