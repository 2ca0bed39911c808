"""From lines to commands. Used by _main.py; the pool reads Commands.

Input is read in pieces, and only when there is some: a command whose line
has come is not kept waiting for the next line.
"""
import collections
import itertools
import os
import re
import select
import shlex

__all__ = ["Commands", "Lines", "Template", "combinations"]

_PIECE = 1 << 16
_FIELD = re.compile(r"\{(?:#|(\d*)(\.|/\.|//?)?)\}")


class Lines:
    """Tuples of ``count`` lines of a file, the last one maybe shorter.

    Empty lines are left out.
    """

    def __init__(self, fd, end=b"\n", count=1, name="standard input"):
        self._fd = fd
        self._name = name
        self._end = end
        self._count = count
        self._lines = collections.deque()
        self._rest = b""
        self._over = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def fileno(self):
        """The file."""
        return self._fd

    def ready(self):
        """True if the next tuple, or the end, is there without waiting."""
        while not self._over and len(self._lines) < self._count:
            if not self._poll.poll(0):
                return False
            self._read()
        return True

    def _read(self):
        try:
            piece = os.read(self._fd, _PIECE)
        except OSError as error:
            error.filename = self._name
            raise
        if not piece:
            self._over = True
            piece = self._end
        lines = (self._rest + piece).split(self._end)
        self._rest = lines.pop()
        self._lines.extend(map(os.fsdecode, filter(None, lines)))

    def __iter__(self):
        return self

    def __next__(self):
        lines = self._lines
        while not self._over and len(lines) < self._count:
            self._read()
        if not lines:
            raise StopIteration
        if self._count == 1:
            return (lines.popleft(),)
        return tuple(lines.popleft()
                     for _ in range(min(self._count, len(lines))))


def combinations(sources, count=1):
    """Tuples from the lists after :::, every value with every other."""
    if len(sources) > 1:
        return itertools.product(*sources)
    values = iter(sources[0])
    return iter(lambda: tuple(itertools.islice(values, count)), ())


class Template:
    """Makes the command for a tuple of lines.

    words: what stands on the command line; none: each line is a command.
    """

    def __init__(self, words, replace=None, shell=False):
        self._words = list(words)
        self._shell = shell
        self._field = _FIELD if replace is None \
            else re.compile(re.escape(replace))
        self._whole = {"{}"} if replace is None else {replace}
        self._fields = any(map(self._field.search, self._words))

    def command(self, values, seq):
        """The argument list; seq is {#}. ValueError: it is none."""
        if not self._words:
            text = values[0] if len(values) == 1 else shlex.join(values)
            return ["/bin/sh", "-c", text] if self._shell \
                else shlex.split(text)
        if self._shell:
            return ["/bin/sh", "-c", self._script(values, seq)]
        if not self._fields:
            return self._words + list(values)
        words = []
        for word in self._words:
            if word in self._whole:
                words.extend(values)
            else:
                words.append(self._filled(word, values, seq, str))
        return words

    def _script(self, values, seq):
        text = " ".join(self._words)
        if self._fields:
            return self._filled(text, values, seq, shlex.quote)
        return " ".join([text] + [shlex.quote(value) for value in values])

    def _filled(self, text, values, seq, quote):
        def value(match):
            if match.lastindex is None:
                if match.group() == "{#}" and self._field is _FIELD:
                    return str(seq)
                return " ".join(map(quote, values))
            number, form = match.group(1), match.group(2)
            if not number:
                return " ".join(quote(_form(v, form)) for v in values)
            at = int(number) - 1
            if at < 0:
                raise ValueError("{0} stands for nothing")
            return quote(_form(values[at], form)) if at < len(values) else ""
        return self._field.sub(value, text)


def _form(value, form):
    """A path in one of GNU parallel's forms."""
    if form == "//":
        return os.path.dirname(value) or "."
    if form in ("/", "/."):
        value = os.path.basename(value)
    if form in (".", "/."):
        value = os.path.splitext(value)[0]
    return value


class Commands:
    """What the pool runs: an argument list a tuple of lines.

    wanted(command, seq) says whether one is to be run. The numbers of those
    that are run, and the tags, are kept until taken.
    """

    def __init__(self, items, template, wanted=None, tags=False,
                 verbose=None):
        self._items = iter(items)
        self._template = template
        self._wanted = wanted
        self._tags = {} if tags else None
        self._verbose = verbose
        self._seq = 0
        self._index = 0
        self._ahead = None
        self._seqs = {}
        if hasattr(items, "ready"):
            self.ready = self._look
            self.fileno = items.fileno

    def _look(self):
        """True if the next command, or the end, is there."""
        while self._ahead is None:
            if not self._items.ready():
                return False
            try:
                self._ahead = self._make()
            except StopIteration:
                return True
        return True

    def _make(self):
        """The next command; None if it is not wanted."""
        values = next(self._items)
        self._seq += 1
        command = self._template.command(values, self._seq)
        if not command or (self._wanted is not None
                           and not self._wanted(command)):
            return None
        if self._seq != self._index + 1:
            self._seqs[self._index] = self._seq
        if self._tags is not None:
            self._tags[self._index] = "\t".join(values)
        self._index += 1
        return command

    def __iter__(self):
        return self

    def __next__(self):
        command, self._ahead = self._ahead, None
        while command is None:
            command = self._make()
        if self._verbose is not None:
            self._verbose(command)
        return command

    def seq(self, index):
        """The number of the line of the index-th command; once each."""
        return self._seqs.pop(index, index + 1)

    def tag(self, index):
        """What {} stood for in the index-th command; once each."""
        return self._tags.pop(index)
