#!/usr/bin/python3
"""Thousands of real children over real files, beside the program's own.

One `sha256sum` a file of this machine, a bounded number at a time, each
result checked against hashlib. Twice:

 1. in the pidfd mode (the default): no signal handler, no wait for others;
 2. in the founding mode: the library owns SIGCHLD and reaps every child,
    while this program keeps starting children of its own, each with an exit
    status of its own choosing, which must all come back to it through
    childproc_exited_callback.

The same work is done with subprocess for comparison. Exits non-zero when
anything differs.
"""
import hashlib
import os
import subprocess
import sys
import threading
import time

import xlchild
from xlchild._progress import progress
from xlchild.pool import Pool

FILES = int(os.environ.get("XLCHILD_DEMO_FILES", "5000"))
JOBS = 16
LARGEST = 256 * 1024
PLACES = ("/usr/include", "/usr/share/doc", "/usr/share", "/usr/lib",
          "/etc", "/usr")


def find_files(count):
    """The first count regular files below PLACES, none too large."""
    found, seen = [], set()
    for place in PLACES:
        for folder, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                try:
                    info = os.lstat(path)
                except OSError:
                    continue
                if not os.path.isfile(path) or os.path.islink(path) \
                        or info.st_size > LARGEST or path in seen:
                    continue
                seen.add(path)
                found.append(path)
                if len(found) == count:
                    return found
    return found


def digests_of(paths):
    """What hashlib makes of each file."""
    wanted = {}
    for path in paths:
        with open(path, "rb") as file:
            wanted[path] = hashlib.sha256(file.read()).hexdigest()
    return wanted


class Sum:
    """The numbers of one run."""

    def __init__(self, name):
        self.name = name
        self.reaped = self.failed = self.lost = self.started = 0
        self.seconds = 0.0

    def line(self):
        rate = self.reaped / self.seconds if self.seconds else 0.0
        return ("%-28s started %5d  reaped %5d  failed %d  lost %d  "
                "%6.0f children/s" % (self.name, self.started, self.reaped,
                                      self.failed, self.lost, rate))


def checksum_all(name, paths, wanted, host=None, **treaty):
    """A child a file through xlchild; every digest is checked."""
    total = Sum(name)
    bar = progress(len(paths), name)
    begin = time.monotonic()
    with Pool(JOBS, **treaty) as pool:
        for result in pool.as_completed(["sha256sum", "--", path]
                                        for path in paths):
            total.started += result.attempts if not result.error else 0
            bar.advance()
            if result.status is None:
                total.failed += 1
                continue
            total.reaped += 1
            if result.status.lost is not None:
                total.lost += 1
            # a name with odd characters makes the line begin with a \
            digest = result.stdout.lstrip(b"\\")[:64].decode()
            if not result.success or digest != wanted[result.args[2]]:
                total.failed += 1
                print("differs: %r" % result, file=sys.stderr)
        total.seconds = time.monotonic() - begin
        bar.close()
        if host is not None:
            host.finish(pool)
    return total


def with_subprocess(paths, wanted):
    """The same with subprocess and a thread pool, as people do it."""
    from concurrent.futures import ThreadPoolExecutor
    total = Sum("subprocess, threads")
    bar = progress(len(paths), total.name)

    def one(path):
        done = subprocess.run(["sha256sum", "--", path],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        return path, done

    begin = time.monotonic()
    with ThreadPoolExecutor(JOBS) as threads:
        for path, done in threads.map(one, paths):
            total.started += 1
            total.reaped += 1
            bar.advance()
            digest = done.stdout.lstrip(b"\\")[:64].decode()
            if done.returncode or digest != wanted[path]:
                total.failed += 1
    total.seconds = time.monotonic() - begin
    bar.close()
    return total


class Host:
    """The program's own children, started without a pause meanwhile.

    Each is told its exit status; the library reaps it and tells reported().
    """

    def __init__(self):
        self.wanted = {}
        self.got = {}
        self.stop = threading.Event()
        self.room = threading.Semaphore(64)
        self.thread = threading.Thread(target=self._run)

    def reported(self, pid, status):
        """The childproc_exited_callback."""
        self.got.setdefault(pid, []).append(status.returncode)
        self.room.release()
        return True

    def _run(self):
        """posix_spawn, and nobody but the library waits."""
        number = 0
        while not self.stop.is_set():
            if not self.room.acquire(timeout=0.5):
                continue
            number += 1
            code = number % 251 + 1
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit %d" % code],
                                 os.environ)
            # a pid can come again once its first owner was reported
            self.wanted.setdefault(pid, []).append(code)

    def finish(self, pool):
        """Start no more, and wait until all have been reported: 10 s."""
        self.stop.set()
        self.thread.join()
        until = time.monotonic() + 10

        def until_reported():
            while time.monotonic() < until \
                    and sum(map(len, self.got.values())) < self.count():
                yield ["sleep", "0.01"]

        for _ in pool.as_completed(until_reported()):
            pass

    def problems(self):
        """How many children were not reported once, with their status."""
        wrong = 0
        for pid, codes in self.wanted.items():
            if self.got.get(pid) != codes:
                wrong += 1
                print("own child %d: wanted %r, got %r"
                      % (pid, codes, self.got.get(pid)), file=sys.stderr)
        return wrong + len(set(self.got) - set(self.wanted))

    def count(self):
        """How many were started."""
        return sum(map(len, self.wanted.values()))


def main():
    """Run it all; 0 only if every number is right."""
    import signal
    begin = time.monotonic()
    paths = find_files(FILES)
    wanted = digests_of(paths)
    print("%d files, %d at a time" % (len(paths), JOBS))
    wrong = 0
    if len(paths) < FILES:
        print("there are only %d files" % len(paths), file=sys.stderr)
        wrong += 1

    with xlchild.Context() as context:
        mode = context.diagnose().mode_in_force.name.lower()
    runs = [checksum_all("xlchild, mode %s (pidfd)" % mode, paths, wanted)]
    print(runs[-1].line())

    before = signal.getsignal(signal.SIGCHLD)
    host = Host()
    host.thread.start()
    runs.append(checksum_all("xlchild, mode libxl", paths, wanted, host,
                             owner=xlchild.SigchldOwner.LIBXL,
                             childproc_exited_callback=host.reported))
    print(runs[-1].line())
    bad = host.problems()
    wrong += bad
    print("%-28s started %5d  right %6d  wrong %d"
          % ("  the program's own", host.count(), host.count() - bad, bad))
    if signal.getsignal(signal.SIGCHLD) != before or host.count() < len(paths) // 100:
        print("SIGCHLD is not as before, or too few own children")
        wrong += 1

    peer = with_subprocess(paths, wanted)
    print(peer.line())
    for total in runs:
        wrong += total.failed + total.lost + len(paths) - total.reaped
    wrong += peer.failed
    print("xlchild is %.2f times as fast; %.1f s in all; %s"
          % (peer.seconds / runs[0].seconds, time.monotonic() - begin,
             "everything agrees" if not wrong else "%d differ" % wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
