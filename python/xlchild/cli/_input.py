"""What the pool runs: a command for each row of values.

Used by _main.py. Rows come from _sources.py, commands are made by
_template.py; Packed puts as many values into one command as fit. A row that
no command can be made of is one that fails, with its number.
"""
import os

from ..pool._pressure import Unfit
from ._sources import Blocks, open_input, rows_of
from ._template import SLOT, Template

__all__ = ["Commands", "commands_of", "with_slot"]

_USUAL = 1 << 17  # bytes of a command line, as xargs has it
_LONGEST_WORD = (1 << 17) - 1  # the kernel's
_SPARE = 4096
_POINTER = 8


class Commands:
    """An argument list for each row; an Unfit for one that has none.

    wanted(command, seq) says whether one is to be run. The numbers of those
    that are run, and the tags, are kept until taken. fed: rows are blocks of
    bytes for standard input. The number of rows is known if they are a list.
    """

    def __init__(self, rows, template, wanted=None, tag=None, fed=False):
        self.rows = len(rows) if isinstance(rows, list) else None
        self._rows = iter(rows)
        self._template = template
        self._wanted = wanted
        self._tag = tag
        self._fed = fed
        self._tags = {}
        self._seq = 0
        self._index = 0
        self._ahead = None
        self._seqs = {}
        self.has_slot = template.has_slot
        if hasattr(rows, "ready"):
            self.ready = self._look
            self.fileno = rows.fileno

    @property
    def total(self):
        """How many there are, where that is known; None."""
        return None if self._wanted is not None \
            else getattr(self._rows, "total", None)

    def _look(self):
        """True if the next command, or the end, is there."""
        while self._ahead is None:
            if not self._rows.ready():
                return False
            try:
                self._ahead = self._make()
            except StopIteration:
                return True
        return True

    def _make(self):
        """The next command; None if it is not wanted."""
        row = next(self._rows)
        self._seq += 1
        values = () if self._fed else row
        try:
            if type(values) is Unfit:
                raise values
            command = self._template.command(values, self._seq)
            if self.has_slot and any("\0" in value for value in values):
                raise Unfit("a null byte in the line", values)
        except ValueError as error:
            command = error if type(error) is Unfit \
                else Unfit(str(error), values)
            shown = command.args_shown
        else:
            if not command:
                return None
            shown = command
        if self._wanted is not None and not self._wanted(shown, self._seq):
            return None
        if self._seq != self._index + 1:
            self._seqs[self._index] = self._seq
        if self._tag is not None:
            self._tags[self._index] = " ".join(values) \
                if self._tag is True else self._tag.text(values, self._seq)
        self._index += 1
        return (command, row) if self._fed and shown is command else command

    def __iter__(self):
        return self

    def __next__(self):
        command, self._ahead = self._ahead, None
        while command is None:
            command = self._make()
        return command

    def seq(self, index):
        """The number of the row of the index-th command; once each."""
        return self._seqs.pop(index, index + 1)

    @property
    def number(self):
        """Of the row that was last taken."""
        return self._seq

    def tag(self, index):
        """What stands before the lines of the index-th command."""
        return self._tags.get(index)

    def over(self, index):
        """The tag is not asked for any more."""
        self._tags.pop(index, None)


def with_slot(words, slot):
    """The words of a command whose slot is known now."""
    return [word.replace(SLOT, str(slot)) if SLOT in word else word
            for word in words]


class Packed:
    """Rows of as many values as fit into a command line.

    most: values; limit: bytes; share: among so many jobs, once the end of
    the input is known (0: not at all); strict: a value that does not fit
    ends everything.
    """

    def __init__(self, rows, template, most, limit, share, strict):
        self._rows = rows
        self._template = template
        self._most = most
        self._limit = limit or _USUAL
        if template.shell:
            self._limit = min(self._limit, _LONGEST_WORD)
        self._share = share
        self._strict = strict
        self._values = []
        self._used = self._fixed = 0
        self._ready = []  # whole rows
        self._over = False
        self._seq = 0
        self._budget = _argument_space()
        if hasattr(rows, "ready"):
            self.ready = self._look
            self.fileno = rows.fileno

    def _look(self):
        while not self._ready and not self._over:
            if not self._rows.ready():
                return False
            self._add()
        return True

    def __iter__(self):
        return self

    def __next__(self):
        while not self._ready:
            if self._over:
                raise StopIteration
            self._add()
        self._seq += 1
        return self._ready.pop(0)

    def _add(self):
        """One value more, or the end."""
        row = next(self._rows, None)
        if row is None:
            self._over = True
            self._finish()
            return
        value = row[0]
        cost = self._template.cost((value,))
        if self._values and (len(self._values) == self._most
                             or not self._fits(self._used + cost,
                                               len(self._values) + 1)):
            self._flush()
        if not self._values:
            self._fixed = self._template.fixed_cost(
                self._seq + len(self._ready) + 1)
            if not self._fits(cost, 1) or cost > _LONGEST_WORD:
                wrong = Unfit("%d bytes do not fit into a command line of %d"
                              % (self._fixed + cost, self._limit), row)
                if self._strict:
                    raise wrong
                self._ready.append(wrong)
                return
        self._values.append(value)
        self._used += cost

    def _fits(self, used, count):
        size = self._fixed + used
        return size <= self._limit and size + _POINTER * (
            count + len(self._template.words) + 4) <= self._budget

    def _flush(self):
        if self._values:
            self._ready.append(tuple(self._values))
        self._values, self._used = [], 0

    def _finish(self):
        """What is left is shared among the jobs."""
        values = self._values
        if not self._share or len(values) < 2:
            self._flush()
            return
        size = -(-len(values) // self._share)
        self._ready += [tuple(values[at:at + size])
                        for at in range(0, len(values), size)]
        self._values = []


def _argument_space():
    """Bytes that the kernel has for arguments beside the environment."""
    environment = sum(len(name) + len(value) + 2 + _POINTER
                      for name, value in os.environb.items())
    return os.sysconf("SC_ARG_MAX") - environment - _SPARE


def commands_of(options, wanted):
    """The Commands that the options are about."""
    if options.pipe:
        lines = options.max_args if "max_args" in options.given else None
        source = options.sources[0].file if options.sources else None
        fd, name = open_input(source)
        rows = Blocks(fd, options.delimiter or b"\n", options.block, lines,
                      name, fd > 2)
        names = []
    else:
        rows, names = rows_of(options)
    given = options.given
    context = options.pack == "X" or "context" in given \
        or "lines" in given and options.pack is None
    template = Template(options.command, options.replace, options.shell,
                        context, names)
    if options.pipe and template.takes_values:
        raise ValueError("--pipe gives lines to standard input: {} stands "
                         "for nothing")
    if options.pack or options.max_chars:
        rows = Packed(
            rows, template,
            options.max_args if "max_args" in options.given else 0,
            options.max_chars,
            options.jobs if options.pack in ("m", "X") else 0, options.exit)
    if options.halt.endswith("%"):  # of all of them
        rows = list(rows)
    tag = options.tag
    if isinstance(tag, str):
        tag = Template([tag], options.replace, False, context, names)
        if tag.has_slot:
            raise ValueError("--tagstring: {%} is not known there")
    return Commands(rows, template, wanted, tag, options.pipe)
