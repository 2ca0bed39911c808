"""The command line, read and checked.

Names are those of GNU parallel and xargs where they have them. Called by
_main.py. What is wrong is said with the option's name; the exit status is
then 255, as GNU parallel's.
"""
import argparse
import os

from ..pool._halt import Halt

__all__ = ["WRONG_USE", "parse"]

WRONG_USE = 255
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

DESCRIPTION = """\
Run many commands, some at a time. Without COMMAND each line of the input is
a command; with it, each line replaces {} in COMMAND or is put at its end."""

EPILOG = """\
In COMMAND: {} the line, {.} without its extension, {/} without its folder,
{//} its folder, {/.} both, {#} the number of the job, {1} {2} ... the lines
of one job (-n) or of the lists (:::), {1.} and so on.

Exit status: 0 all went well; 1 to 100 so many commands failed, 101 more;
124 the total timeout passed; 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP; 141 nobody
reads the output; 255 wrong use, or input, output or report failed.

Example: ls *.gz | python -m xlchild -j4 gzip -t {}"""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(WRONG_USE, "%s: %s\n" % (self.prog, message))


def _formatter(prog):
    """With a width of its own: to find out another one is slow."""
    return argparse.RawDescriptionHelpFormatter(prog, width=79)


def _number(least):
    def number(text):
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                "needs a number of %d or more, not %r" % (least, text))
        return value
    return number


def _jobs(text):
    if not text.endswith("%"):
        return _number(1)(text)
    share = _number(1)(text[:-1])
    return max(1, (os.cpu_count() or 1) * share // 100)


def _seconds(text):
    unit = _UNITS.get(text[-1:], 0)
    try:
        value = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(
            "needs seconds, or a number with s, m, h or d, not %r" % text)
    return value


def _halt(text):
    try:
        Halt(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    return text


def _delimiter(text):
    known = {r"\n": "\n", r"\t": "\t", r"\0": "\0", r"\\": "\\"}
    text = known.get(text, text)
    if len(text) != 1:
        raise argparse.ArgumentTypeError(
            r"needs one character, \n, \t, \0 or \\")
    return os.fsencode(text)


def _parser():
    p = _Parser(
        prog="xlchild", usage="%(prog)s [OPTION]... [COMMAND...] "
        "[::: VALUE...]...", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=_formatter,
        allow_abbrev=False)
    p.add_argument("command", nargs=argparse.REMAINDER,
                   help=argparse.SUPPRESS)
    group = p.add_argument_group("input")
    add = group.add_argument
    add("-a", "--arg-file", metavar="FILE", default="-",
        help="read lines from FILE (standard input)")
    add("-0", "--null", action="store_true",
        help="lines end with a null byte")
    add("-d", "--delimiter", metavar="C", type=_delimiter,
        help=r"lines end with C (\n)")
    add("-I", dest="replace", metavar="R", help="R stands for the line, "
        "instead of {} and its kin")
    add("-n", "--max-args", metavar="N", type=_number(1), default=1,
        help="N lines a command (1)")
    add("--shell", action="store_true",
        help="run commands by /bin/sh; lines are quoted")

    add = p.add_argument_group("running").add_argument
    add("-j", "-P", "--jobs", "--max-procs", metavar="N", type=_jobs,
        default=os.cpu_count() or 1, help="N at a time, or N%% of the "
        "processors (100%%)")
    add("--delay", metavar="TIME", type=_seconds, default=0.0,
        help="TIME between two starts")
    add("--timeout", metavar="TIME", type=_seconds,
        help="end a command after TIME")
    add("--total-timeout", metavar="TIME", type=_seconds,
        help="end everything after TIME")
    add("--kill-after", metavar="TIME", type=_seconds, default=2.0,
        help="SIGKILL so long after SIGTERM (2)")
    add("--retries", metavar="N", type=_number(1), default=1,
        help="run a failing command up to N times (1)")
    add("--backoff", metavar="TIME", type=_seconds, default=0.1,
        help="TIME before the second run, doubled each time (0.1)")
    add("--halt", metavar="WHEN,WHAT=N", type=_halt, default="never",
        help="stop early: soon or now, at so many fail, success or done")
    add("--fail-fast", action="store_const", dest="halt",
        const="now,fail=1", help="--halt now,fail=1")
    add("--wd", "--workdir", dest="cwd", metavar="DIR",
        help="run commands in DIR")
    add("--nice", metavar="N", type=int, help="run commands with niceness N")
    add("--scheduler", metavar="ADDRESS",
        help="run on the dask cluster there")

    group = p.add_argument_group("output")
    add = group.add_argument
    style = group.add_mutually_exclusive_group()
    style.add_argument(
        "--group", dest="style", action="store_const", const="group",
        default="group", help="the output of a command in one piece, when "
        "it has ended (default)")
    style.add_argument(
        "-u", "--ungroup", dest="style", action="store_const",
        const="ungroup", help="output goes through as it comes")
    style.add_argument(
        "--lb", "--line-buffer", dest="style", action="store_const",
        const="line", help="output goes through line by line")
    add("-k", "--keep-order", action="store_true",
        help="output in the order of the input")
    add("--tag", action="store_true",
        help="put what {} stands for before each line of output")
    add("--results", metavar="DIR", help="keep output in DIR/JOB/stdout and "
        "DIR/JOB/stderr, too")
    add("--tmpdir", metavar="DIR",
        help="output waits in files there ($TMPDIR)")
    add("-t", "-v", "--verbose", action="store_true",
        help="say on stderr what is run")
    add("--bar", action="store_true",
        help="a progress bar, if stderr is a terminal")
    add("--summary", action="store_true",
        help="a line on stderr at the end")
    add("--dry-run", action="store_true",
        help="print the commands, run nothing")

    add = p.add_argument_group("account").add_argument
    add("--report", metavar="FILE", help="a JSON line for each command")
    add("--joblog", metavar="FILE",
        help="a line for each command, as GNU parallel writes it")
    add("--resume", action="store_true",
        help="leave out what the report has; add to it")
    add("--resume-failed", action="store_true",
        help="the same, but run again what failed")
    return p


def parse(argv=None):
    """The options; ends the process if they make no sense."""
    p = _parser()
    options = p.parse_args(argv)
    if options.command[:1] == ["--"]:
        del options.command[0]
    options.sources = _sources(options.command)
    wrong = _contradiction(options)
    if wrong:
        p.error(wrong)
    return options


def _sources(command):
    """The lists after ::: (None: there are none), cut off the command."""
    if ":::" not in command:
        return None
    at = command.index(":::")
    sources = [[]]
    for word in command[at + 1:]:
        if word == ":::":
            sources.append([])
        else:
            sources[-1].append(word)
    del command[at:]
    return sources


def _contradiction(o):
    """What makes no sense together, in words; None."""
    if o.null and o.delimiter is not None:
        return "-0 and -d contradict each other"
    if o.null:
        o.delimiter = b"\0"
    if o.sources is not None and o.arg_file != "-":
        return "-a and ::: contradict each other"
    if o.max_args > 1 and not o.command:
        return "-n needs a COMMAND"
    if o.max_args > 1 and o.sources is not None and len(o.sources) > 1:
        return "-n and more than one ::: contradict each other"
    if o.replace is not None and not o.command:
        return "-I needs a COMMAND"
    if o.replace == "":
        return "-I needs something to replace"
    if (o.resume or o.resume_failed) and not o.report:
        return "--resume and --resume-failed need --report"
    for name in ("keep_order", "tag", "results"):
        if getattr(o, name) and o.style == "ungroup":
            return "--%s and --ungroup contradict each other" \
                % name.replace("_", "-")
    for name in ("keep_order", "results"):
        if getattr(o, name) and o.style == "line":
            return "--%s and --line-buffer contradict each other" \
                % name.replace("_", "-")
    if o.scheduler is not None and (o.style != "group" or o.results):
        return "--scheduler brings output when a command has ended: no " \
            "--ungroup, --line-buffer or --results"
    return None
