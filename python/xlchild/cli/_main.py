"""What python -m xlchild does, from the options to the exit status.

Called by xlchild.__main__ and by the script xlchild.
"""
import contextlib
import os
import shlex
import signal
import sys
import time

from .._spec import KillPolicy, KillScope
from ..pool import Pool
from ..pool._spool import NamedSpool, Spool
from ._input import Commands, Lines, Template, combinations
from ._options import WRONG_USE, parse
from ._printer import LineBuffer, Printer, Sink

__all__ = ["main"]

MANY = 101
TOTAL_TIMEOUT = 124
STARTERS = 4
WINDOW = 256


class Stop(Exception):
    """It cannot go on; the words for the user, and the exit status."""

    def __init__(self, words, code=WRONG_USE):
        super().__init__(words)
        self.code = code


def complain(words):
    """A line on stderr."""
    if sys.stderr is None:
        return  # closed; print() would take stdout instead
    try:
        print("xlchild: %s" % words, file=sys.stderr, flush=True)
    except OSError:
        pass  # there is nobody to tell


class Tally:
    """Counts what has ended."""

    def __init__(self):
        self.begun = time.monotonic()
        self.count = self.failed = self.lost = self.late = self.ended = 0

    def add(self, result, seq):
        """One more; what went wrong beside its exit status is said."""
        self.count += 1
        if result.cancelled:
            self.ended += 1
        elif not result.success:
            self.failed += 1
        self.late += result.timed_out
        if result.error is not None and not result.cancelled:
            complain("job %d: %s" % (seq, result.error))
        elif result.status is not None and result.status.lost is not None:
            self.lost += 1
            complain("job %d: the status is %s" % (seq, result.status))

    def words(self):
        """A line of it."""
        seconds = time.monotonic() - self.begun
        return ("%d commands, %d failed, %d timed out, %d ended early, %d "
                "lost, %.2f s, %.0f a second"
                % (self.count, self.failed, self.late, self.ended, self.lost,
                   seconds, self.count / seconds if seconds else 0))


class Signals:
    """Ctrl-C and its kin end the pool: gently first, the second time not."""

    WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.pool = None
        self.first = None
        self._before = {}

    def __enter__(self):
        for signo in self.WATCHED:
            if signal.getsignal(signo) != signal.SIG_IGN:  # as nohup has it
                self._before[signo] = signal.signal(signo, self._came)
        return self

    def _came(self, signo, _frame):
        again = self.first is not None
        self.first = self.first or signo
        if self.pool is None:
            raise KeyboardInterrupt
        self.pool.cancel(at_once=again)

    def __exit__(self, *_):
        for signo, handler in self._before.items():
            signal.signal(signo, handler)


def commands_of(options, wanted, tags):
    """The Commands that the options are about, and how many (or None)."""
    total = None
    if options.sources is not None:
        items = combinations(options.sources, options.max_args)
        if len(options.sources) == 1 and wanted is None:
            total = -(-len(options.sources[0]) // options.max_args)
    else:
        fd, name = 0, "standard input"
        if options.arg_file != "-":
            name = options.arg_file
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        items = Lines(fd, options.delimiter or b"\n", options.max_args, name)
    verbose = None
    if options.verbose:
        def verbose(command):
            print(shlex.join(command), file=sys.stderr)
    template = Template(options.command, options.replace, options.shell)
    return Commands(items, template, wanted, tags, verbose), total


def accounts_of(options):
    """The files that the results are written to."""
    accounts = []
    if options.report or options.joblog:
        from . import _report
        if options.report:
            accounts.append(_report.Report(
                options.report, options.resume or options.resume_failed))
        if options.joblog:
            accounts.append(_report.Joblog(options.joblog))
    return accounts


def wanted_of(options):
    """What --resume leaves out: a function of a command, or None."""
    if not (options.resume or options.resume_failed):
        return None
    from ._report import done_before
    return done_before(options.report, options.resume_failed, complain)


def pool_of(options, printer, stack):
    """The Pool of the options, closed with the stack."""
    settings = {
        "timeout": options.timeout, "total_timeout": options.total_timeout,
        "attempts": options.retries, "backoff": options.backoff,
        "delay": options.delay, "halt": options.halt,
        "kill": KillPolicy(signal.SIGTERM, options.kill_after,
                           KillScope.GROUP),
        "new_group": True, "cwd": options.cwd, "nice": options.nice,
    }
    if options.scheduler is not None:
        settings["executor"] = stack.enter_context(
            client_of(options.scheduler))
    elif options.style == "line":
        settings["on_output"] = printer
    else:
        settings["starters"] = STARTERS if options.jobs > 1 else 0
        if options.style == "ungroup":
            settings["capture"] = False
        elif options.results:
            settings["spool"] = NamedSpool(options.results)
        else:
            settings["spool"] = Spool(options.tmpdir)
    return stack.enter_context(Pool(options.jobs, **settings))


def client_of(address):
    """A client of the dask scheduler there."""
    try:
        from distributed import Client
        return Client(address, timeout=5, set_as_default=False)
    except ImportError as error:
        raise Stop("--scheduler needs dask.distributed: %s" % error)
    except (OSError, ValueError) as error:
        raise Stop("--scheduler %s: %s" % (address, error))


def run(options, signals):
    """Run the commands; the exit status."""
    wanted = wanted_of(options)
    commands, total = commands_of(options, wanted, options.tag)
    if options.dry_run:
        for command in commands:
            print(shlex.join(command))
        sys.stdout.flush()
        return 0
    accounts = accounts_of(options)
    tag = None
    if options.tag:
        def tag(result):
            return commands.tag(result.index)
    printer = (LineBuffer if options.style == "line" else Printer)(
        Sink(1, "standard output"), Sink(2, "standard error"), tag)
    bar = None
    if options.bar and sys.stderr.isatty():
        from .._progress import progress
        bar = progress(total, "xlchild")
    tally = Tally()
    with contextlib.ExitStack() as stack:
        signals.pool = pool = pool_of(options, printer, stack)
        try:
            for batch in pool.batches(
                    commands, WINDOW if options.keep_order else 0):
                for result in batch:
                    seq = commands.seq(result.index)
                    printer.put(result)
                    tally.add(result, seq)
                    for account in accounts:
                        account.add(result, seq)
                printer.flush()
                for account in accounts:
                    account.flush()
                if bar is not None:
                    bar.advance(len(batch))
        finally:
            if bar is not None:
                bar.close()
    for account in accounts:
        account.flush()
        account.close()
    if options.summary or signals.first is not None:
        complain(tally.words())
    if signals.first is not None:
        return 128 + signals.first
    if pool.out_of_time:
        return TOTAL_TIMEOUT
    return min(tally.failed, MANY)


def keep_standard_fds():
    """A standard stream that is closed stays useless: no file of ours may
    take its number."""
    for fd, useless in ((0, os.O_WRONLY), (1, os.O_RDONLY),
                        (2, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, useless)  # gets the lowest number


def main(argv=None):
    """Run with these arguments (None: sys.argv's); return the exit status.

    >>> from xlchild.cli import main
    >>> main(["--dry-run", "gzip", "{}", ":::", "a", "b c"])
    gzip a
    gzip 'b c'
    0
    """
    keep_standard_fds()
    options = parse(argv)
    with Signals() as signals:
        try:
            return run(options, signals)
        except KeyboardInterrupt:
            return 128 + (signals.first or signal.SIGINT)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)  # for what Python itself flushes at its end
            os.close(null)
            return 128 + signal.SIGPIPE
        except (Stop, OSError, ValueError) as error:
            complain(said(error))
            return WRONG_USE


def said(error):
    """An error in the words for a user."""
    if isinstance(error, OSError) and error.filename is not None:
        name = error.filename
        return "%s: %s" % (os.fsdecode(name) if isinstance(name, bytes)
                           else name, error.strerror)
    return str(error)
