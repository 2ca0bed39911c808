"""From a service to its process, held back until it can be found again.

Called by _turn.py. The process starts as bindings/keeper/gate.c and waits; it
becomes the service's program when the ticket, a file in the folder, says so.
The ticket's first byte is what counts, in this life and the next:

    -   the program was not let go (and never will be, with the script dead)
    g   it was
    e   it was, and could not be executed: the errno follows

and from the 16th byte on it names the run that it is about.
"""
import os
import socket

from .._enums import FreePolicy
from .._errors import SpawnError
from ._folder import open_log
from ._keeping import KEEPER
from ._processes import VARIABLE, mark, start_time

__all__ = ["Gate", "Launched", "TITLE", "fate", "forget", "launch"]

TITLE = "xlchild-gate"  # of a process that waits
_HEADER = 16
_GATE, _TICKET = 3, 4


def _ticket(name):
    return name + ".ticket"


def fate(folder, name, run):
    """Of a run: "ran", "never" (it was not let go), or the errno of its exec.
    A ticket of another run says that this one was let go before."""
    try:
        data = folder.read(_ticket(name))
    except OSError:
        return "ran"
    if data[_HEADER:].decode("utf-8", "replace") != run:
        return "ran"
    if data[:1] == b"-":
        return "never"
    if data[:1] == b"e":
        return int(data[1:_HEADER].split(b"\0")[0] or 0)
    return "ran"


def forget(folder, name):
    """The service is removed."""
    folder.unlink(_ticket(name))


class Gate:
    """Our end of what a process waits at."""

    def __init__(self, end, ticket):
        self._end = end
        self._ticket = ticket

    def open(self):
        """The program may run, whoever dies."""
        os.pwrite(self._ticket, b"g", 0)
        try:
            self._end.send(b"g", socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except OSError:
            pass  # it looks by itself, or has been killed

    def fileno(self):
        """Readable when the program has been executed, or never will be."""
        return self._end.fileno()

    def close(self):
        """Without open(), the program never runs."""
        if self._ticket >= 0:
            self._end.close()
            os.close(self._ticket)
            self._ticket = -1


class Launched:
    """A process that waits at its gate."""

    __slots__ = ("process", "gate", "start_time", "offset")

    def __init__(self, process, gate, start_time_, offset):
        self.process = process
        self.gate = gate
        self.start_time = start_time_
        self.offset = offset


def environment(service, folder, run, more):
    """The service's, with what names the run."""
    given = dict(os.environ if service.env is None else service.env)
    given[VARIABLE] = mark(folder.identity, run)
    given.update(more)
    return given


def launch(context, folder, service, run, more):
    """Start the process of a run; SpawnError, OSError. more: of its
    environment."""
    fds = []
    try:
        log, offset = -3, 0
        if service.log is not None:
            log = open_log(service.log)
            fds.append(log)
            offset = os.fstat(log).st_size
        # a new file: nobody who still waits for another one's is let go
        folder.unlink(_ticket(service.name))
        ticket = folder.open(_ticket(service.name),
                             os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fds.append(ticket)
        os.pwrite(ticket, b"-".ljust(_HEADER, b"\0") + run.encode(), 0)
        ours, theirs = socket.socketpair()
        try:
            process = context.spawn(
                [TITLE, "start", str(_GATE), str(_TICKET)]
                + service.argv, path=KEEPER, search=False, new_group=True,
                on_free=FreePolicy.LEAVE, stdin=-3, stdout=log, stderr=log,
                fds={_GATE: theirs.fileno(), _TICKET: ticket},
                env=environment(service, folder, run, more),
                **service.options)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        fds.remove(ticket)
        return Launched(process, Gate(ours, ticket),
                        start_time(process.pid), offset)
    except SpawnError as error:
        if error.filename == KEEPER:
            if error.stage != "exec":
                error.filename = os.fsdecode(service.argv[0])
        raise
    finally:
        for fd in fds:
            os.close(fd)
