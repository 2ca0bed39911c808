"""Values of options: from words to what _main.py works with.

Each function takes a word and returns a value, or raises ValueError with what
would have been right. Named in _table.py, called by _options.py.
"""
import os

__all__ = ["count", "delimiter", "family", "halt", "header", "jobs", "load",
           "regex", "results", "seconds", "shell", "size", "style", "tag",
           "termseq", "timeout", "trim", "variable", "whole"]

MOST_JOBS = 1000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def processors():
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def _digits(text):
    return int(text) if text.isascii() and text.isdigit() else None


def count(text):
    """A number of 1 or more."""
    number = _digits(text)
    if not number:
        raise ValueError("needs a number of 1 or more, not %r" % text)
    return number


def family(text):
    """When what a command leaves behind is ended, as the library has it."""
    try:
        return {"always": "always", "on-failure": "failure",
                "on-timeout": "timeout", "never": "never"}[text]
    except KeyError:
        raise ValueError("needs always, on-failure, on-timeout or never, not "
                         "%r" % text)


def whole(text):
    """A number, negative ones too."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("needs a number, not %r" % text)


def jobs(text):
    """How many at a time."""
    if text == "0":
        import resource
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        # a job has two files for its output and one that tells its end
        return max(1, min(MOST_JOBS, (files - 32) // 3)
                   if files != resource.RLIM_INFINITY else MOST_JOBS)
    number = _digits(text.lstrip("+-").rstrip("%"))
    if number is None or text[:2] in ("++", "+-", "-+", "--"):
        raise ValueError("needs a number, N%%, +N or -N, not %r" % text)
    if text.endswith("%"):
        if text.count("%") > 1 or not text[0].isdigit() or not number:
            raise ValueError("needs a number of 1%% or more, not %r" % text)
        return max(1, processors() * number // 100)
    if text[0] == "+":
        return max(1, processors() + number)
    if text[0] == "-":
        return max(1, processors() - number)
    return count(text)


def seconds(text):
    """A time: seconds, or with a unit."""
    unit = _UNITS.get(text[-1:], 0)
    try:
        value = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise ValueError(
            "needs seconds, or a number with s, m, h or d, not %r" % text)
    return value


def timeout(text):
    """A time; or, negative, a share of the median."""
    if not text.endswith("%"):
        return seconds(text)
    share = _digits(text[:-1])
    if not share:
        raise ValueError("needs a time or a number of 1%% or more, not %r"
                         % text)
    return -share / 100


def size(text):
    """Bytes, or with K, M, G or T, of 1024 each."""
    unit = _SIZES.get(text[-1:].lower(), 0)
    number = _digits(text[:-1] if unit else text)
    if not number:
        raise ValueError(
            "needs bytes, or a number with K, M, G or T, not %r" % text)
    return number * (unit or 1)


def load(text):
    """So many processes at work."""
    share = text.endswith("%")
    try:
        value = float(text[:-1] if share else text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise ValueError("needs a number or N%%, not %r" % text)
    return processors() * value / 100 if share else value


def halt(text):
    """As xlchild.pool.Halt has it."""
    from ..pool._halt import Halt
    old = {"0": "never", "1": "soon,fail=1", "2": "now,fail=1"}.get(text)
    if old is not None:
        raise ValueError("%r is an old form: say %s" % (text, old))
    Halt(text)
    return text


def delimiter(text):
    """One character, as bytes."""
    known = {r"\n": "\n", r"\t": "\t", r"\0": "\0", r"\\": "\\"}
    text = known.get(text, text)
    if len(text) != 1:
        raise ValueError(r"needs one character, \n, \t, \0 or \\, not %r"
                         % text)
    return os.fsencode(text)


def regex(text):
    """A regular expression of Python's."""
    import re  # slow to import
    try:
        found = re.compile(text)
    except re.error as error:
        raise ValueError("%r is no regular expression: %s" % (text, error))
    if found.groups:
        raise ValueError("%r: say (?:...) for a group" % text)
    if found.match(""):
        raise ValueError("%r matches nothing at all" % text)
    return found


def header(text):
    """The one mark there is."""
    if text != ":":
        raise ValueError("the only mark is :, not %r" % text)
    return True


def trim(text):
    """Where blanks are cut off: (left, right)."""
    if text not in ("n", "l", "r", "lr", "rl"):
        raise ValueError("needs n, l, r or lr, not %r" % text)
    return "l" in text, "r" in text


def tag(text):
    """Text, in which \\t, \\n, \\r and octal numbers are what they are."""
    import re  # slow to import
    known = {"t": "\t", "n": "\n", "r": "\r"}
    return re.sub(r"\\([tnr]|[0-7]{3}|[0-7])", lambda found: known.get(
        found.group(1)) or os.fsdecode(bytes([int(found.group(1), 8) % 256])),
        text)


def variable(text):
    """The name of an environment variable."""
    if not text or "=" in text:
        raise ValueError("needs the name of a variable, not %r" % text)
    return text


def termseq(text):
    """(signal, seconds until SIGKILL)."""
    import signal  # slow to import
    words = text.split(",")
    signo = signal.SIGTERM
    try:
        signo = signal.Signals["SIG" + words[0].upper().replace("SIG", "")]
    except KeyError:
        words = []
    if len(words) == 1:
        return (0, 0.0) if signo == signal.SIGKILL else (int(signo), None)
    if len(words) == 3 and words[2].upper() in ("KILL", "SIGKILL") \
            and _digits(words[1]) is not None:
        return int(signo), int(words[1]) / 1000
    raise ValueError("needs SIGNAL or SIGNAL,MILLISECONDS,KILL, not %r"
                     % text)


def style(text):
    """How a job server is reached."""
    if text not in ("pipe", "fifo"):
        raise ValueError("needs pipe or fifo, not %r" % text)
    return text


def shell(text):
    """One that options can be completed in."""
    if text not in ("bash", "zsh", "fish"):
        raise ValueError("needs bash, zsh or fish, not %r" % text)
    return text


def results(text):
    """A folder."""
    if text.endswith((".csv", ".tsv", ".json")):
        raise ValueError("%s would be a folder: --report and --joblog write "
                         "a table" % text)
    return text
