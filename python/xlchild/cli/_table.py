"""The options of the command line: one table for everything that knows them.

Read by _options.py, which parses by it, and by _pages.py, which makes --help,
the manual page and the completions of it. Names are those of GNU parallel and
xargs where they have them.
"""
from . import _values as v

__all__ = ["BY_NAME", "DESCRIPTION", "DOCTOR", "EXITS", "FIELDS", "Option",
           "SECTIONS", "SOURCES", "TABLE"]

SECTIONS = ("Input", "Commands", "Running", "Terminal", "Output", "Account",
            "About")
FILE, FOLDER = "file", "folder"  # what a shell completes


class Option:
    """One option: what it is called, takes, means.

    kind: "flag", "value", "maybe" (a value that is attached or left out),
    "list" (each adds one), "const" (stands for a value), "same" (for what
    is so anyway) or "do" (something else instead of running commands).
    """

    __slots__ = ("names", "section", "kind", "dest", "help", "metavar",
                 "convert", "default", "const", "complete", "hidden")

    def __init__(self, names, section, kind, dest, text, metavar=None,
                 convert=None, default=None, const=None, complete=None,
                 hidden=()):
        self.names = names.split()
        self.section = section
        self.kind = kind
        self.dest = dest
        self.help = text
        self.metavar = metavar
        self.convert = convert
        self.default = default
        self.const = const
        self.complete = complete
        self.hidden = hidden  # names that are understood and not shown

    @property
    def shown(self):
        """The name that stands for it in a message: the longest."""
        return max(self.names, key=len)


def _table(section, *rows):
    return [Option(names, section, *rest[:-1], **rest[-1])
            if rest and isinstance(rest[-1], dict)
            else Option(names, section, *rest) for names, *rest in rows]


TABLE = _table(
    "Input",
    ("-a --arg-file", "list", "files", "read lines from FILE (standard "
     "input: -); again: a further source", "FILE",
     {"complete": FILE, "hidden": ("--argfile",)}),
    ("-0 --null", "flag", "null", "lines end with a null byte"),
    ("-d --delimiter", "value", "delimiter", r"lines end with C (\n)", "C",
     v.delimiter),
    ("-E", "value", "end", "the line END ends the input", "END"),
    ("--eof", "maybe", "end", "the same; without END: none does", "END",
     {"const": ""}),
    ("-C --colsep", "value", "colsep", "lines are cut at what the regular "
     "expression matches: {1} {2} ...", "REGEX", v.regex,
     {"hidden": ("--col-sep",)}),
    ("--header", "value", "header", "the first value of each source is its "
     "name: {name}; the only MARK is :", "MARK", v.header),
    ("--link", "flag", "link", "sources go side by side, not each value "
     "with every other", {"hidden": ("--xapply",)}),
    ("--trim", "value", "trim", "cut blanks off values: n none, l left, r "
     "right, lr both (n; with --colsep lr)", "HOW", v.trim, "n"),
    ("--shuf", "flag", "shuf", "in a random order; all lines are read "
     "first"),
    ("-r --no-run-if-empty", "same", None, "no input, no command: always so",
     {"hidden": ("--norunifempty",)}),
) + _table(
    "Commands",
    ("-I", "value", "replace", "R stands for the line, instead of {} and its "
     "kin", "R"),
    ("-i --replace", "maybe", "replace", "the same; without R: {}", "R",
     {"const": "{}"}),
    ("-n --max-args", "value", "max_args", "N lines a command (1)", "N",
     v.count, 1, {"hidden": ("--maxargs",)}),
    ("-N --max-replace-args", "value", "max_args", "the same, x{} becoming "
     "x1 x2; with --pipe: N lines a job", "N", v.count,
     {"const": "context", "hidden": ("--maxreplaceargs",)}),
    ("-L", "value", "max_args", "the same as -N", "N", v.count,
     {"const": "lines"}),
    ("--max-lines", "value", "max_args", "the same as -n; with --pipe as -N",
     "N", v.count, {"hidden": ("--maxlines",)}),
    ("-m", "const", "pack", "as many lines a command as fit, shared among "
     "the jobs", {"const": "m"}),
    ("-X", "const", "pack", "the same, x{} becoming x1 x2",
     {"const": "X"}),
    ("--xargs", "const", "pack", "as many lines a command as fit",
     {"const": "xargs"}),
    ("-s --max-chars", "value", "max_chars", "as many lines as fit into N "
     "bytes of command line", "N", v.size, {"hidden": ("--maxchars",)}),
    ("-x --exit", "flag", "exit", "stop at a line that does not fit (-s)"),
    ("--shell", "flag", "shell", "commands are run by /bin/sh; what {} "
     "stands for is quoted"),
    ("-q --quote", "flag", "quote", "words of COMMAND mean themselves, even "
     "| and ;"),
    ("--pipe", "flag", "pipe", "the input goes to the jobs' standard input, "
     "in blocks of whole lines", {"hidden": ("--spreadstdin",)}),
    ("--block", "value", "block", "bytes a block for --pipe (1M)", "SIZE",
     v.size, 1 << 20, {"hidden": ("--block-size", "--blocksize")}),
    ("--process-slot-var", "value", "slot_var", "set VAR to the job's slot, "
     "from 0", "VAR", v.variable, {"hidden": ("--processslotvar",)}),
    ("--env", "list", None, "VAR reaches the commands: all do", "VAR"),
) + _table(
    "Running",
    ("-j -P --jobs --max-procs", "value", "jobs", "N at a time; 0 as many "
     "as can be; N% of the processors, +N more, -N less (100%)", "N", v.jobs,
     "100%", {"hidden": ("--maxprocs",)}),
    ("--delay", "value", "delay", "TIME between two starts", "TIME",
     v.seconds, 0.0),
    ("--load", "value", "load", "start another only while fewer than N (N% "
     "of the processors) processes are at work", "N", v.load),
    ("--memfree", "value", "memfree", "start only while SIZE of memory is "
     "free", "SIZE", v.size),
    ("--timeout", "value", "timeout", "end a command after TIME, or N% of "
     "what others took (median)", "TIME", v.timeout),
    ("--total-timeout", "value", "total_timeout", "end everything after "
     "TIME", "TIME", v.seconds),
    ("--kill-after", "value", "kill_after", "SIGKILL so long after SIGTERM "
     "(2)", "TIME", v.seconds, 2.0),
    ("--termseq", "value", "termseq", "how a command is ended: SIGNAL, or "
     "SIGNAL,MILLISECONDS,KILL", "SEQ", v.termseq,
     {"hidden": ("--term-seq",)}),
    ("--family", "value", "family", "end whoever a command leaves behind, "
     "and wait for that: always, on-failure, on-timeout, never (never)",
     "WHEN", v.family, "never"),
    ("--retries", "value", "retries", "run a failing command up to N times "
     "(1)", "N", v.count, 1),
    ("--backoff", "value", "backoff", "TIME before the second run, doubled "
     "each time (0.1)", "TIME", v.seconds, 0.1),
    ("--halt", "value", "halt", "stop early: soon or now, at so many fail, "
     "success or done, or N%", "WHEN,WHAT=N", v.halt, "never",
     {"hidden": ("--halt-on-error", "--haltonerror")}),
    ("--fail-fast", "const", "halt", "--halt now,fail=1",
     {"const": "now,fail=1"}),
    ("--wd --workdir", "value", "cwd", "run commands in DIR", "DIR",
     {"complete": FOLDER, "hidden": ("--work-dir",)}),
    ("--nice", "value", "nice", "run commands with niceness N", "N",
     v.whole),
    ("--jobserver", "maybe", "jobserver", "GNU makes among the commands "
     "share the N of -j; STYLE pipe or fifo (pipe)", "STYLE", v.style,
     {"const": "pipe"}),
    ("--scheduler", "value", "scheduler", "run on the dask cluster there",
     "ADDRESS"),
) + _table(
    "Terminal",
    ("-o --tty --open-tty", "flag", "tty", "commands may use the terminal: "
     "one at a time, ungrouped, if nothing else is said"),
    ("--bar", "const", "show", "a progress bar, if standard error is a "
     "terminal", {"const": "bar"}),
    ("--eta", "const", "show", "the same, with the time that is left",
     {"const": "eta"}),
    ("--progress", "const", "show", "the same in numbers, without a bar",
     {"const": "progress"}),
) + _table(
    "Output",
    ("--group", "const", "style", "the output of a command in one piece, "
     "when it has ended (default)", {"const": "group"}),
    ("-u --ungroup", "const", "style", "output goes through as it comes",
     {"const": "ungroup"}),
    ("--lb --line-buffer", "const", "style", "output goes through line by "
     "line", {"const": "line", "hidden": (
         "--linebuffer", "--line-buffered", "--linebuffered")}),
    ("-k --keep-order", "flag", "keep_order", "output in the order of the "
     "input", {"hidden": ("--keeporder",)}),
    ("--tag", "const", "tag", "put what {} stands for before each line of "
     "output", {"const": True}),
    ("--tagstring", "value", "tag", "put TEXT there, in which {} and its kin "
     "are replaced", "TEXT", v.tag, {"hidden": ("--tag-string",)}),
    ("--results", "value", "results", "keep output in DIR/JOB/stdout and "
     "DIR/JOB/stderr, too", "DIR", v.results,
     {"complete": FOLDER, "hidden": ("--result", "--res")}),
    ("--tmpdir", "value", "tmpdir", "output waits in files there ($TMPDIR)",
     "DIR", {"complete": FOLDER, "hidden": ("--tempdir",)}),
    ("-t --verbose", "flag", "verbose", "say on standard error what is run"),
    ("-v", "flag", "echo", "say on standard output what is run, before its "
     "output"),
    ("--silent", "same", None, "say nothing of what is run: the default"),
    ("--summary", "flag", "summary", "a line on standard error at the end"),
    ("--dry-run", "flag", "dry_run", "print the commands, run nothing",
     {"hidden": ("--dryrun", "--dr")}),
) + _table(
    "Account",
    ("--report", "value", "report", "a JSON line for each command", "FILE",
     {"complete": FILE}),
    ("--joblog", "value", "joblog", "a line for each command, as GNU "
     "parallel writes it", "FILE", {"complete": FILE, "hidden": ("--jl",)}),
    ("--resume", "flag", "resume", "leave out what the report or the joblog "
     "has; add to it"),
    ("--resume-failed", "flag", "resume_failed", "the same, but run again "
     "what failed", {"hidden": ("--resumefailed",)}),
) + _table(
    "About",
    ("-h --help", "do", "help", "this text"),
    ("-V --version", "do", "version", "which xlchild this is"),
    ("--completion", "value", "completion", "print what bash, zsh or fish "
     "needs to complete options", "SHELL", v.shell),
    ("--manual", "do", "manual", "print the manual page, for man -l -"),
    ("--will-cite", "same", None, "there is nothing to silence",
     {"hidden": ("--willcite", "--nn", "--no-notice", "--nonotice", "--gnu",
                 "--plain")}),
)

BY_NAME = {name: option for option in TABLE
           for name in (*option.names, *option.hidden)}

DESCRIPTION = """\
Run many commands, some at a time. Without COMMAND each line of the input is
a command; with it, each line replaces {} in COMMAND or is put at its end."""

FIELDS = (
    ("{}", "the line"),
    ("{.}", "without its extension"),
    ("{/}", "without its folder"),
    ("{//}", "its folder"),
    ("{/.}", "without both"),
    ("{#}", "the number of the job"),
    ("{%}", "its slot, from 1 to -j"),
    ("{1} {2} {-1}", "the lines of one job (-n), its columns (--colsep) or "
     "the values of its sources; {1.} and so on"),
    ("{name}", "the same by name (--header)"),
)

SOURCES = (
    (":::", "values on the command line"),
    ("::::", "files whose lines are the values; - is standard input"),
    (":::+ ::::+", "the same, each value beside one of the source before"),
)

DOCTOR = ("doctor [PID]", "as the first word: what a running process does with "
          "SIGCHLD and its children, what this kernel offers, and what to do; "
          "for a bug report (-- doctor runs a program so called)")

EXITS = (
    ("0", "all went well"),
    ("1 to 100", "so many commands failed; 101 more"),
    ("124", "the total timeout passed"),
    ("129, 130, 143", "SIGHUP, Ctrl-C, SIGTERM"),
    ("141", "nobody reads the output"),
    ("255", "wrong use, or input, output, report or the disk failed"),
)

EXAMPLE = "ls *.gz | xlchild -j4 gzip -t {}"
