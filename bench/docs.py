#!/usr/bin/python3
"""Writes the figures of one run into docs/performance.md, and its plots.

    bench/docs.py [build/bench]

Called by `make bench-docs`, after `make bench`. A block of the page from
`<!-- bench: NAME -->` to `<!-- end -->` is replaced by the table of that name
from results.json; the plots are copied beside the page.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import plan_c
import report

PAGE = Path("docs/performance.md")
PLOTS = Path("docs/performance")
BLOCK = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.S)

FIGURES = {  # columns of the group tables, in words
    "latency_us_median": "median, µs",
    "latency_us_p999": "99.9th percentile, µs",
    "burst_us_per_report": "µs a report, loop running",
    "drain_us_per_report": "all dead before",
    "heap_bytes_per_child": "bytes of heap",
    "resident_bytes_per_child": "resident bytes",
}


def about(machine):
    release = ".".join(machine["kernel"].split(".")[:2])
    return (f"One run of `make bench` on {machine['date']}, "
            f"{machine['seconds']:.0f} s: {machine['cpus']} cores, "
            f"{machine['system']}, Linux {release}. Medians, and where "
            f"there is room (least..most).\n")


def in_words(text, rows):
    """The keys of a group table's cells and columns as the tables name them."""
    for figure, words in FIGURES.items():
        text = text.replace(f" {figure} ", f" {words} ")
    for row in sorted(rows, key=lambda row: -len(row.key)):
        text = re.sub(rf"^\| {row.key}(?:/([\d]+))? *\|",
                      lambda m, row=row: f"| {row.text}"
                      + (f", {int(m[1]):,}" if m[1] else "") + " |",
                      text, flags=re.M)
    return text


def blocks(data):
    plan = plan_c.make(5, False)
    results = data["results"]
    names = ["rates", "processor", "batches", "ablation", "ablation_processor"]
    tables = {name: report.cells_table(asked, results, len(asked.columns) == 1)
              for name, asked in zip(names, plan.tables)}
    for prefix, figures in plan.groups:
        tables[prefix.rstrip("/")] = in_words(
            report.group_table(results, prefix, figures), plan_c.ROWS)
    tables["ratios"] = report.ratio_table(data["ratios"])
    tables["about"] = about(data["machine"])
    return tables


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench")
    tables = blocks(json.loads((out / "results.json").read_text()))

    def fill(match):
        return match[1] + tables[match[2]].rstrip() + "\n" + match[3]

    PAGE.write_text(BLOCK.sub(fill, PAGE.read_text()))
    PLOTS.mkdir(exist_ok=True)
    for plot in sorted(out.glob("*.svg")):
        shutil.copy(plot, PLOTS / plot.name)
    print(f"wrote {PAGE} and {PLOTS}/*.svg")


if __name__ == "__main__":
    main()
