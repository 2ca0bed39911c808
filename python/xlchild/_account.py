"""Why a child died, and what it cost.

An account is there once: whoever learns of the end (_process.py, _popen.py,
_context.py, aio.py) takes it into a list that stays with the child's object.
Imported when one is asked for, with what it needs later: there may be no file
left to import with by then.
"""
import collections
import resource  # noqa: F401
import struct  # noqa: F401
import time

from ._enums import EndedBy
from ._status import usage

__all__ = ["Account", "account_in", "account_of", "collect"]

_MOMENT = 1.0  # seconds: another thread has it in its hands

Account = collections.namedtuple(
    "Account", "ended_by perhaps core_dumped sent_by sent_signal exec_seconds "
    "end_seconds rusage memory_kills cpu_seconds memory_peak pids_peak "
    "memory_stall_seconds cpu_stall_seconds io_stall_seconds")
Account.__doc__ = """Why a child died, and what it cost (account=True).

None is "not known" wherever it stands. ``ended_by`` is an EndedBy;
``perhaps`` says that this is likely and not proved. ``core_dumped`` is a
bool. ``sent_by`` (an EndedBy) and ``sent_signal`` are of the last signal of
ours that the kernel took for it, whatever came of that. ``exec_seconds`` and
``end_seconds`` passed from the asking for the start until it had become its
program, and until its end was noticed. ``rusage`` is a resource.struct_rusage
of the child and what it waited for.

The rest is of its own cgroup, if cgroup= named one: ``memory_kills``
(processes killed for want of memory) and ``cpu_seconds`` since the start;
since the cgroup was made ``memory_peak`` (bytes), ``pids_peak`` (threads at a
time), and how long somebody in it waited for memory, a processor, a device
(``memory_stall_seconds``, ``cpu_stall_seconds``, ``io_stall_seconds``).

>>> import xlchild
>>> child = xlchild.spawn(["sleep", "1000"], account=True)
>>> print(child.account, child.kill(), child.wait())
None True signal SIGKILL
>>> why = child.account
>>> why.ended_by.name, why.perhaps, why.sent_signal, why.core_dumped
('KILL', False, 9, False)
>>> 0 < why.exec_seconds < why.end_seconds, why.memory_peak
(True, None)
>>> try:
...     xlchild.run(["sleep", "1000"], timeout=0.05, account=True)
... except xlchild.TimeoutExpired as error:
...     print(error.account.ended_by.name)
TIMEOUT
"""


def _known(number, unit=None):
    if number < 0:
        return None
    return number if unit is None else number / unit


def _made(found):
    """An Account, from the tuple of bindings/python/account.c."""
    return Account(
        EndedBy(found[0]), bool(found[1]),
        None if found[2] < 0 else bool(found[2]),
        EndedBy(found[3]) if found[4] else None, found[4] or None,
        _known(found[5], 1e9), _known(found[6], 1e9), usage(found[7]),
        _known(found[8]), _known(found[9], 1e6), _known(found[10]),
        _known(found[11]), _known(found[12], 1e6), _known(found[13], 1e6),
        _known(found[14], 1e6))


def collect(context, identity, cell):
    """Take the account of a child that has ended into the list, if the list
    has none and somebody else does not have it."""
    if cell or context is None or context.closed or context.forked:
        return
    try:
        context._account(identity, cell)
    except ValueError:
        if not context.closed:
            raise


def account_in(context, identity, cell):
    """The Account of a child whose end is known, always the same; None where
    it went with its context."""
    collect(context, identity, cell)
    until = time.monotonic() + _MOMENT
    while not cell and not context.closed and not context.forked \
            and time.monotonic() < until:
        time.sleep(0.0005)
    if not cell:
        return None
    if type(cell[0]) is not Account:
        cell[0] = _made(cell[0])
    return cell[0]


def account_of(context, identity, cell=None):
    """The Account of an operation that is over, or None. Without a context:
    of what is in the list."""
    cell = [] if cell is None else cell
    collect(context, identity, cell)
    return _made(cell[0]) if cell else None
