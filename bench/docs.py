#!/usr/bin/python3
"""Writes the figures of the last runs into docs/performance.md, and the plots.

    bench/docs.py [build/bench]

Called by `make bench-docs`, after `make bench`, `bench-python` or
`bench-ocaml`. A block of the page from `<!-- bench: NAME -->` to
`<!-- end -->` is replaced by the table of that name from the results.json of
its run, if there is one; the plots are copied beside the page.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import plan_c
import plan_ocaml
import plan_python
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
    "block_ms": "longest block, ms",
    "peak_mb": "most memory, MB",
}


def about(machine, command):
    release = ".".join(machine["kernel"].split(".")[:2])
    missing = "; ".join(text.removeprefix("not here: ")
                        for text in machine.get("missing", ()))
    return (f"One run of `make {command}` on {machine['date']}, "
            f"{machine['seconds']:.0f} s: {machine['cpus']} cores, "
            f"{machine['system']}, Linux {release}. Medians, and where "
            f"there is room (least..most)."
            + (f" Not measured, for they were not there: {missing}."
               if missing else "") + "\n")


def in_words(text, rows, results):
    """The keys of a group table's cells and columns as the tables name them."""
    for figure, words in FIGURES.items():
        text = text.replace(f" {figure} ", f" {words} ")
    for row in sorted(rows, key=lambda row: -len(row.key)):
        text = re.sub(rf"^\| {row.key}(?:/([\d]+))? *\|",
                      lambda m, row=row: "| " + " ".join(
                          filter(None, (row.text, report.version(
                              results, row))))
                      + (f", {int(m[1]):,}" if m[1] else "") + " |",
                      text, flags=re.M)
    head, _, *lines = [[cell.strip() for cell in line.strip("| ").split(" | ")]
                       for line in text.strip().splitlines()]
    return report.table(head, lines)


def c_blocks(data):
    plan = plan_c.make(5, False)
    results = data["results"]
    names = ["rates", "processor", "batches", "ablation", "ablation_processor",
             "families"]
    tables = {name: report.cells_table(asked, results, len(asked.columns) == 1)
              for name, asked in zip(names, plan.tables)}
    for prefix, figures in plan.groups:
        tables[prefix.rstrip("/")] = in_words(
            report.group_table(results, prefix, figures), plan_c.ROWS,
            results)
    tables["ratios"] = report.ratio_table(data["ratios"])
    tables["starters"] = report.starters_table(plan_c.STARTERS, results)
    tables["about"] = about(data["machine"], "bench")
    return tables


def binding_blocks(name, plan, rows, data):
    """rows: those of the tables that are not of rates."""
    rates, = plan.tables
    groups = {f"{name}_{prefix.rstrip('/')}": in_words(
        report.group_table(data["results"], prefix, figures), rows,
        data["results"]) for prefix, figures in plan.groups}
    return {name: report.cells_table(rates, data["results"]), **groups,
            f"{name}_ratios": report.ratio_table(data["ratios"]),
            f"{name}_about": about(data["machine"], f"bench-{name}")}


def read(path):
    """The results of a run; None: there was none."""
    return json.loads(path.read_text()) if path.exists() else None


def blocks(out):
    tables = {}
    data = read(out / "results.json")
    if data is not None:
        tables.update(c_blocks(data))
    for name, module in (("python", plan_python), ("ocaml", plan_ocaml)):
        data = read(out / name / "results.json")
        if data is not None:
            tables.update(binding_blocks(name, module.make(5, False),
                                         module.GROUP_ROWS, data))
    return tables


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench")
    tables = blocks(out)

    def fill(match):
        if match[2] not in tables:
            return match[0]
        return match[1] + tables[match[2]].rstrip() + "\n" + match[3]

    PAGE.write_text(BLOCK.sub(fill, PAGE.read_text()))
    PLOTS.mkdir(exist_ok=True)
    for plot in sorted(out.glob("*.svg")):
        shutil.copy(plot, PLOTS / plot.name)
    print(f"wrote {len(tables)} tables into {PAGE}, and {PLOTS}/*.svg")


if __name__ == "__main__":
    main()
