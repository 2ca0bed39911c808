"""Puts out what the commands have written. Used by _main.py.

Grouped output comes as bytes or, what is large, in files (xlchild.pool._spool);
what is small is gathered and written together. LineBuffer gets it
piecemeal and passes whole lines on. Both write to a Sink (_sink.py).
"""
import os

from ..pool import _spool
from ._template import joined

__all__ = ["LineBuffer", "Printer"]

_LONGEST = 1 << 20
_IN_MEMORY = 1 << 20  # of what waits for its turn


def _line_of(result):
    """What is run, as a line."""
    return os.fsencode(joined(result.args)) + b"\n"


def _tag_of(tag, result):
    """What stands before each line: bytes; None: nothing does."""
    text = None if tag is None else tag(result)
    return None if text is None else os.fsencode(text) + b"\t"


class _Writer:
    """What both have in common."""

    def meanwhile(self, call):
        """Call it while a reader does not read."""
        for sink in self._sinks:
            sink.meanwhile = call

    def flush(self):
        """Everything is out."""
        for sink in self._sinks:
            sink.flush()

    rest = flush

    def close(self):
        """No more is put out."""
        for sink in self._sinks:
            sink.close()

    def begin(self, result):
        """It is about to start: the command goes before its output."""
        self._sinks[0].write(_line_of(result))
        self._sinks[0].flush()


class Printer(_Writer):
    """Takes Results; tag(result) is put before each of their lines (None:
    nothing is). echo: the command itself goes before them."""

    def __init__(self, out, err, tag=None, echo=False):
        self._sinks = out, err
        self._tag = tag
        self._echo = echo

    def put(self, result):
        """Write what it wrote, stdout first. Returns how many bytes of
        stdout that was, without tags."""
        files, result.files = result.files, None
        tag = None if self._tag is None else _tag_of(self._tag, result)
        sizes = [0, 0]
        if self._echo:
            line = _line_of(result)
            sizes[0] = len(line)
            self._sinks[0].write(line if tag is None else tag + line)
        try:
            for at, data in enumerate((result.stdout, result.stderr)):
                if data:
                    sizes[at] += len(data)
                    self._sinks[at].write(
                        data if tag is None else _tagged(data, tag))
                elif files is not None and files[at] is not None:
                    sizes[at] += self._copy(files[at], self._sinks[at], tag)
        finally:
            _spool.close(files)
        return sizes[0]

    @staticmethod
    def _copy(file, sink, tag):
        fresh = True  # at the beginning of a line
        size = 0
        for data in file.pieces():
            size += len(data)
            if tag is not None:
                ended = data.endswith(b"\n")
                data = _tagged(data, tag, fresh)
                fresh = ended
            sink.write(data)
        return size


def _tagged(data, tag, fresh=True):
    """The tag before each line; not the first one, if it began before."""
    last = b"\n" if data.endswith(b"\n") else b""
    lines = data[:len(data) - len(last)].split(b"\n")
    text = (b"\n" + tag).join(lines) + last
    return tag + text if fresh else text


class _Waiting:
    """What a command wrote before its turn came: large pieces in a file."""

    def __init__(self, folder):
        self._folder = folder
        self._parts = []
        self._size = 0
        self._file = None
        self.ended = False

    def add(self, at, data):
        """data goes to the sink at, later."""
        if self._size + len(data) > _IN_MEMORY and self._file is None:
            import tempfile
            self._file = tempfile.TemporaryFile(dir=self._folder)
        if self._file is None:
            self._parts.append((at, data))
            self._size += len(data)
            return
        self._parts.append((at, len(data)))
        self._file.write(data)

    def give(self, write):
        """Its turn has come."""
        if self._file is not None:
            self._file.seek(0)
        for at, data in self._parts:
            if type(data) is int:
                data = self._file.read(data)
            write(at, data)
        self.close()

    def close(self):
        """Nothing of it is wanted any more."""
        self._parts = []
        if self._file is not None:
            self._file.close()


class LineBuffer(_Writer):
    """Whole lines of many commands: on_output of a Pool.

    A line of more than a megabyte goes out in pieces. A last line without an
    end goes out as one. order: the lines of a command come when it is its
    turn; of the one whose turn it is, at once; folder: where the others
    wait.
    """

    def __init__(self, out, err, tag=None, order=False, folder=None):
        self._sinks = out, err
        self._tag = tag
        self._tags = {}
        self._rests = {}
        self._turn = 0 if order else None
        self._folder = folder
        self._waiting = {}
        self._sizes = {}

    def __call__(self, result, stream, data):
        key = result.index, stream
        self._sizes[result.index] = self._sizes.get(result.index, 0) \
            + len(data)
        data = self._rests.pop(key, b"") + data
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _LONGEST:
            cut = len(data)
        if cut < len(data):
            self._rests[key] = data[cut:]
        if cut:
            self._write(result, stream, data[:cut])

    def begin(self, result):
        """It is about to start: the command goes before its output."""
        line = _line_of(result)
        self._sizes[result.index] = len(line)
        self._write(result, 1, line)

    def _write(self, result, stream, data):
        if self._tag is not None:
            tag = self._tags.get(result.index)
            if tag is None:
                tag = self._tags[result.index] = _tag_of(self._tag, result)
            if tag is not None:
                data = _tagged(data, tag)
        self._give(result.index, stream - 1, data)

    def _give(self, index, at, data):
        if self._turn is None or index == self._turn:
            self._sinks[at].write(data)
            self._sinks[at].flush()
            return
        waiting = self._waiting.get(index)
        if waiting is None:
            waiting = self._waiting[index] = _Waiting(self._folder)
        waiting.add(at, data)

    def put(self, result):
        """A command has ended: the last line may have no end. Returns how
        many bytes of it there were, without tags."""
        for stream in (1, 2):
            rest = self._rests.pop((result.index, stream), None)
            if rest:
                self._write(result, stream, rest + b"\n")
        self._tags.pop(result.index, None)
        if self._turn is not None:
            self._pass_turn(result)
        return self._sizes.pop(result.index, 0)

    def _pass_turn(self, result):
        if result.index != self._turn:
            self._waiting.setdefault(
                result.index, _Waiting(self._folder)).ended = True
            return
        self._turn += 1
        while self._turn in self._waiting:
            waiting = self._waiting.pop(self._turn)
            waiting.give(lambda at, data: self._sinks[at].write(data))
            if not waiting.ended:
                break
            self._turn += 1

    def rest(self):
        """No more come: what waits goes out, in its order."""
        for index in sorted(self._waiting):
            self._waiting[index].give(
                lambda at, data: self._sinks[at].write(data))
        self._waiting = {}
        self.flush()
