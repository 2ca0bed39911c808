"""The command line, read and checked.

Reads by the table (_table.py); called by _main.py. What is wrong is said with
the option's name, and what to use instead where xargs or GNU parallel would
have understood it (_theirs.py); the exit status is then 255.
"""
import sys

from ._table import BY_NAME, TABLE

__all__ = ["Options", "WRONG_USE", "Wrong", "parse"]

WRONG_USE = 255
_SEPARATORS = {":::": (False, False), "::::": (True, False),
               ":::+": (False, True), "::::+": (True, True)}
_OPERATORS = frozenset((
    "|", "||", "|&", "&", "&&", ";", ";;", "(", ")", "<", ">", ">>", "<<",
    "<<<", "<>", ">|", "<&", ">&", "&>", "&>>", "2>", "2>>", "2>&1", "1>&2",
    ">&2", "2>/dev/null", ">/dev/null", "</dev/null"))
_SHELLISH = frozenset("|&;<>()$`\\\"' \t\n*?")
_MANY = 64


class Wrong(Exception):
    """The words for somebody who used it wrongly."""


class Source:
    """One source of values: words of the command line, or a file's lines.

    linked: goes beside the source before, not with every value of it.
    """

    __slots__ = ("values", "file", "linked")

    def __init__(self, values=None, file=None, linked=False):
        self.values = values
        self.file = file
        self.linked = linked


class Options:
    """What was asked for; members are called as in the table."""

    def __init__(self):
        self.command = []
        self.sources = []
        self.files = []
        for option in TABLE:
            if option.dest and option.kind != "list":
                setattr(self, option.dest, None)
        self.style = "group"
        self.given = set()  # members that were asked for


def parse(argv=None):
    """The Options. Ends the process with words if they make no sense."""
    try:
        return parsed(sys.argv[1:] if argv is None else list(argv))
    except Wrong as wrong:
        if sys.stderr is not None:
            sys.stderr.write("xlchild: %s\n" % wrong)
        raise SystemExit(WRONG_USE)


def parsed(words):
    """The same, raising Wrong."""
    options = Options()
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            at += 1
            break
        if word[:1] != "-" or word == "-":
            break
        at += 1
        if word[:2] == "--":
            name, equals, value = word.partition("=")
            option = _known(name)
            at += _take(options, option, name, value if equals else None,
                        words, at)
            continue
        at += _short(options, word, words, at)
    _set_defaults(options)
    _separate(options, words[at:])
    wrong = _contradiction(options) or _shells_own(options)
    if wrong:
        raise Wrong(wrong)
    return options


def _known(name):
    option = BY_NAME.get(name)
    if option is None:
        from ._theirs import refusal
        raise Wrong(refusal(name))
    return option


def _short(options, word, words, at):
    """-kj4: the letters of one word; how many further words it took."""
    place = 1
    while place < len(word):
        name = "-" + word[place]
        option = _known(name)
        place += 1
        if option.kind in ("value", "list", "maybe"):
            return _take(options, option, name, word[place:] or None, words,
                         at)
        _take(options, option, name, None, words, at)
    return 0


def _take(options, option, name, value, words, at):
    """Do what the option says; how many further words it took."""
    kind = option.kind
    if kind in ("value", "list"):
        taken = 0
        if value is None:
            if at >= len(words):
                raise Wrong("%s needs %s" % (name, option.metavar))
            value, taken = words[at], 1
        value = _converted(option, name, value)
        if kind == "list":
            if option.dest:
                getattr(options, option.dest).append(value)
        else:
            setattr(options, option.dest, value)
            if option.const:  # how -N and -L differ from -n
                options.given.add(option.const)
        options.given.add(option.dest)
        if option.dest == "completion":
            from . import _pages
            _pages.show("completion", value)
        return taken
    if kind == "maybe":
        setattr(options, option.dest, option.const if value is None
                else _converted(option, name, value))
        options.given.add(option.dest)
        return 0
    if value is not None:
        raise Wrong("%s takes no value, not %r" % (name, value))
    if kind == "do":
        from . import _pages
        _pages.show(option.dest)
    if option.dest:
        _choose(options, option, name)
    return 0


def _choose(options, option, name):
    value = True if option.kind == "flag" else option.const
    before = getattr(options, option.dest)
    if option.dest in options.given and before != value \
            and option.dest in ("style", "pack"):
        other = next(o for o in TABLE
                     if o.dest == option.dest and o.const == before)
        raise Wrong("%s and %s contradict each other"
                    % (other.shown, option.shown))
    setattr(options, option.dest, value)
    options.given.add(option.dest)


def _converted(option, name, value):
    if option.convert is None:
        return value
    try:
        return option.convert(value)
    except ValueError as error:
        raise Wrong("%s: %s" % (name, error))


def _set_defaults(options):
    for option in TABLE:
        if option.default is None or option.dest in options.given:
            continue
        value = option.default
        if isinstance(value, str) and option.convert is not None:
            value = option.convert(value)
        setattr(options, option.dest, value)


def _separate(options, words):
    """Cut what follows ::: and its kin off the command."""
    for name in options.files:
        options.sources.append(Source(file=name))
    at = next((n for n, word in enumerate(words) if word in _SEPARATORS),
              None)
    options.command = words[:at]
    if at is None:
        return
    for word in words[at:]:
        if word in _SEPARATORS:
            in_files, linked = _SEPARATORS[word]
            fresh = True
            if linked and not options.sources:
                raise Wrong("%s needs a source before it" % word)
        elif in_files:
            options.sources.append(Source(file=word, linked=linked))
            fresh = False
            continue
        if not in_files:
            if word in _SEPARATORS:
                options.sources.append(Source([], linked=linked))
            else:
                options.sources[-1].values.append(word)
    if in_files and fresh:
        raise Wrong("a file is missing after ::::")


def _contradiction(o):
    """What makes no sense together, in words; None."""
    def both(*names):
        return all(getattr(o, name) for name in names)

    if o.null and o.delimiter is not None:
        return "-0 and -d contradict each other"
    if o.null:
        o.delimiter = b"\0"
    many = o.max_args > 1 or o.pack or o.max_chars
    for name, asked in (("-n", "max_args" in o.given and o.max_args > 1),
                        ("-m, -X, --xargs or -s", o.pack or o.max_chars)):
        if not asked or o.pipe:
            continue
        if not o.command:
            return "%s needs a COMMAND" % name
        if len(o.sources) > 1:
            return "%s and more than one source contradict each other" % name
        if o.colsep:
            return "%s and --colsep contradict each other" % name
    if o.max_args > _MANY and not (o.pack or o.max_chars or o.pipe):
        o.pack = "xargs"  # as far as they fit
    if o.replace is not None and not o.command:
        return "-I needs a COMMAND"
    if o.replace == "":
        return "-I needs something to replace"
    if not o.command:
        for name in ("colsep", "header", "quote", "link"):
            if getattr(o, name):
                return "--%s needs a COMMAND" % name
    if both("shell", "quote"):
        return "--shell and -q contradict each other"
    if (o.resume or o.resume_failed) and not (o.report or o.joblog):
        return "--resume and --resume-failed need --report or --joblog"
    if o.colsep and "trim" not in o.given:
        o.trim = True, True
    if o.end == "":
        o.end = None  # as xargs -E '' has it
    if o.tty:
        if o.family != "never":  # it may need a process group of its own
            return "--tty and --family contradict each other"
        if o.show:
            return "--tty and --%s contradict each other" % o.show
        if o.scheduler is not None or o.pipe:
            return "--tty and %s contradict each other" \
                % ("--pipe" if o.pipe else "--scheduler")
        if "style" not in o.given:
            o.style = "ungroup"
        if "jobs" not in o.given:
            o.jobs = 1
    for name in ("keep_order", "tag", "results"):
        if getattr(o, name) and o.style == "ungroup":
            return "--%s and %s contradict each other" % (
                name.replace("_", "-"),
                "--ungroup" if "style" in o.given else "--tty")
    if both("results") and o.style == "line":
        return "--results and --line-buffer contradict each other"
    if o.termseq is not None and "kill_after" in o.given \
            and o.termseq[1] is not None:
        return "--termseq and --kill-after contradict each other"
    if o.pipe:
        return _contradiction_of_pipe(o, many)
    if "block" in o.given:
        return "--block needs --pipe"
    if o.scheduler is not None:
        if o.style != "group" or o.results:
            return "--scheduler brings output when a command has ended: no " \
                "--ungroup, --line-buffer or --results"
        for name in ("slot_var", "jobserver", "load", "memfree"):
            if getattr(o, name):
                return "--scheduler and --%s contradict each other" \
                    % {"slot_var": "process-slot-var"}.get(name, name)
        if o.timeout is not None and o.timeout < 0:
            return "--scheduler needs a --timeout in seconds"
    return None


def _contradiction_of_pipe(o, many):
    if not o.command:
        return "--pipe needs a COMMAND"
    if any(source.values is not None for source in o.sources) \
            or len(o.sources) > 1:
        return "--pipe reads standard input or one -a FILE, no :::"
    for name, wrong in (("--colsep", o.colsep), ("--header", o.header),
                        ("--link", o.link), ("--shuf", o.shuf), ("-m, -X, --xargs and -s",
                                             o.pack or o.max_chars),
                        ("--scheduler", o.scheduler), ("-I", o.replace),
                        ("-E", o.end is not None),
                        ("--halt N%", o.halt.endswith("%")),
                        ("--resume", o.resume or o.resume_failed),
                        ("--trim", o.trim != (False, False))):
        if wrong:
            return "--pipe and %s contradict each other" % name
    return None


def _shells_own(o):
    """Words that only a shell would understand; None."""
    if not o.command:
        return None
    if not o.quote:
        from_shell = [word for word in o.command if "{=" in word]
        if from_shell:
            from ._theirs import wrong_field
            wrong = wrong_field(from_shell)
            if wrong:
                return wrong
    if o.shell or o.quote:
        return None
    first = o.command[0]
    if not _SHELLISH.isdisjoint(first):
        import os
        if not os.path.exists(first):
            return "%r is one word, and no program: --shell runs it by " \
                "/bin/sh" % first
    for word in o.command:
        if word in _OPERATORS or _redirects(word):
            return "%r is the shell's: --shell runs the command by " \
                "/bin/sh, -q passes the word on" % word
    return None


def _redirects(word):
    """It would be a redirection in a shell."""
    if "<" not in word and ">" not in word:
        return False
    import re  # slow to import
    return re.fullmatch(r"(?:\d|&)?>>?[^>]*|\d?<[^>]+", word) is not None
