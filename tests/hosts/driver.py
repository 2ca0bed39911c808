#!/usr/bin/python3
"""Run the cells of the matrix: a host, a mode, an order; both with children.

Called by `make check-hosts` and `make check-hosts-quick`. table.py says what the
hosts are, README.md what a cell does. Each host is run alone first. The last line
is `N passed, N failed, N skipped`; what came is kept in build/hosts/cells.json,
from which page.py writes docs/hosts.md.

usage: driver.py [--quick] [--jobs N] [HOST...]
"""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "hosts"
CHILD = ROOT / "build" / "tests" / "helpers" / "child"
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
RUSTC = next((p for p in ("/usr/bin/rustc",) if os.path.exists(p)), "rustc")
COUNT = 50
SECONDS = 90  # a cell that has to come out right
DOOMED_SECONDS = 6  # a host that the mode makes lose: it may wait for ever
OURS_SECONDS = 30  # ours, once the host has done its part or was given up
NAMES = {"here": str(HERE), "root": str(ROOT), "build": str(BUILD),
         "python": PYTHON, "rustc": RUSTC}


def fill(text, host):
    """The table's text with the names of this tree in it."""
    name = host.name.split(",")[0] if host.group == "C" else host.name
    for key, value in dict(NAMES, name=name).items():
        text = text.replace("{" + key + "}", value)
    return text


# ---- what is there, and building it ---------------------------------------

def missing(host):
    """What this host needs and is not here, or None."""
    for need in host.needs:
        need = fill(need, host)
        if need.startswith("pkg:"):
            there = subprocess.run(
                ["pkg-config", "--exists", need[4:]], check=False,
                stderr=subprocess.DEVNULL).returncode == 0 \
                if shutil.which("pkg-config") else False
        else:
            there = shutil.which(need) or os.path.exists(need)
        if not there:
            return f"{need} is not here (Debian: {host.package or need})"
    for module in host.python:
        if subprocess.run([PYTHON, "-c", f"import {module}"], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            return f"no Python module {module} (Debian: {host.package})"
    return None


def build(host):
    """Build its program; return what went wrong, or None."""
    for command in host.build:
        made = subprocess.run(fill(command, host), shell=True, check=False,
                              cwd=BUILD, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if made.returncode:
            return f"could not be built:\n{made.stdout}"
    return None


# ---- one cell --------------------------------------------------------------

class Cell:
    """A host with our children in it (owner, order), or alone (None, None)."""

    def __init__(self, host, owner, order):
        self.host = host
        self.owner = owner
        self.order = order
        self.announced = host.announced(owner) if owner else None
        self.ours = self.theirs = "hangs"
        self.detail = self.why = ""
        self.seconds = 0.0

    def name(self):
        """For reports."""
        if self.owner is None:
            return f"{self.host.name}, alone"
        return f"{self.host.name}, {self.owner}, {self.order}"

    def environment(self, folder):
        """What host and shim read."""
        env = dict(os.environ, XLHOST_CHILD=str(CHILD), LC_ALL="C.UTF-8",
                   PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore",
                   XLHOST_GO=f"{folder}/go", XLHOST_END=f"{folder}/end",
                   XLHOST_RESULT=f"{folder}/result")
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LD_PRELOAD"):
            env.pop(name, None)
        if self.owner is not None:
            env.update(XLHOST_OURS=f"{folder}/ours", XLHOST_ORDER=self.order,
                       XLHOST_OWNER=str(table.OWNERS.index(self.owner)))
            if self.host.passes:
                env["XLHOST_PASS"] = "1"
            if self.host.shim == "preload":
                env["XLHOST_PRELOAD"] = str(BUILD / "shim.so")
        return env

    def run(self):
        """Run it to its end, or ours; judge both sides."""
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="xlhost-") as folder:
            self.run_in(Path(folder))
        self.seconds = time.monotonic() - start
        return self

    def run_in(self, folder):
        """The same, its files in folder."""
        ends = []
        for name in ("go", "end"):
            os.mkfifo(folder / name)
            ends.append(os.open(folder / name, os.O_RDWR | os.O_CLOEXEC))
        try:
            if self.owner is None:
                os.write(ends[1], b"end\n")
            self.run_between(folder, ends[0])
        finally:
            for fd in ends:
                os.close(fd)

    def run_between(self, folder, go):
        """The host's life, and the verdicts."""
        env = self.environment(folder)
        preload = env.pop("XLHOST_PRELOAD", None)
        words = shlex.split(fill(self.host.run, self.host))
        if preload:  # of the host alone, not of who starts it
            words = ["env", f"LD_PRELOAD={preload}", *words]
        (folder / "stdin").write_text(self.host.stdin)
        with open(folder / "log", "wb") as log, \
                open(folder / "stdin", "rb") as stdin:
            host = subprocess.Popen(
                words, cwd=folder, env=env, stdin=stdin,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            doomed = self.announced is not None
            self.await_end(host, DOOMED_SECONDS if doomed else SECONDS)
            ended = host.poll() is not None
            if not ended and self.owner is not None:
                os.write(go, b"go\ndone\n")
                self.await_file(folder / "ours", host)
        finally:
            if host.pid > 1:
                try:
                    os.killpg(host.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            code = host.wait()
        text = (folder / "log").read_text(errors="replace")
        self.theirs, self.detail = judge_host(
            self.host, folder / "result", text, code if ended else None)
        if self.owner is None:
            self.ours = "-"
        else:
            self.ours, words = judge_ours(folder / "ours")
            self.why = words.split(", lost ")[-1]
            if words:
                self.detail += f" ours: {words}"
        if not self.good():
            self.detail += f"\n{text[-1500:]}"

    @staticmethod
    def await_end(host, seconds):
        """Until it ends, or that long."""
        try:
            host.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass

    @staticmethod
    def await_file(path, host):
        """Until ours are all told, in a host that was given up."""
        deadline = time.monotonic() + OURS_SECONDS
        while not path.exists() and time.monotonic() < deadline:
            Cell.await_end(host, 0.05)
            if host.poll() is not None:
                break

    def good(self):
        """Whether it is as announced."""
        if self.ours not in ("right", "lost", "-"):
            return False
        if self.owner is None:
            return self.theirs == self.host.alone
        return self.announced is not None \
            or self.theirs in ("right", self.host.alone)


def read_lines(path):
    """number -> the rest of the line; how often a number was told twice."""
    told, twice = {}, 0
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            number, _, rest = line.partition(" ")
            if number.isdigit():
                twice += int(number) in told
                told[int(number)] = rest
    return told, twice


def verdict(told, first):
    """right, lost, wrong or hangs, and what was told instead."""
    wrong = [f"{i}: {told[i]}" for i in told
             if not told[i].startswith("lost") and told[i] != str(first + i)]
    lost = [f"{i}: {told[i]}" for i in told if told[i].startswith("lost")]
    if wrong:
        kinds = sorted({w.split(": ")[1] for w in wrong})
        return "wrong", f"{len(wrong)} of {COUNT}, reads {', '.join(kinds[:4])}"
    if len(told) < COUNT:
        return "hangs", f"{COUNT - len(told)} of {COUNT} never told"
    if lost:
        kinds = sorted({w.split(": ", 1)[1] for w in lost})
        return "lost", f"{len(lost)} of {COUNT}, {kinds[0]}"
    return "right", ""


def judge_host(host, path, text, code):
    """What the host made of its children; code is None if it never ended."""
    if host.how == "make":
        told = {int(n): c for n, c in re.findall(
            r"child-(\d+)\] Error (\d+)", text)}
        if len(told) < COUNT and code is not None:
            return "wrong", (f"{COUNT - len(told)} of {COUNT} targets that"
                             " failed were taken for made")
        return verdict(told, 101)
    if host.how == "xargs":
        if code == 123:
            return "right", ""
        return ("hangs", "") if code is None else (
            "wrong", f"ends with {code}, not 123")
    told, twice = read_lines(path)
    if twice:
        return "wrong", f"{twice} told twice"
    if len(told) < COUNT and code is not None:
        return "fails", f"ends with {code}, {len(told)} of {COUNT} told"
    if code not in (0, None):
        return "fails", f"ends with {code}"
    return verdict(told, 101)


def judge_ours(path):
    """What our side made of its children."""
    if not path.exists():
        return "hangs", "not all told"
    text = path.read_text(errors="replace")
    refused = re.findall(r"^refused (.*)$", text, re.M)
    if refused:
        return "refused", refused[0]
    if re.search(r"^free ", text, re.M):
        return "wrong", "the context could not be freed"
    told, twice = read_lines(path)
    if twice:
        return "wrong", f"{twice} told twice"
    result, words = verdict(told, 1)
    return result, words


# ---- all of them ------------------------------------------------------------

def cells_of(hosts, quick):
    """The cells to run; quick: about a third of them, every mode and host."""
    for row, host in enumerate(hosts):
        yield Cell(host, None, None)
        for column, owner in enumerate(table.OWNERS):
            for turn, order in enumerate(table.ORDERS):
                if not quick or (owner == "none" and turn == row % 2) or \
                        (column == row % 4 and turn == (row // 4) % 2):
                    yield Cell(host, owner, order)


def run_all(hosts, quick, jobs):
    """Run them; return cells and the hosts that were skipped, with reasons."""
    skipped = {}
    ready = []
    BUILD.mkdir(parents=True, exist_ok=True)
    failed = {}
    for host in hosts:
        reason = missing(host)
        if reason:
            skipped[host.name] = reason
            print(f"SKIP {host.name}: {reason}", flush=True)
            continue
        problem = build(host)
        if problem:
            failed[host.name] = problem
            print(f"not ok {host.name}: {problem}", flush=True)
        else:
            ready.append(host)
    lock = threading.Lock()
    cells = list(cells_of(ready, quick))

    def one(cell):
        cell.run()
        with lock:
            word = "ok" if cell.good() else "not ok"
            print(f"{word} {cell.name()}: ours {cell.ours}, host {cell.theirs}"
                  f"{' (announced)' if cell.announced else ''}"
                  f" {cell.detail} [{cell.seconds:.1f} s]".rstrip(),
                  flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, cells))
    return cells, skipped, failed


def keep(cells, skipped):
    """For page.py."""
    rows = [{"host": c.host.name, "owner": c.owner, "order": c.order,
             "ours": c.ours, "theirs": c.theirs,
             "detail": c.detail.split(" ours:")[0], "good": c.good(),
             "why": c.why,
             "announced": c.announced} for c in cells]
    (BUILD / "cells.json").write_text(json.dumps(
        {"kernel": os.uname().release.split("-")[0], "cells": rows,
         "skipped": skipped}, indent=1))


def main(arguments):
    """Run the matrix; return the exit status."""
    quick = "--quick" in arguments
    jobs = os.cpu_count() or 1
    if "--jobs" in arguments:
        jobs = int(arguments.pop(arguments.index("--jobs") + 1))
    names = [a for a in arguments if not a.startswith("--")]
    hosts = [h for h in table.HOSTS
             if not names or any(n in h.name for n in names)]
    start = time.monotonic()
    cells, skipped, failed = run_all(hosts, quick, jobs)
    if not names and not quick:
        keep(cells, skipped)
    bad = [c for c in cells if not c.good()]
    for cell in bad:
        print(f"FAILED {cell.name()}: ours {cell.ours}, host {cell.theirs}")
    print(f"{len(cells)} cells, {time.monotonic() - start:.0f} s")
    print(f"{len(cells) - len(bad)} passed, {len(bad) + len(failed)} failed,"
          f" {len(skipped)} skipped", flush=True)
    return 1 if bad or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
