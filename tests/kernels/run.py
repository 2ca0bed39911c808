#!/usr/bin/python3
"""The suites on the kernels that Debian has, each in a machine of qemu's.

usage: run.py [RELEASE...] -- PROGRAM...

Called by `make check-kernels`, with the programs of the C suite. For each
release the kernel is fetched (fetch.py) and booted (vm.py) on a copy of the
tree as it is built; the suites leave their output in build/kernels/RELEASE/out.
What came is kept in build/kernels/RELEASE.json, from which page.py makes its
table; XK_SUITES chooses suites, and leaves what the others left. The last line is `N passed, N failed, N skipped` over all kernels.
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
# Those that ask no kernel; and one that counts calls under strace, which takes
# a quarter of an hour in an emulated processor.
LEFT_OUT = ("fuzz_corpus", "fdplan_model", "child_cost")
PYTHON = [f"tests/python/test_{name}.py" for name in
          ("binding", "binding_objects", "errors", "vectors", "treaty",
           "signals", "ends")]
# Emulated processors are some fifteen times slower.
JOB = """\
export XT_TIME_SCALE=20 XT_THIEF_CHILDREN=300 XT_FLOOD_CHILDREN=200
export XT_LETGO_CHILDREN=300 XT_SOAK_SECONDS=2
export PYTHONPATH=$PWD/build/python:$PWD/scripts PYTHON=/usr/bin/python3
export PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
uname -r > /out/uname
grep -c . /proc/pressure/cpu > /out/psi
build/kernels/facts > /out/facts 2> /out/facts.err
"""
# Each leaves /out/NAME.log.
SUITES = {
    "machine": "XT_OWN_MACHINE=1 build/kernels/machine",
    "c": "build/tests/plain/tests/runner-all --jobs 2 PROGRAMS",
    "python": "/usr/bin/python3 -m pytest -q --tb=short -p summary_line"
              f" -p no:cacheprovider {' '.join(PYTHON)}",
    "chaos": f"{{ build/tests/plain/chaos/chaos --seconds {CHAOS_SECONDS};"
             " build/tests/plain/chaos/reuse --children 200; }",
}


def copy_tree():
    """What runs in there must not change while it does."""
    copy = BUILD / "tree"
    shutil.rmtree(copy, ignore_errors=True)
    skip = {str(BUILD), str(ROOT / ".git"), str(ROOT / "build" / "chroots"),
            str(ROOT / "build" / "trixie")}
    shutil.copytree(ROOT, copy, symlinks=True, ignore=lambda folder, names: [
        n for n in names if f"{folder}/{n}" in skip or n.endswith(".o")])
    (copy / "build" / "kernels").mkdir()
    for name in ("facts", "machine"):
        shutil.copy(BUILD / name, copy / "build" / "kernels" / name)
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


def run_on(release, copy, suites, programs):
    """Boot the release's kernel and run these; what they say is in out."""
    folder = BUILD / release
    package, version, files = fetch.fetch(BUILD, release)
    fetch.unpack(files, folder / "kernel")
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out" / "kernel.json").write_text(json.dumps(
        {"release": release, "called": fetch.RELEASES[release],
         "package": package, "version": version}))
    job = JOB
    for name in suites:
        (folder / "out" / f"{name}.log").unlink(missing_ok=True)
        job += f"{SUITES[name]} > /out/{name}.log 2>&1\n"
    return vm.run(folder / "kernel", folder, copy,
                  job.replace("PROGRAMS", " ".join(programs)), LIMIT_SECONDS)


def judge(release):
    """What all suites have left there; it goes to the release's file."""
    out = BUILD / release / "out"
    kept = json.loads(read(out / "kernel.json") or "{}")
    kept.update({
        "uname": read(out / "uname").strip(),
        "pressure": bool(read(out / "psi").strip()),
        "facts": dict(line.split("\t")
                      for line in read(out / "facts").splitlines()),
        "suites": {}, "failed": [], "skipped": []})
    for name in SUITES:
        text = read(out / f"{name}.log")
        if not text:
            continue
        kept["suites"][name] = counts(text)
        failed, skipped = said(text)
        kept["failed"] += failed
        kept["skipped"] += skipped
        if not SUMMARY.search(text):
            kept["failed"].append(f"{name}: did not come to its end")
            kept["suites"][name][1] += 1
    if not kept["facts"]:
        kept["failed"].append("facts: " + read(out / "facts.err"))
        kept["suites"]["facts"] = [0, 1, 0]
    (BUILD / f"{release}.json").write_text(json.dumps(kept, indent=1) + "\n")
    return kept


def tell(kept):
    """What came of a release; its counts."""
    total = [0, 0, 0]
    print(f"Linux {kept['uname']}")
    for name, found in kept["suites"].items():
        print(f"{name:8} {found[0]} passed, {found[1]} failed,"
              f" {found[2]} skipped on it")
        total = [a + b for a, b in zip(total, found)]
    for case in kept["failed"]:
        print(f"not ok - {case}")
    for case in kept["skipped"]:
        print(f"skipped {case}", flush=True)
    return total


def main(arguments):
    """Run them; return the exit status."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    releases = arguments[:at] or list(fetch.RELEASES)
    programs = [p for p in arguments[at + 1:] if Path(p).name not in LEFT_OUT]
    machine = subprocess.run(["dpkg", "--print-architecture"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    if machine != "amd64":
        print(f"SKIP kernels: made for amd64, this is {machine}")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    suites = os.environ.get("XK_SUITES", "").split() or list(SUITES)
    copy = copy_tree()
    total = [0, 0, 0]
    for release in releases:
        start = time.monotonic()
        print(f"--- {fetch.RELEASES[release]}", flush=True)
        try:
            ended = run_on(release, copy, suites, programs)
        except fetch.NotThere as why:
            print(f"not ok - {release}: {why}")
            total[1] += 1
            continue
        total = [a + b for a, b in zip(total, tell(judge(release)))]
        print(f"{time.monotonic() - start:.0f} s", flush=True)
        if ended is None:
            print("not ok - the machine did not come to its end")
            total[1] += 1
    shutil.rmtree(copy)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
