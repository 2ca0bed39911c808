"""python -m xlchild: run many commands, some at a time.

Commands come from a file, from standard input, or after ``:::``, one a line;
a template on the command line gets each line in place of ``{}`` (or at its
end). Option names are those of xargs and GNU parallel where they have them.

The exit status is that of GNU parallel: 0 if all went well, the number of
commands that failed (101 for more than 100), 130 after Ctrl-C, 2 for a wrong
use.
"""
import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
import time

from ._progress import progress
from .pool import Pool


def parser():
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m xlchild", description=__doc__.split("\n\n")[0],
        epilog="Example: ls *.gz | python -m xlchild -j4 gzip -t {}")
    p.add_argument("command", nargs=argparse.REMAINDER,
                   help="template; without one each line is a command")
    p.add_argument("-a", "--arg-file", metavar="FILE", default="-",
                   help="read lines from FILE (default: standard input)")
    p.add_argument("-j", "--jobs", "-P", "--max-procs", metavar="N",
                   type=int, default=os.cpu_count() or 1,
                   help="run N at a time (default: processors)")
    p.add_argument("-0", "--null", action="store_true",
                   help="lines end with a null byte")
    p.add_argument("-k", "--keep-order", action="store_true",
                   help="print output in the order of the lines")
    p.add_argument("--shell", action="store_true",
                   help="run each line by /bin/sh")
    p.add_argument("--timeout", metavar="SECONDS", type=float,
                   help="end a command after SECONDS")
    p.add_argument("--retries", metavar="N", type=int, default=0,
                   help="try a failing command N more times")
    p.add_argument("--halt", "--fail-fast", action="store_true",
                   dest="halt", help="stop at the first failure")
    p.add_argument("--ungroup", "-u", action="store_true",
                   help="let output through as it comes")
    p.add_argument("--report", "--joblog", metavar="FILE",
                   help="write a JSON line for each command")
    p.add_argument("--resume", action="store_true",
                   help="skip what the report says has succeeded")
    p.add_argument("-q", "--quiet", action="store_true",
                   help="no progress bar, no summary")
    p.add_argument("--dry-run", action="store_true",
                   help="print the commands, run nothing")
    return p


def lines(options):
    """The lines of input, without their ends."""
    after = None
    if ":::" in options.command:
        at = options.command.index(":::")
        after = options.command[at + 1:]
        options.command = options.command[:at]
    if after is not None:
        return after
    end = b"\0" if options.null else b"\n"
    if options.arg_file == "-":
        data = sys.stdin.buffer.read()
    else:
        with open(options.arg_file, "rb") as source:
            data = source.read()
    return [os.fsdecode(line) for line in data.split(end) if line]


def command_of(line, options):
    """The argument list for one line."""
    if options.command:
        if options.shell:
            text = " ".join(options.command)
            word = shlex.quote(line)
            text = text.replace("{}", word) if "{}" in text \
                else text + " " + word
            return ["/bin/sh", "-c", text]
        if any("{}" in word for word in options.command):
            return [word.replace("{}", line) for word in options.command]
        return options.command + [line]
    if options.shell:
        return ["/bin/sh", "-c", line]
    return shlex.split(line)


def succeeded_before(path):
    """The commands that a report calls successful."""
    done = set()
    with contextlib.suppress(FileNotFoundError), open(path) as report:
        for line in report:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if row.get("ok"):
                    done.add(tuple(row["args"]))
    return done


def row_of(result):
    """A result as a line of the report."""
    status = result.status
    return {
        "seq": result.index + 1,
        "args": result.args,
        "ok": result.success,
        "exit": status.exitcode if status else None,
        "signal": status.signal if status else None,
        "lost": status.lost.name if status and status.lost else None,
        "error": str(result.error) if result.error else None,
        "timed_out": result.timed_out,
        "cancelled": result.cancelled,
        "attempts": result.attempts,
        "seconds": round(result.seconds, 6),
    }


class Tally:
    """Counts, prints and reports."""

    def __init__(self, options, report):
        self.options = options
        self.report = report
        self.count = self.failed = self.lost = self.timed_out = 0

    def add(self, result):
        """Print its output, write its row, count it."""
        self.count += 1
        if not result.success:
            self.failed += 1
        if result.timed_out:
            self.timed_out += 1
        if result.status is not None and result.status.lost is not None:
            self.lost += 1
        if result.stdout:
            sys.stdout.buffer.write(result.stdout)
        if result.stderr:
            sys.stdout.buffer.flush()
            sys.stderr.buffer.write(result.stderr)
            sys.stderr.buffer.flush()
        if result.error is not None and not self.options.quiet:
            print("xlchild: %s" % result.error, file=sys.stderr)
        if self.report is not None:
            self.report.write(json.dumps(row_of(result)) + "\n")

    def summary(self, seconds):
        """One line."""
        rate = self.count / seconds if seconds > 0 else 0.0
        return ("%d commands, %d failed, %d timed out, %d lost, %.2f s, "
                "%.0f a second" % (self.count, self.failed, self.timed_out,
                                   self.lost, seconds, rate))


def main(argv=None):
    """Run; return the exit status."""
    options = parser().parse_args(argv)
    if options.jobs < 1:
        parser().error("-j needs a number of 1 or more")
    if options.resume and not options.report:
        parser().error("--resume needs --report")
    try:
        commands = [command_of(line, options) for line in lines(options)]
    except (OSError, ValueError) as error:
        print("xlchild: %s" % error, file=sys.stderr)
        return 2
    commands = [c for c in commands if c]
    if options.resume:
        done = succeeded_before(options.report)
        commands = [c for c in commands if tuple(c) not in done]
    if options.dry_run:
        for command in commands:
            print(shlex.join(command))
        return 0
    report = open(options.report, "a" if options.resume else "w",
                  buffering=1) if options.report else None
    tally = Tally(options, report)
    begin = time.monotonic()
    interrupted = False
    bar = progress(len(commands), "xlchild", wanted=not options.quiet)
    pool = Pool(options.jobs, capture=not options.ungroup,
                timeout=options.timeout, retries=options.retries,
                fail_fast=options.halt)
    try:
        for result in (pool.map(commands) if options.keep_order
                       else pool.as_completed(commands)):
            tally.add(result)
            bar.advance()
    except KeyboardInterrupt:
        interrupted = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    finally:
        pool.close()
        bar.close()
        if report is not None:
            report.close()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    if not options.quiet:
        print("xlchild: " + tally.summary(time.monotonic() - begin),
              file=sys.stderr)
    if interrupted:
        return 130
    return min(tally.failed, 101)


if __name__ == "__main__":
    sys.exit(main())
