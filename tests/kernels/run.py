#!/usr/bin/python3
"""The suites on the kernels that Debian has, each in a machine of qemu's.

usage: run.py [RELEASE...] -- PROGRAM...

Called by `make check-kernels`, with the programs of the C suite. For each
release the kernel is fetched (fetch.py) and booted (vm.py) on a copy of the
tree as it is built; the suites leave their output in build/kernels/RELEASE/out.
What came is kept in build/kernels/RELEASE.json, from which page.py makes its
table. The last line is `N passed, N failed, N skipped` over all kernels.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fetch
import vm

ROOT = vm.ROOT
BUILD = ROOT / "build" / "kernels"
LIMIT_SECONDS = int(os.environ.get("XK_SECONDS", "3000"))
CHAOS_SECONDS = int(os.environ.get("XK_CHAOS_SECONDS", "60"))
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
# What these do is the same under every kernel: they do not ask it.
PURE = ("fuzz_corpus", "fdplan_model")
PYTHON = [f"tests/python/test_{name}.py" for name in
          ("binding", "errors", "vectors", "treaty", "signals", "ends")]
# Emulated processors are some fifteen times slower.
JOB = """\
export XT_TIME_SCALE=20 XT_THIEF_CHILDREN=300 XT_FLOOD_CHILDREN=200
export XT_LETGO_CHILDREN=300 XT_SOAK_SECONDS=2
export PYTHONPATH=$PWD/build/python:$PWD/scripts PYTHON=/usr/bin/python3
export PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
uname -r > /out/uname
grep -c . /proc/pressure/cpu > /out/psi
build/kernels/facts > /out/facts 2> /out/facts.err
build/tests/plain/tests/runner-all --jobs 2 PROGRAMS > /out/c.log 2>&1
/usr/bin/python3 -m pytest -q --tb=short -p summary_line -p no:cacheprovider \\
  PYTHONS > /out/python.log 2>&1
{ build/tests/plain/chaos/chaos --seconds CHAOS;
  build/tests/plain/chaos/reuse --children 200; } > /out/chaos.log 2>&1
"""
SUITES = ("c", "python", "chaos")


def copy_tree():
    """What runs in there must not change while it does."""
    copy = BUILD / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    skip = {str(BUILD), str(ROOT / ".git"), str(ROOT / "build" / "chroots"),
            str(ROOT / "build" / "trixie")}
    shutil.copytree(ROOT, copy, symlinks=True, ignore=lambda folder, names: [
        n for n in names if f"{folder}/{n}" in skip or n.endswith(".o")])
    (copy / "build" / "kernels").mkdir()
    shutil.copy(BUILD / "facts", copy / "build" / "kernels" / "facts")
    return copy


def counts(text):
    """The sum of all closing lines."""
    return [sum(int(found[i]) for found in SUMMARY.findall(text))
            for i in range(3)]


def said(text):
    """Which cases failed, and which were skipped and why."""
    failed = re.findall(r"^not ok \d+ - (\S+)", text, re.M)
    failed += re.findall(r"^FAILED (\S+)", text, re.M)
    skipped = re.findall(r"^ok \d+ - (\S+ # SKIP .*?) # \[", text, re.M)
    skipped += re.findall(r"^SKIP (\S+: .*)$", text, re.M)
    return failed, skipped


def read(path):
    """Its text; nothing where it is not there."""
    return path.read_text(errors="replace") if path.exists() else ""


def one(release, copy, programs):
    """Everything on one kernel; what goes to its file."""
    package, version, files = fetch.fetch(BUILD, release)
    fetch.unpack(files, BUILD / release / "kernel")
    job = (JOB.replace("PROGRAMS", " ".join(programs))
           .replace("PYTHONS", " ".join(PYTHON))
           .replace("CHAOS", str(CHAOS_SECONDS)))
    start = time.monotonic()
    ended = vm.run(BUILD / release / "kernel", BUILD / release, copy, job,
                   LIMIT_SECONDS)
    out = BUILD / release / "out"
    kept = {"release": release, "called": fetch.RELEASES[release],
            "package": package, "version": version,
            "uname": read(out / "uname").strip(),
            "pressure": bool(read(out / "psi").strip()),
            "seconds": round(time.monotonic() - start), "suites": {},
            "failed": [], "skipped": [],
            "facts": dict(line.split("\t") for line in
                          read(out / "facts").splitlines())}
    for name in SUITES:
        text = read(out / f"{name}.log")
        kept["suites"][name] = counts(text)
        failed, skipped = said(text)
        kept["failed"] += failed
        kept["skipped"] += skipped
        if not SUMMARY.search(text):
            kept["failed"].append(f"{name}: did not come to its end")
            kept["suites"][name][1] += 1
    if ended is None:
        kept["failed"].append("the machine did not come to its end")
    if not kept["facts"]:
        kept["failed"].append("facts: " + read(out / "facts.err"))
        kept["suites"]["facts"] = [0, 1, 0]
    return kept


def main(arguments):
    """Run them; return the exit status."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    releases = arguments[:at] or list(fetch.RELEASES)
    programs = [p for p in arguments[at + 1:] if Path(p).name not in PURE]
    machine = subprocess.run(["dpkg", "--print-architecture"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    if machine != "amd64":
        print(f"SKIP kernels: made for amd64, this is {machine}")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    copy = copy_tree()
    total = [0, 0, 0]
    for release in releases:
        print(f"--- {fetch.RELEASES[release]}", flush=True)
        try:
            kept = one(release, copy, programs)
        except fetch.NotThere as why:
            print(f"not ok - {release}: {why}")
            total[1] += 1
            continue
        (BUILD / f"{release}.json").write_text(json.dumps(kept, indent=1) +
                                               "\n")
        print(f"Linux {kept['uname']}, {kept['seconds']} s")
        for name, found in kept["suites"].items():
            print(f"{name:8} {found[0]} passed, {found[1]} failed,"
                  f" {found[2]} skipped")
            total = [a + b for a, b in zip(total, found)]
        for case in kept["failed"]:
            print(f"not ok - {case}")
        for case in kept["skipped"]:
            print(f"skipped {case}", flush=True)
    shutil.rmtree(copy)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
