#!/usr/bin/python3
"""One way of starting and reaping children from Python, timed.

    bench/python/peer.py --peer NAME [--children N] [--concurrency N]
                         [--for-ms N] --child PATH

Run by bench/run.py with plan_python.py. Prints one line of JSON. The peers
are the functions of standard.py, loops.py and ours.py that bear the name.
Exit status 77: this interpreter or machine has not got what the peer needs.
"""

import argparse
import json
import sys
import time

UNAVAILABLE = 77


class Unavailable(Exception):
    """The peer cannot run here; the text says what is missing."""


class Clock:
    """Says when to stop starting: after so many, or so long."""

    def __init__(self, children, for_ms):
        self.left = children
        self.until = time.monotonic() + for_ms / 1000 if for_ms else None
        self.started = 0

    def take(self, n=1):
        """Up to n more children may start: how many."""
        if self.until is not None and time.monotonic() >= self.until:
            self.left = 0
        n = min(n, self.left)
        self.left -= n
        self.started += n
        return n


def peers():
    import loops
    import ours
    import standard

    found = {}
    for module in (standard, loops, ours):
        found.update(module.PEERS)
    return found


def version(name):
    """Of the library beside Python, and Python's own."""
    said = "Python " + sys.version.split()[0]
    for module in ("uvloop", "xlchild"):
        if module in name:
            there = sys.modules.get(module)
            said = f"{module} {there.__version__}, {said}" if there else said
    return said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True)
    parser.add_argument("--child", required=True)
    parser.add_argument("--children", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--for-ms", type=int, default=0)
    parser.add_argument("--warmup", type=int, default=20)
    options = parser.parse_args()
    try:
        peer = peers()[options.peer]
        figures = peer(options, Clock)
    except Unavailable as why:
        print(f"{options.peer}: {why}", file=sys.stderr)
        return UNAVAILABLE
    print(json.dumps({"peer": options.peer,
                      "version": version(options.peer), **figures}))
    return 0


if __name__ == "__main__":
    # One module object, under its own name, for those who import it.
    sys.modules["peer"] = sys.modules["__main__"]
    sys.exit(main())
