#!/usr/bin/python3
"""A program that runs many commands, timed from its start to its end.

    bench/python/commands.py --peer NAME [--children N] [--concurrency N]
                             [--for-ms N] [--lines N] --child PATH

Run by bench/run.py with plan_python.py. Each gets the same list on its
standard input, a line a command, and prints nothing. Prints one line of JSON.
GNU parallel, twenty times slower, gets a fifth of the list.
--lines: so many of them instead, fifty a command; and the most memory that
the program ever had, by the kernel's own mark (VmHWM).
Exit status 77: there is no such program here.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time

UNAVAILABLE = 77

# name: (command, its option for how many at a time, share of the list)
PEERS = {
    "xargs": (["xargs", "-n1"], "-P", 1),
    "parallel": (["parallel", "--will-cite"], "-j", 5),
    "xlchild-command": ([sys.executable, "-m", "xlchild"], "-j", 1),
    "xlchild-ungrouped": ([sys.executable, "-m", "xlchild", "-u"], "-j", 1),
}


def version(command):
    """What its --version says: the last word of the first line."""
    done = subprocess.run([*command, "--version"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\n")[0].split()[-1]


def peak_mb(process):
    """Of its memory, in units of 1,000,000 bytes, once it has ended."""
    peak = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
        if found:  # not any more when it is about to end
            peak = max(peak, int(found[1]))
        time.sleep(0.01)
    return peak * 1024 / 1e6


def run_lines(command, options):
    """Many lines, few commands: what is kept of the lines?"""
    with tempfile.TemporaryFile() as lines:
        for number in range(options.lines):
            lines.write(b"%d\n" % number)
        lines.seek(0)
        with subprocess.Popen([*command, options.child], stdin=lines,
                              stdout=subprocess.DEVNULL) as process:
            peak = peak_mb(process)
    if process.returncode or not peak:
        raise SystemExit(f"exit status {process.returncode}, {peak} MB")
    return {"peak_mb": peak}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True, choices=sorted(PEERS))
    parser.add_argument("--child", required=True)
    parser.add_argument("--children", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--for-ms", type=int, help="all of them, always")
    parser.add_argument("--lines", type=int)
    options = parser.parse_args()
    command, many, share = PEERS[options.peer]
    if shutil.which(command[0]) is None:
        print(f"{command[0]} is not installed", file=sys.stderr)
        return UNAVAILABLE
    if options.lines:
        figures = run_lines(
            [*command, "-n50", f"{many}{options.concurrency}"], options)
        print(json.dumps({"peer": options.peer, "lines": options.lines,
                          "version": version(command), **figures}))
        return 0
    n = max(1, options.children // share)
    with tempfile.TemporaryFile() as lines:
        lines.write(b"".join(b"%d\n" % number for number in range(n)))
        lines.seek(0)
        before = time.perf_counter()
        done = subprocess.run(
            [*command, f"{many}{options.concurrency}", options.child],
            stdin=lines, stdout=subprocess.PIPE, check=True)
        took = time.perf_counter() - before
    if done.stdout:
        raise SystemExit("it was not to print anything")
    print(json.dumps({"peer": options.peer, "commands": n,
                      "version": version(command),
                      "us_per_child": took / n * 1e6}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
