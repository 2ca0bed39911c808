#!/usr/bin/python3
"""The table of docs/kernels.md, from what check-kernels found.

Called by `make kernels-page`: with --write it takes build/kernels/*.json over
into docs/results/kernels.json and writes the table from that. Without, it
prints the table that belongs to docs/results/kernels.json; a house test
compares it with the page.
"""
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "kernels"
KEPT = ROOT / "docs" / "results" / "kernels.json"
PAGE = ROOT / "docs" / "kernels.md"
BEGIN = "<!-- from docs/results/kernels.json, by make kernels-page -->\n"
END = "<!-- end of it -->\n"
RELEASES = ("bookworm", "trixie", "sid")
SUITES = (("c", "C suite"), ("machine", "a whole machine's faults"),
          ("python", "Python, the core's part"),
          ("chaos", "random testers"))


def load():
    """What was kept, in the releases' order."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return [kept[r] for r in RELEASES if r in kept]


def collect():
    """Take over what the last runs left; the others stay."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for release in RELEASES:
        path = BUILD / f"{release}.json"
        if path.exists():
            kept[release] = json.loads(path.read_text())
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def count(counts):
    """`N passed`, and what else there was."""
    words = [f"{n} {what}" for n, what in
             zip(counts, ("passed", "failed", "skipped")) if n]
    return ", ".join(words)


def table(runs):
    """The lines between the marks."""
    rows = [["", *(f"{r['called']}: {r['version']}" for r in runs)]]
    rows.append(["---"] * (len(runs) + 1))
    facts = []
    for run in runs:
        facts += [name for name in run["facts"] if name not in facts]
    for name in facts:
        rows.append([name, *(r["facts"].get(name, "-") for r in runs)])
    for key, name in SUITES:
        if any(key in r["suites"] for r in runs):
            rows.append([name, *(count(r["suites"].get(key, [0, 0, 0])) or "-"
                                 for r in runs)])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def page(text, runs):
    """The page's text with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table(runs) + "\n" + END + after


def main(arguments):
    """Print or write it; return the exit status."""
    if "--write" in arguments:
        collect()
        PAGE.write_text(page(PAGE.read_text(), load()))
    else:
        print(table(load()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
