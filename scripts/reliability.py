#!/usr/bin/python3
"""What the long runs have found, and docs/reliability.md made of it.

usage: reliability.py keep NAME FIELD=NUMBER...   a run writes its figures
       reliability.py page [--write]              the page; --write takes over

Runs (soak-chaos, soak-load, fuzz, check-faults) leave build/reliability/NAME.json
through `keep`; `make reliability-page` takes these over into docs/results and
writes the page from what is there, from docs/results/kernels.json, and from the
head of docs/hosts.md. A house test compares the page with its data.
"""
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "reliability"
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "reliability.md"
NAMES = ("faults", "chaos", "load", "fuzz")

HEAD = """\
# What has been tried

Counts, written by the runs themselves (`make reliability-page`, from
[docs/results](results)). A status is *lost* when the library says so, with the
reason; one that is another's or nobody's, a hang, or anything that is left, is a
failure.

| run | Linux | how much | lost | failed |
| --- | --- | --- | --- | --- |
"""

TAIL = """
**Hosts**: programs that know nothing of the library, with our children and theirs in
one process ([hosts](hosts.md)). **Kernels**: the suites on Debian's kernels, in
virtual machines ([kernels](kernels.md)). **Faults**: the Nth system call of each kind
fails, for every N; the starting child is killed at each of its system calls; fds,
memory, process numbers run out at every limit; storms of signals, a host that is
stopped, execve answered late, with an error, or never. **Random testers**: contexts
in all modes, threads, thieves, signals, forks, cancelled threads, from a seed each.
**Load**: live children whose pipes are read, and ends per second; next to a bare loop
of posix_spawn, epoll and waitid. **Fuzz**: libFuzzer on the pure parts and on
sequences of calls against a model.
"""


def keep(name, fields):
    """Write a run's figures."""
    kept = {"kernel": os.uname().release}
    for field in fields:
        key, _, value = field.partition("=")
        kept[key] = float(value) if "." in value else int(value)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def collect():
    """Take over what the last runs left; the others stay."""
    RESULTS.mkdir(exist_ok=True)
    for name in NAMES:
        path = BUILD / f"{name}.json"
        if path.exists():
            (RESULTS / f"{name}.json").write_text(path.read_text())


def results():
    """All that is kept, by name."""
    return {path.stem: json.loads(path.read_text())
            for path in sorted(RESULTS.glob("*.json"))}


def number(n):
    """1234567 as 1,234,567."""
    return f"{n:,}"


def hosts_row(text):
    """From the head of docs/hosts.md."""
    kernel = re.search(r"Linux (\S+?)\.?$", text, re.M).group(1)
    cells, good = map(int, re.search(r"^(\d+) cells, (\d+) as announced",
                                     text, re.M).groups())
    lost = int(re.search(r"(\d+)\s+times some were reported as lost",
                         text).group(1))
    return ["hosts", kernel, f"{number(cells)} cells", f"in {lost} cells",
            str(cells - good)]


def kernel_row(run):
    """One of docs/results/kernels.json."""
    passed, failed, skipped = (sum(s[i] for s in run["suites"].values())
                               for i in range(3))
    return ["kernels", run["uname"],
            f"{number(passed)} cases; {skipped} skipped", "-",
            str(failed)]


def rows(kept, hosts):
    """The table's rows."""
    found = [hosts_row(hosts)]
    for release in ("bookworm", "trixie", "sid"):
        if release in kept.get("kernels", {}):
            found.append(kernel_row(kept["kernels"][release]))
    if "faults" in kept:
        f = kept["faults"]
        found.append(["faults", f["kernel"],
                      f"{number(f['faults'])} faults in {f['cases']} cases",
                      "-", str(f["failed"])])
    if "chaos" in kept:
        f = kept["chaos"]
        found.append(["random testers", f["kernel"],
                      f"{number(f['children'])} children in"
                      f" {number(f['runs'])} runs", number(f["lost"]),
                      str(f["failed"])])
    if "load" in kept:
        f = kept["load"]
        found.append([
            "load", f["kernel"],
            f"{number(f['children'])} children, {number(f['live'])} live at a"
            f" time, {number(f['rate'])} ends a second, {f['seconds']} s;"
            f" report after {f['ms_999']} ms (99.9 %; bare loop"
            f" {f['bare_999_ms']} ms)",
            number(f["lost"]), str(f["failed"])])
    if "fuzz" in kept:
        f = kept["fuzz"]
        found.append(["fuzz", f["kernel"], f"{number(f['inputs'])} inputs",
                      "-", str(f["failed"])])
    return found


def page(kept, hosts):
    """The whole text."""
    return HEAD + "".join("| " + " | ".join(row) + " |\n"
                          for row in rows(kept, hosts)) + TAIL


def main(arguments):
    """Do as asked; return the exit status."""
    if arguments[:1] == ["keep"] and len(arguments) > 2:
        keep(arguments[1], arguments[2:])
    elif arguments[:1] == ["page"]:
        if "--write" in arguments:
            collect()
        text = page(results(), (ROOT / "docs" / "hosts.md").read_text())
        if "--write" in arguments:
            PAGE.write_text(text)
        else:
            print(text, end="")
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
