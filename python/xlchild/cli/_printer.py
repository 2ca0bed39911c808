"""Puts out what the commands have written. Used by _main.py.

Grouped output comes as bytes or, what is large, in files (xlchild.pool._spool);
what is small is gathered and written together. LineBuffer gets it
piecemeal and passes whole lines on.
"""
import os
import select

from ..pool import _spool

__all__ = ["LineBuffer", "Printer", "Sink"]

_SMALL = 1 << 16
_LONGEST = 1 << 20


class Sink:
    """An fd that is written to in large pieces, and completely.

    OSError from it bears the name; BrokenPipeError: nobody reads any more.
    """

    def __init__(self, fd, name):
        self._fd = fd
        self._name = name
        self._parts = []
        self._size = 0

    def write(self, data):
        """Sooner or later, data is written."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _SMALL:
            self.flush()

    def flush(self):
        """Now it is."""
        if not self._parts:
            return
        left = memoryview(b"".join(self._parts))
        self._parts, self._size = [], 0
        while left:
            try:
                left = left[os.write(self._fd, left):]
            except BlockingIOError:  # somebody made it so
                select.select([], [self._fd], [])
            except OSError as error:
                error.filename = self._name
                raise


class Printer:
    """Takes Results; tag(result) is put before each of their lines (None:
    nothing is)."""

    def __init__(self, out, err, tag=None):
        self._sinks = out, err
        self._tag = tag

    def put(self, result):
        """Write what it wrote, stdout first."""
        files, result.files = result.files, None
        tag = None
        if self._tag is not None:
            tag = os.fsencode(self._tag(result)) + b"\t"
        try:
            for at, data in enumerate((result.stdout, result.stderr)):
                if data:
                    self._sinks[at].write(
                        data if tag is None else _tagged(data, tag))
                elif files is not None and files[at] is not None:
                    self._copy(files[at], self._sinks[at], tag)
        finally:
            _spool.close(files)

    @staticmethod
    def _copy(file, sink, tag):
        fresh = True  # at the beginning of a line
        for data in file.pieces():
            if tag is not None:
                ended = data.endswith(b"\n")
                data = _tagged(data, tag, fresh)
                fresh = ended
            sink.write(data)

    def flush(self):
        """Everything is out."""
        for sink in self._sinks:
            sink.flush()


def _tagged(data, tag, fresh=True):
    """The tag before each line; not the first one, if it began before."""
    last = b"\n" if data.endswith(b"\n") else b""
    lines = data[:len(data) - len(last)].split(b"\n")
    text = (b"\n" + tag).join(lines) + last
    return tag + text if fresh else text


class LineBuffer:
    """Whole lines of many commands: on_output of a Pool.

    A line of more than a megabyte goes out in pieces. end(result): a command
    has ended; a last line without an end goes out as one.
    """

    def __init__(self, out, err, tag=None):
        self._sinks = out, err
        self._tag = tag
        self._tags = {}
        self._rests = {}

    def __call__(self, result, stream, data):
        key = result.index, stream
        data = self._rests.pop(key, b"") + data
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _LONGEST:
            cut = len(data)
        if cut < len(data):
            self._rests[key] = data[cut:]
        if cut:
            self._write(result, stream, data[:cut])
            self._sinks[stream - 1].flush()

    def _write(self, result, stream, data):
        if self._tag is not None:
            tag = self._tags.get(result.index)
            if tag is None:
                tag = self._tags[result.index] = \
                    os.fsencode(self._tag(result)) + b"\t"
            data = _tagged(data, tag)
        self._sinks[stream - 1].write(data)

    def put(self, result):
        """A command has ended: the last line may have no end."""
        for stream in (1, 2):
            rest = self._rests.pop((result.index, stream), None)
            if rest:
                self._write(result, stream, rest + b"\n")
        if self._tags.pop(result.index, None) is None \
                and self._tag is not None:
            self._tag(result)  # is not asked for any more

    def flush(self):
        """Everything is out."""
        for sink in self._sinks:
            sink.flush()
