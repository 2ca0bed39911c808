#!/usr/bin/python3
"""Run every area's tests and add up what they say.

Called by `make check`, and with --all by `make check-all`. Each area is a
make target that ends its output with a line `N passed, N failed, N skipped`.
An area that fails, hangs or prints no such line counts as a failure. Areas run
in lanes, one beside the other, once what all need is built; what counts costs
runs alone, after them. The last line of the output is the sum; the exit
status is 0 only when nothing failed. Logs stay in build/check/.

usage: check.py [--all] [AREA...]
"""
import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "check"
AREA_SECONDS = 600
LONG_AREA_SECONDS = 1800
CPUS = os.cpu_count() or 1
# An outer make's job server does not reach the areas: they get their own.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
SKIPPED = re.compile(r"# SKIP\b|^SKIP(PED)?\b|^skipped\b")
AREAS = [
    ("house", "check-house"),
    ("C", "check-c"),
    ("C, ASan and UBSan", "check-c-asan"),
    ("C, two worlds", "check-worlds-quick"),
    ("C, gaps", "check-c-gaps"),
    ("C, number reuse", "check-c-reuse-quick"),
    ("Python", "check-python"),
    ("Python, ASan and debug", "check-python-asan"),
    ("OCaml", "check-ocaml"),
    ("docs", "check-docs"),
    ("bench", "bench-quick"),
    ("bench, OCaml", "bench-ocaml-quick"),
]
# Lanes beside that of those in neither list; in a lane one after the other.
# Three for two processors: Python's tests wait a third of their time.
BESIDE = (("check-python",),
          ("check-ocaml", "check-python-asan", "check-docs"))
# After all of those.
ALONE = ("bench-quick", "bench-ocaml-quick")
SHARED = ("lib", "helpers", "python", "ocaml")  # two makes must not build it
# Only with --all, after the others.
LONG_AREAS = [
    ("lint", "lint"),
    ("C, clang", "check-c-clang"),
    ("C, musl", "check-c-musl"),
    ("C, TSan", "check-c-tsan"),
    ("C, valgrind", "check-c-valgrind"),
    ("OCaml, valgrind", "check-ocaml-valgrind"),
    ("Python, long", "check-python-long"),
    ("Python, ASan, long", "check-python-asan-long"),
    ("C, every world", "check-worlds"),
    ("races, 100 times", "check-c-races"),
    ("C, gaps, TSan", "check-c-gaps-tsan"),
    ("chaos", "check-c-chaos"),
    ("chaos, ASan and UBSan", "check-c-chaos-asan"),
    ("chaos, TSan", "check-c-chaos-tsan"),
    ("C, 100,000 numbers", "check-c-reuse"),
    ("other programs", "check-programs-quick"),
    ("hosts, a third", "check-hosts-quick"),
    ("loops, idle", "check-loops"),
    ("faults, every mode", "check-faults"),
]


running = set()  # areas' makes, each the leader of its group
over = threading.Event()  # no more are to be started


class Outcome:
    """What one area came to."""

    def __init__(self, name, passed, failed, skipped, seconds, note):
        self.name = name
        self.passed = passed
        self.failed = failed
        self.skipped = skipped
        self.seconds = seconds
        self.note = note

    def line(self):
        text = (f"{self.name:20} {self.passed:5} passed, {self.failed} failed,"
                f" {self.skipped} skipped  {self.seconds:6.1f} s")
        return f"{text}  ({self.note})" if self.note else text


def end_group(process):
    """Kill the area's whole process group: make, its shells, the tests."""
    if process.pid > 1:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run_area(name, target, make, seconds=AREA_SECONDS):
    """Run one area, its output both shown and kept; return its Outcome."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{target}.log"
    start = time.monotonic()
    last = None
    timed_out = False
    print(f"--- {name} (make {target})", flush=True)
    with log.open("wb") as keep:
        process = subprocess.Popen(
            [make, "--no-print-directory", f"-j{CPUS}", target],
            cwd=ROOT, env=ENVIRONMENT,
            stdin=subprocess.DEVNULL, stdout=keep, stderr=subprocess.STDOUT,
            start_new_session=True)
        running.add(process)
        if over.is_set():  # by somebody who could not see it yet
            end_group(process)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
            end_group(process)
            code = process.wait()
        finally:
            running.discard(process)
    text = log.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        match = SUMMARY.match(line.strip())
        if match:
            last = [int(group) for group in match.groups()]
    passed, failed, skipped = last or (0, 0, 0)
    note = ""
    if timed_out:
        note = f"ended after {seconds} s"
    elif last is None:
        note = f"exit {code}, no summary line"
    elif code != 0 and failed == 0:
        note = f"exit {code}"
    if note or failed:
        failed = max(failed, 1)
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        for line in text.splitlines():
            if SKIPPED.search(line):
                print(line)
    outcome = Outcome(name, passed, failed, skipped,
                      time.monotonic() - start, note)
    print(outcome.line(), flush=True)
    return outcome


def unignore():
    """A shell starts background jobs with these ignored; tests need them."""
    for number, own in ((signal.SIGINT, signal.default_int_handler),
                        (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, own)


def build_shared(make):
    """Build what the areas beside each other need; they say what failed."""
    subprocess.run([make, "--no-print-directory", f"-j{CPUS}", *SHARED],
                   cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)


def run_lanes(*lanes):
    """Call each in a thread of its own. An interrupt comes to this one only,
    and ends whatever runs."""
    failures = []

    def safely(lane):
        try:
            lane()
        except BaseException as failure:
            failures.append(failure)
    threads = [threading.Thread(target=safely, args=(lane,)) for lane in lanes]
    over.clear()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        over.set()
        for process in list(running):
            end_group(process)
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        raise
    if failures:
        raise failures[0]


def run_areas(areas, make):
    """Run them, a lane beside the other where it may be; return Outcomes."""
    outcomes = {}

    def run(some):
        for name, target, seconds in some:
            if not over.is_set():
                outcomes[target] = run_area(name, target, make, seconds)

    elsewhere = {target for lane in BESIDE for target in lane} | set(ALONE)
    lanes = [[area for area in areas if area[1] in lane] for lane in BESIDE]
    lanes.append([area for area in areas
                  if area[1] in {target for _, target in AREAS} - elsewhere])
    lanes = [lane for lane in lanes if lane]
    if len(lanes) > 1:
        build_shared(make)
    run_lanes(*(functools.partial(run, lane) for lane in lanes))
    run_lanes(lambda: run([area for area in areas if area[1] not in outcomes]))
    return [outcomes[target] for _, target, _ in areas]


def main(arguments):
    """Run the areas named, or all; return the exit status."""
    areas = [(name, target, AREA_SECONDS) for name, target in AREAS]
    if "--all" in arguments:
        arguments = [a for a in arguments if a != "--all"]
        areas += [(name, target, LONG_AREA_SECONDS)
                  for name, target in LONG_AREAS]
    known = {target for _, target, _ in areas}
    unknown = [a for a in arguments if a not in known]
    if unknown:
        print(f"check: no such area: {' '.join(unknown)}; there are"
              f" {' '.join(sorted(known))}", file=sys.stderr)
        return 2
    unignore()
    make = os.environ.get("MAKE", "make")
    start = time.monotonic()
    outcomes = run_areas([area for area in areas
                          if not arguments or area[1] in arguments], make)
    print(f"--- all, {time.monotonic() - start:.1f} s")
    for outcome in outcomes:
        print(outcome.line())
    passed = sum(o.passed for o in outcomes)
    failed = sum(o.failed for o in outcomes)
    skipped = sum(o.skipped for o in outcomes)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
