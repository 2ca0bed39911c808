#!/usr/bin/python3
"""Runs every peer and ours side by side and prints tables and ratios.

    bench/run.py [--plan c|python|ocaml] [--quick] [--rounds N] [--only WORD]
                 [--out build/bench]

Called by `make bench`, `make bench-quick`, `make bench-python` and `make
bench-ocaml`. Peers are interleaved: each round runs the cells of the plan
once, in a shuffled order; short cells have more rounds. Next: report.py
prints, plots.py draws. Writes results.json and *.svg to --out.

Exit status: 0 when every figure came out, however large; 1 otherwise. The
last line counts them.
"""

import argparse
import importlib
import json
import os
import platform
import random
import subprocess
import sys
import time
from pathlib import Path

import budget
import report

REFUSED = 3  # a program's guard: too many processes, too few fds
UNAVAILABLE = 77  # the peer is not installed here; stderr says what is missing
PATIENCE = 15  # times a second apart


class Failed(Exception):
    """A cell gave no figures."""


class Skipped(Exception):
    """A cell's peer is not there."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", default="c",
                        choices=["c", "python", "ocaml"])
    parser.add_argument("--quick", action="store_true",
                        help="small sizes, one round: do the figures exist?")
    parser.add_argument("--everybody", action="store_true",
                        help="with --quick: of Debian 13 and other languages")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", default=[],
                        help="only cells whose key contains this")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def machine():
    """What the figures were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    system = platform.freedesktop_os_release()
    return {"kernel": platform.release(), "cpus": os.cpu_count(),
            "system": f"{system['NAME'].split()[0]} "
                      f"{system.get('VERSION_ID', '')}".strip(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "processor": model, "load_before": os.getloadavg()[0]}


def run_command(command):
    """The finished process; waits for the guard of processes to let it by."""
    for _ in range(PATIENCE):
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=300, check=False)
        if done.returncode != REFUSED or "processes" not in done.stderr:
            break
        time.sleep(1)  # others' processes may go away
    return done


def run_cell(cell):
    """The figures of one run."""
    if not Path(cell.program).exists():
        raise Skipped(f"not here: {cell.missing}" if cell.missing else
                      f"{cell.program} is not built")
    try:
        done = run_command(list(cell.command))
    except subprocess.TimeoutExpired:
        raise Failed("took longer than 300 s") from None
    last = done.stderr.strip()[-300:]
    if done.returncode == UNAVAILABLE:
        raise Skipped(last)
    if done.returncode:
        raise Failed(f"exit status {done.returncode}: {last}")
    figures = json.loads(done.stdout)
    for name in cell.figures:
        if not isinstance(figures.get(name), (int, float)):
            raise Failed(f"no figure {name}")
    return figures


def run_all(cells, shuffle):
    """({key: figures of each round}, {key: why it failed}, {why skipped})."""
    results = {cell.key: [] for cell in cells}
    failures, skips = {}, set()
    for number in range(max(cell.rounds for cell in cells)):
        todo = [cell for cell in cells if number < cell.rounds]
        shuffle(todo)
        for at, cell in enumerate(todo):
            progress(f"round {number + 1}: {at + 1}/{len(todo)} "
                     f"{cell.key}")
            before = time.monotonic()
            try:
                figures = run_cell(cell)
                figures["seconds"] = round(time.monotonic() - before, 2)
                results[cell.key].append(figures)
            except Failed as why:
                failures[cell.key] = str(why)
            except Skipped as why:
                skips.add(str(why))
    progress("")
    return results, failures, skips


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def draw(results, out):
    """Plots, or the reason why there are none."""
    try:
        import plots
    except ImportError as why:
        return f"no plots: {why} (Debian: python3-matplotlib)"
    plots.draw(results, out)
    return None


def check_budget(failures, skips):
    """How many budgets of system calls are kept; adds to the others."""
    budgets, why = budget.check()
    if why:
        skips.add(why)
    for name, problems in budgets:
        if problems:
            failures[f"budget {name}"] = "; ".join(problems)
    return sum(not problems for _, problems in budgets)


def main():
    options = parse_arguments()
    rounds = 1 if options.quick else options.rounds
    module = importlib.import_module(f"plan_{options.plan}")
    more = {"everybody": True} if options.everybody else {}
    plan = module.make(rounds, options.quick, **more)
    cells = [cell for cell in plan.cells
             if not options.only or any(w in cell.key for w in options.only)]
    about = machine()
    started = time.monotonic()
    results, failures, skips = run_all(cells,
                                       random.Random(options.seed).shuffle)
    about["seconds"] = round(time.monotonic() - started, 1)

    ratios = report.ratios(plan.targets, results)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    report.print_all(plan, results, ratios, about)
    passed = sum(1 for key, lines in results.items()
                 if lines and key not in failures)
    if options.plan == "c" and not options.only:
        passed += check_budget(failures, skips)
        why = draw(results, options.out)
        if why:
            skips.add(why)
    if options.plan == "c":
        print(report.starters_table(module.STARTERS, results) + "\n")
    about["missing"] = sorted(skips)
    path.write_text(json.dumps({"machine": about, "ratios": ratios,
                                "failures": failures, "results": results},
                               indent=1))

    for key, why in failures.items():
        print(f"FAILED {key}: {why}")
    for why in sorted(skips):
        print(f"skipped: {why}")
    print(f"figures in {path}")
    print(f"{passed} passed, {len(failures)} failed, {len(skips)} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
