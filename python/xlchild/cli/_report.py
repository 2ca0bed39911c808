"""Accounts of a run: the report (JSON lines) and the joblog, and resuming.

Used by _main.py. A row of the report is one command; a run that was resumed
has added its rows to those of the runs before. A last line without an end
(the machine went down) is no row, and does not spoil the next one.
"""
import json
import os
import shlex

__all__ = ["Joblog", "Report", "done_before", "done_in_joblog", "row_of"]


def row_of(result, seq):
    """A Result as a row of the report."""
    status = result.status
    error = result.error
    row = {
        "seq": seq,
        "args": result.args,
        "ok": result.success,
        "exit": status.exitcode if status is not None else None,
        "signal": status.signal if status is not None else None,
        "lost": status.lost.name
        if status is not None and status.lost else None,
        "error": str(error) if error else None,
        "stage": getattr(error, "stage", None),
        "timed_out": result.timed_out,
        "cancelled": result.cancelled,
        "attempts": result.attempts,
        "start": round(result.started, 6),
        "seconds": round(result.seconds, 6),
    }
    usage = status.rusage if status is not None else None
    if usage is not None:
        row["user"] = round(usage.ru_utime, 6)
        row["system"] = round(usage.ru_stime, 6)
        row["maxrss"] = usage.ru_maxrss
    if result.host is not None:
        row["host"] = result.host
    return row


class Report:
    """The file of --report. Rows are written by flush()."""

    def __init__(self, path, resume=False):
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags | (0 if resume else os.O_TRUNC), 0o666)
        self._rows = []
        if resume and not _ends_a_line(self._fd):
            self._rows.append("\n")

    def add(self, result, seq, _wrote=0):
        """A command has ended."""
        self._rows.append(json.dumps(row_of(result, seq)) + "\n")

    def flush(self):
        """Write the rows; OSError if they cannot be."""
        if self._rows:
            _write(self._fd, os.fsencode("".join(self._rows)), self.path)
            self._rows = []

    def close(self):
        """No more rows."""
        os.close(self._fd)


class Joblog(Report):
    """The file of --joblog, in the columns of GNU parallel."""

    HEAD = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\t" \
        "Signal\tCommand\n"

    def __init__(self, path, resume=False):
        super().__init__(path, resume)
        if os.fstat(self._fd).st_size == 0:
            self._rows = [self.HEAD]

    def add(self, result, seq, wrote=0):
        """A command has ended that wrote so many bytes; of what was ended
        early there is no line, so that --resume runs it again."""
        if result.cancelled:
            return
        status = result.status
        self._rows.append("%d\t%s\t%.3f\t%10.3f\t%d\t%d\t%d\t%d\t%s\n" % (
            seq, result.host or ":", result.started, result.seconds,
            len(result._input or b""), wrote,
            (status.exitcode or 0)
            if status is not None and not result.timed_out else -1,
            (status.signal or 0) if status is not None else 0,
            shlex.join(result.args).replace("\n", " ")))


def done_before(path, failed_again, warn):
    """A function that says whether a command still is to be run.

    The last row of each command (seq and args) of the report counts. What
    was cancelled has not been done; nor, with failed_again, what failed. A
    command that the list has twice is done twice. warn is told of lines that
    are no rows.
    """
    rows = {}
    try:
        report = open(path, errors="replace")
    except FileNotFoundError:
        return lambda command, seq: True
    with report:
        for number, line in enumerate(report, 1):
            try:
                row = json.loads(line)
                key = row["seq"], tuple(map(_word, row["args"]))
                rows[key] = bool(row["ok"]) or not (
                    failed_again or row["cancelled"])
            except (ValueError, TypeError, KeyError):
                if line.strip():
                    warn("%s: line %d is no row of a report: left out"
                         % (path, number))
    left = {}
    for (_, args), done in rows.items():
        if done:
            left[args] = left.get(args, 0) + 1

    def wanted(command, _seq):
        args = tuple(command)
        if left.get(args, 0) == 0:
            return True
        left[args] -= 1
        return False
    return wanted


def done_in_joblog(path, failed_again, warn):
    """The same by a joblog: its numbers count, not the commands."""
    done = {}
    try:
        log = open(path, errors="replace")
    except FileNotFoundError:
        return lambda command, seq: True
    with log:
        for number, line in enumerate(log, 1):
            columns = line.rstrip("\n").split("\t")
            try:
                done[int(columns[0])] = int(columns[6]) == 0 \
                    and int(columns[7]) == 0 and len(columns) > 8
            except (ValueError, IndexError):
                if number > 1 and line.strip():
                    warn("%s: line %d is no row of a joblog: left out"
                         % (path, number))

    def wanted(_command, seq):
        return seq not in done or failed_again and not done[seq]
    return wanted


def _word(value):
    if not isinstance(value, str):
        raise TypeError("not a word")
    return value


def _ends_a_line(fd):
    size = os.lseek(fd, 0, os.SEEK_END)
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _write(fd, data, path):
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left):]
    except OSError as error:
        error.filename = path
        raise
