"""What python -m xlchild does, from the options to the exit status.

Called by xlchild.__main__ and by the script xlchild.
"""
import _signal as signal  # what signal adds are enumerations
import contextlib
import os
import sys
import time

from .. import _libxl
from ..pool import Pool
from ..pool._pressure import Unfit
from ..pool._result import ExecutorGone, OutputLost
from ..pool._spool import NamedSpool, Spool
from ._input import commands_of, with_slot
from ._options import WRONG_USE, parse
from ._printer import LineBuffer, Printer
from ._sink import Sink
from ._template import joined
from ._terminal import (Bar, Signals, has_terminal, ignored_signals,
                        terminal)

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

    def __init__(self, local=True):
        self._local = local
        self.begun = time.monotonic()
        self.count = self.failed = self.lost = self.late = self.ended = 0
        self.broken = False  # we failed, not the commands

    def add(self, result, seq):
        """One more; what went wrong beside its exit status is said."""
        self.count += 1
        if result.cancelled:
            self.ended += 1
        elif not result.success:
            self.failed += 1
        self.late += result.timed_out
        error = result.error
        if error is not None and not result.cancelled:
            complain("job %d: %s" % (seq, self._words(result, error)))
        elif result.status is not None and result.status.lost is not None:
            self.lost += 1
            complain("job %d: the status is %s" % (seq, result.status))

    def _words(self, result, error):
        """What went wrong; OSErrors that are no SpawnErrors are ours."""
        if isinstance(error, ExecutorGone):
            self.broken = True
        if isinstance(error, OutputLost):
            self.broken = True
            return "its output may not be all there: %s" % said(error)
        stage = getattr(error, "stage", None)
        if isinstance(error, OSError) and stage is None and self._local:
            self.broken = True
            return said(error)
        if stage == "exec" and isinstance(error, FileNotFoundError) \
                and result.args:
            from ._words import hint
            return "%s%s" % (error, hint(os.fsdecode(result.args[0])))
        return error

    def words(self):
        """A line of it."""
        seconds = time.monotonic() - self.begun
        return ("%d commands, %d failed, %d timed out, %d ended early, %d "
                "lost, %.2f s, %.0f a second"
                % (self.count, self.failed, self.late, self.ended, self.lost,
                   seconds, self.count / seconds if seconds else 0))


def accounts_of(options):
    """The files that the results are written to."""
    accounts = []
    if options.report or options.joblog:
        from . import _report
        again = bool(options.resume or options.resume_failed)
        if options.report:
            accounts.append(_report.Report(options.report, again))
        if options.joblog:
            accounts.append(_report.Joblog(options.joblog, again))
    return accounts


def wanted_of(options):
    """What --resume leaves out: a function of a command and its number."""
    if not (options.resume or options.resume_failed):
        return None
    from . import _report
    if options.report:
        return _report.done_before(options.report, options.resume_failed,
                                   complain)
    return _report.done_in_joblog(options.joblog, options.resume_failed,
                                  complain)


def policy_of(options):
    """How commands are ended."""
    signo, grace = options.termseq or (signal.SIGTERM, None)
    return (signo, options.kill_after if grace is None else grace,
            _libxl.LIBXL_KILL_PROCESS if options.tty
            else _libxl.LIBXL_KILL_GROUP)


def pool_of(options, printer, stack, bar):
    """The Pool of the options, closed with the stack."""
    share = None
    if options.timeout is not None and options.timeout < 0:
        share, options.timeout = -options.timeout, None
    settings = {
        "timeout": options.timeout, "total_timeout": options.total_timeout,
        "attempts": options.retries, "backoff": options.backoff,
        "delay": options.delay, "halt": options.halt,
        "kill": policy_of(options), "cwd": options.cwd, "nice": options.nice,
        "sigignore": ignored_signals() or None,
    }
    if options.family != "never":
        settings["family"] = options.family
    if options.tty:
        settings["stdin"] = fd = terminal()
        stack.callback(os.close, fd)
    elif has_terminal():  # a command that asks it would be stopped for ever
        settings["new_session"] = True
    else:
        settings["new_group"] = True
    if options.scheduler is not None:
        del settings["sigignore"]
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
    gate = gate_of(options, settings, bar)
    if gate is not None:
        stack.callback(gate.close)
    pool = stack.enter_context(Pool(options.jobs, **settings))
    pool._share = share
    pool._gate = gate
    return pool


def gate_of(options, settings, bar):
    """What holds starts back, and draws now and then; None."""
    gates = []
    if bar is not None:
        from . import _gates
        gates.append(_gates.Ticker(bar.draw))
    if options.load is not None or options.memfree is not None:
        from . import _gates
        if options.load is not None:
            gates.append(_gates.Load(options.load, complain))
        if options.memfree is not None:
            gates.append(_gates.Memory(options.memfree, complain))
    server = server_of(options, settings)
    if server is not None:
        gates.append(server)
    if not gates:
        return None
    if len(gates) == 1:
        return gates[0]
    from ._gates import All
    return All(gates)


def server_of(options, settings):
    """The job server of GNU make's that we are below, or that we are."""
    flags = os.environ.get("MAKEFLAGS", "")
    if options.scheduler is None and "--jobserver-" in flags:
        from . import _jobserver
        try:
            reading, writing, fds = _jobserver.found(flags)
        except _jobserver.Unreachable as error:
            complain("the job server of make cannot be used: %s" % error)
        else:
            settings["pass_fds"] = fds
            settings["starters"] = 0
            settings["pdeathsig"] = signal.SIGKILL  # tokens go back then
            if "jobs" not in options.given:
                options.jobs = _jobserver.jobs_of(flags) or options.jobs
            return _jobserver.Client(reading, writing)
    if options.jobserver:
        from ._makes import Server
        return Server(options.jobs, options.jobserver)
    return None


def client_of(address):
    """A client of the dask scheduler there."""
    try:
        from distributed import Client
        return Client(address, timeout=5, set_as_default=False)
    except ImportError as error:
        raise Stop("--scheduler needs dask.distributed: %s" % error)
    except (OSError, ValueError) as error:
        raise Stop("--scheduler %s: %s" % (address, error))


def preparation(options, commands, printer, pool):
    """What is done before each start: a function of a Result, or None."""
    echo = options.echo and options.style != "group"
    gate = pool._gate
    if not (commands.has_slot or options.slot_var or options.verbose or echo
            or gate is not None):
        return None
    raw = {}

    def prepare(result):
        if commands.has_slot:
            words = raw.setdefault(result.index, result.args)
            result.args = with_slot(words, result._slot)
            if result.attempts >= options.retries:
                del raw[result.index]
        if result.attempts == 1 and options.verbose:
            complain_plain(joined(result.args))
        if result.attempts == 1 and echo:
            printer.begin(result)
        own = gate.options(result) if gate is not None else None
        if options.slot_var:
            own = own or {}
            own.setdefault("env", {})[options.slot_var] = \
                str(result._slot - 1)
        if own and "env" in own:
            own["env"] = dict(os.environ, **own["env"])
        return own
    return prepare


def complain_plain(words):
    """A line on stderr that is not ours."""
    if sys.stderr is not None:
        print(words, file=sys.stderr, flush=True)


def dry_run(commands):
    """Print the commands."""
    sink = Sink(1, "standard output")
    code = 0
    for command in commands:
        if isinstance(command, tuple):
            command = command[0]
        if isinstance(command, Unfit):
            sink.flush()
            complain("job %d: %s" % (commands.number, command))
            code = min(code + 1, MANY)
            continue
        sink.write(os.fsencode(joined(with_slot(command, 1))) + b"\n")
    sink.flush()
    sink.close()
    return code


def printer_of(options, commands):
    """What puts out what commands write."""
    tag = None
    if options.tag:
        def tag(result):
            return commands.tag(result.index)
    out, err = Sink(1, "standard output"), Sink(2, "standard error")
    if options.style == "line":
        return LineBuffer(out, err, tag, options.keep_order, options.tmpdir)
    return Printer(out, err, tag, options.echo and options.style == "group")


def run(options, signals):
    """Run the commands; the exit status."""
    commands = commands_of(options, wanted_of(options))
    if not options.sources and not options.dry_run and os.isatty(0):
        complain("reading lines from the terminal; Ctrl-D ends them")
    if options.dry_run:
        return dry_run(commands)
    accounts = accounts_of(options)
    printer = printer_of(options, commands)
    signals.bar = bar = Bar.of(options.show, commands.total)
    tally = Tally(options.scheduler is None)
    with contextlib.ExitStack() as stack:
        signals.pool = pool = pool_of(options, printer, stack, bar)
        if signals.first is not None:  # and what it raised was lost
            raise KeyboardInterrupt
        pool._total = commands.rows
        pool._prepare = preparation(options, commands, printer, pool)
        printer.meanwhile(signals.meanwhile)
        stack.callback(printer.close)
        if bar is not None:
            bar.draw()
            stack.callback(bar.close)
        window = options.keep_order and options.style != "line"
        prints = options.style != "ungroup"
        for batch in pool.batches(commands, WINDOW if window else 0):
            if bar is not None and options.style != "ungroup":
                bar.clear()
            failed = tally.failed
            for result in batch:
                seq = commands.seq(result.index)
                wrote = 0
                if prints:
                    wrote = printer.put(result)
                    commands.over(result.index)
                tally.add(result, seq)
                for account in accounts:
                    account.add(result, seq, wrote)
            printer.flush()
            for account in accounts:
                account.flush()
            if tally.broken:
                pool.stop()
            if bar is not None:
                bar.advance(len(batch), tally.failed - failed, pool.running)
        printer.rest()
    for account in accounts:
        account.flush()
        account.close()
    if options.summary or signals.first is not None:
        complain(tally.words())
    if signals.first is not None:
        return 128 + signals.first
    if tally.broken:
        return WRONG_USE
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
    >>> main(["--fail-fast", "true", ":::", "a", "b c"])
    0
    """
    keep_standard_fds()
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["doctor"]:
        from ._doctor import main as doctor
        return doctor(words[1:])
    options = parse(words)
    with Signals(options.tty, last=argv is None) as signals:
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
