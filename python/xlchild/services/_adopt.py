"""What the previous life left, taken over.

Called by _services.py when the folder is opened, and when a service is added.
Each process on record is alive, or has ended and the kernel tells how (by the
kept pidfd), or nobody knows: it is never guessed.
"""
import signal
import time

from .._errors import InvalidArgumentError, NotFoundError, XlchildError
from ._launch import fate
from ._member import Member
from ._ready import NOTIFY, watch
from ._words import lost

__all__ = ["begin", "take_over", "unrecorded"]


def _kill(fd):
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except (OSError, AttributeError):
        pass  # it ends by itself: its script is gone


def _adopt(context, record, kept):
    """Its Process; None where it has ended and nobody tells how."""
    try:
        if kept is not None:
            process = context.adopt(pidfd=kept[2])
        else:
            process = context.adopt(record.pid, start_time=record.start_time)
    except NotFoundError:
        return None
    process.pid = record.pid
    process._wide = True  # its group may be asked for after its end
    return process


def take_over(context, journal, keeping, others):
    """{name: Member} of those on record that ran, and [(Member, Status, why)]
    of those that have ended: others, and of whose end nobody can tell."""
    members, ended = {}, []
    for name, record in others:
        if fate(journal.folder, name, record.run) != "never":
            member = Member(name, record)
            process = _adopt(context, record, keeping.find(record.run))
            status = process and process.poll()
            ended.append((member, status, None) if status
                         else (member, *lost(record.pid)))
    for name, record in journal.records.items():
        if record.run is None:
            continue
        kept = keeping.find(record.run)
        if fate(journal.folder, name, record.run) == "never":
            # the script was killed before it let the program go
            if kept is not None:
                _kill(kept[2])
            keeping.drop(record.run)
            record.clear()
            continue
        member = Member(name, record)
        try:
            process = _adopt(context, record, kept)
        except (XlchildError, InvalidArgumentError) as error:
            ended.append((member, *lost(record.pid, "it cannot be watched: %s"
                                        % error)))
            continue
        if process is None:
            ended.append((member, *lost(record.pid)))
        else:
            member.process = process
            members[name] = member
    return members, ended


def unrecorded(journal, keeping):
    """Whether something is kept of runs that are over, or were never let go:
    those are ended."""
    runs = {record.run for record in journal.records.values()}
    over = [run for run in keeping.runs() if run.partition("#")[0] not in runs]
    for run in over:
        if not run.endswith(NOTIFY) and fate(
                journal.folder, run.partition("~")[0], run) == "never":
            _kill(keeping.find(run)[2])
    return bool(over)


def begin(turns, member):
    """It is added: from what there is of it to what is to be."""
    record, machine = member.record, member.machine
    now = time.monotonic()
    if member.process is not None:
        turns.do(member, machine.adopt(
            now, record.ready, member.process.poll() is not None))
        if machine.phase == "coming":
            made = watch(member.service, turns.journal.folder, record.offset,
                         False)
            kept = turns.keeping.find(record.run + NOTIFY)
            if kept is not None and hasattr(made, "resume"):
                made.resume(kept[2])
            turns.begin_watch(member, made)
    elif not record.wanted:
        return
    elif record.last is not None:
        turns.do(member, machine.ended_before(
            now, not record.last.status.success))
    else:
        turns.do(member, machine.start())


