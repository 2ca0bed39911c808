"""Where the values come from: files, lists, side by side or each with every
other. Used by _input.py.

Files are read in pieces, and only when there is something: a command whose
line has come is not kept waiting for the next line.
"""
import collections
import itertools
import os
import select
import stat

__all__ = ["Blocks", "Lines", "Rows", "open_input", "rows_of"]

_PIECE = 1 << 16
_BLANKS = " \t\n\r\f\v"


def open_input(name):
    """(fd, what it is called) of a file; - is standard input."""
    if name is None or name == "-":
        return 0, "standard input"
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC), name


class _Reader:
    """A file that is read when it can be."""

    def __init__(self, fd, name, owned=False):
        self._fd = fd
        self._name = name
        self._owned = owned
        self._over = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def fileno(self):
        """The file."""
        return self._fd

    def ready(self):
        """True if the next item, or the end, is there without waiting."""
        while not self._over and not self._enough():
            if not self._poll.poll(0):
                return False
            self._read()
        return True

    def _piece(self):
        """What comes next; b"" at the end."""
        try:
            piece = os.read(self._fd, _PIECE)
        except OSError as error:
            error.filename = self._name
            raise
        if not piece:
            self._over = True
            if self._owned:
                os.close(self._fd)
        return piece

    def __iter__(self):
        return self


class Lines(_Reader):
    """Tuples of ``count`` lines of a file, the last one maybe shorter.

    end: what ends a line; last: the line that ends the input.
    """

    def __init__(self, fd, end=b"\n", count=1, name="standard input",
                 last=None, owned=False):
        super().__init__(fd, name, owned)
        self._end = end
        self._count = count
        self._lines = collections.deque()
        self._rest = b""
        self._last = last
        self.total = None  # of the tuples, where it is known

    def _enough(self):
        return len(self._lines) >= self._count

    def _read(self):
        piece = self._piece()
        if not piece and not self._rest:
            return
        lines = (self._rest + (piece or self._end)).split(self._end)
        self._rest = lines.pop()
        lines = [os.fsdecode(line) for line in lines]
        if self._last is not None and self._last in lines:
            del lines[lines.index(self._last):]
            self._over = True
        self._lines.extend(lines)

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

    def number(self):
        """How many lines are still to come, if that can be told; None."""
        try:
            about = os.fstat(self._fd)
            if not stat.S_ISREG(about.st_mode) or self._last is not None:
                return None
            at = os.lseek(self._fd, 0, os.SEEK_CUR)
            found, piece = 0, self._rest
            while True:
                more = os.pread(self._fd, 1 << 20, at)
                if not more:
                    return found + len(self._lines) + (
                        piece[-1:] not in (b"", self._end[-1:]))
                found += more.count(self._end)
                at += len(more)
                piece = more
        except OSError:
            return None


def _trimmed(rows, sides):
    """The rows, with the blanks cut off their values."""
    left, right = sides
    cut = str.strip if left and right else str.lstrip if left else str.rstrip
    for row in rows:
        yield tuple([cut(value, _BLANKS) for value in row])


class Blocks(_Reader):
    """Blocks of whole lines: of so many bytes, or so many lines."""

    def __init__(self, fd, end, size, lines=None, name="standard input",
                 owned=False):
        super().__init__(fd, name, owned)
        self._end = end
        self._size = size
        self._lines = lines
        self._parts = []
        self._got = 0
        self._seen = 0  # ends of lines

    def _enough(self):
        if self._lines is not None:
            return self._seen >= self._lines
        return self._got > self._size and self._seen > 0

    def _read(self):
        piece = self._piece()
        self._parts.append(piece)
        self._got += len(piece)
        self._seen += piece.count(self._end)

    def __next__(self):
        while not self._over and not self._enough():
            self._read()
        data = b"".join(self._parts)
        if not data:
            raise StopIteration
        cut = self._cut(data)
        block, rest = data[:cut], data[cut:]
        self._parts = [rest]
        self._got = len(rest)
        self._seen = rest.count(self._end)
        return block

    def _cut(self, data):
        """Where the block ends."""
        step = len(self._end)
        if self._lines is not None:
            at = 0
            for _ in range(self._lines):
                found = data.find(self._end, at)
                if found < 0:
                    return len(data)
                at = found + step
            return at
        if len(data) <= self._size:
            return len(data)
        found = data.rfind(self._end, 0, self._size)
        if found < 0:  # a line that is longer than a block
            found = data.find(self._end)
        return len(data) if found < 0 else found + step


class Rows:
    """Tuples of the values of several sources, or of columns.

    As Lines for a single file with columns, else whatever the iterator has.
    """

    def __init__(self, rows, reader=None, total=None):
        self._rows = iter(rows)
        self.total = total
        if reader is not None:
            self.ready = reader.ready
            self.fileno = reader.fileno

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._rows)


def rows_of(options):
    """(the rows of all sources, names of their values)."""
    rows, names = _in_order(options)
    if options.shuf:
        import random  # slow to import
        rows = list(rows)
        random.shuffle(rows)
        rows = Rows(rows, None, len(rows))
    return rows, names


def _in_order(options):
    end = options.delimiter or b"\n"
    sources = options.sources or [None]
    group = 1
    if options.max_args and not (options.pack or options.max_chars):
        group = options.max_args
    lists, names, readers = [], [], []
    for source in sources:
        one, named, reader = _rows_of_one(options, source, end,
                                          group if len(sources) == 1 else 1)
        lists.append(one)
        names += named
        readers.append(reader)
    if len(sources) == 1:
        return lists[0], names
    links = [source.linked for source in options.sources]
    return _combined(options, lists, links), names


def _rows_of_one(options, source, end, group):
    """(rows, names, reader or None) of one source."""
    if source is not None and source.values is not None:
        values = source.values
        if options.delimiter and not options.null:
            mark = os.fsdecode(options.delimiter)
            values = [part for value in values for part in value.split(mark)]
        if options.end is not None and options.end in values:
            values = values[:values.index(options.end)]
        reader, rows = None, [(value,) for value in values]
    else:
        fd, name = open_input(source and source.file)
        rows = reader = Lines(fd, end, 1 if options.header else group, name,
                              options.end, fd > 2)
    if options.colsep is not None:
        cut = options.colsep.split
        rows = (tuple(cut(row[0])) for row in rows) if reader is not None \
            else [tuple(cut(row[0])) for row in rows]
    names = []
    if options.header:
        rows = iter(rows)
        names = list(next(rows, ()))
        if reader is None:
            rows = list(rows)
        else:
            reader._count = group
    if options.trim != (False, False):
        rows = _trimmed(rows, options.trim)
        if reader is None:
            rows = list(rows)
    if reader is None:
        total = -(-len(rows) // group)
        if group > 1:
            values = iter([row[0] for row in rows])
            rows = iter(lambda: tuple(itertools.islice(values, group)), ())
        return Rows(rows, None, total), names, None
    total = None
    if options.show:
        total = reader.number()
        total = total if total is None else -(-total // group)
    if rows is reader:
        reader.total = total
        return reader, names, reader
    return Rows(rows, reader, total), names, reader


def _combined(options, lists, links):
    """Every row of one with every row of the others; linked ones beside."""
    if options.link:
        lists = [list(rows) for rows in lists]
        if not all(lists):
            return Rows((), None, 0)
        most = max(map(len, lists))
        rows = (tuple(itertools.chain.from_iterable(
            rows[at % len(rows)] for rows in lists)) for at in range(most))
        return Rows(rows, None, most)
    groups = []
    for rows, linked in zip(lists, links):
        if linked:
            groups[-1] = [left + right
                          for left, right in zip(groups[-1], rows)]
        else:
            groups.append(list(rows))
    total = 1
    for rows in groups:
        total *= len(rows)
    return Rows((tuple(itertools.chain.from_iterable(row))
                 for row in itertools.product(*groups)), None, total)
