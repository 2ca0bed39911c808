"""What an event loop needs of a Context: one fd, and who waits for what.

Used by aio.py and trio.py, which watch the fd and call drain(). A hub
outlives its loop only while children of it live that somebody still has.
"""
import weakref

from . import _libxl
from ._context import Context
from ._process import milliseconds

__all__ = ["Hub"]

_BATCH = 64
_ALL = (1 << 64) - 1
_EXIT = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_EXIT
_STARTED = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_STARTED
_COMPLETE = _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE


def _weakly(callback):
    """The same, but it keeps no object alive. A function is forgotten."""
    if not hasattr(callback, "__self__"):
        return None
    own = weakref.WeakMethod(callback)

    def call(payload):
        found = own()
        if found is not None:
            found(payload)

    return call


class Hub:
    """A loop's Context; callbacks by number for ends and completions."""

    def __init__(self):
        # known here before anything is open, whatever a signal handler raises
        self.context = Context.__new__(Context)
        self.context.__init__()
        self.waiting = {}
        self.starting = {}  # … for starts, where those are told
        self.running = {}
        self.last = 0
        self._taken = []
        self.retired = False
        self.failed = None  # why nobody calls drain() any more

    def drain(self, *_):
        """Hand out what has happened; an exception of one callback does not
        keep the others from being called."""
        failed = None
        taken = self._taken  # kept where an exception of a handler finds it
        while not self.context.closed:
            if not taken:
                self.context._events(_BATCH, _ALL, 0, taken)
            full = len(taken) >= _BATCH
            while taken:
                kind, number, payload = taken[0]
                del taken[0]
                if kind == _EXIT:
                    callback = self.waiting.pop(number, None)
                    self.starting.pop(number, None)
                elif kind == _STARTED:
                    callback = self.starting.pop(number, None)
                elif kind == _COMPLETE:
                    callback = self.running.pop(number, None)
                else:
                    continue
                if callback is not None:
                    try:
                        callback(payload)
                    except BaseException as error:
                        failed = failed or error
            if not full:
                break
        if failed is not None:
            raise failed
        if self.retired and not self.waiting:
            self.close()

    def look(self, number, seconds):
        """Wait (None: for ever) for something to happen; what came for this
        number, or None. drain() hands it out."""
        for wait in (0, milliseconds(seconds)):
            for kind, user, payload in self._taken:
                if kind == _EXIT and user == number:
                    return payload
            self.context._events(_BATCH, _ALL, wait, self._taken)
        return None

    def expect(self, callback):
        """A number for a child whose end goes to callback."""
        self.last += 1
        self.waiting[self.last] = callback
        return self.last

    def forget(self, number):
        """Nobody expects that child any more."""
        self.waiting.pop(number, None)
        self.starting.pop(number, None)

    def run(self, request, callback, cell):
        """Start an operation (Context._request) whose outcome goes to
        callback. Its number, for Context.abort, is in cell, whatever a signal
        handler raises."""
        self.context._exec(*request, False, cell)
        self.running[cell[0]] = callback

    def adopt(self, pid, number, callback=None):
        """Watch a child that this process started otherwise; callback: that
        of the number, which is the next one. An adoption cannot be taken back:
        once it has come about, the end goes to the callback, also where a
        handler has raised meanwhile."""
        cell = []
        try:
            if callback is not None:
                self.expect(callback)
            self.context._adopt(
                pid, _libxl.libxl_childproc_start_time(pid), -1,
                _libxl.LIBXL_REPORT_EVENT, number, cell)
            return cell[0]
        except BaseException:
            if not cell:
                self.waiting.pop(number, None)
            raise

    def announce(self, popen, callback, number):
        """The end of a Popen of this context goes to callback, too, by this
        number; also one that has ended."""
        self.waiting[number] = callback
        try:
            self.context._evenable(popen.pid, number)
        except BaseException:
            del self.waiting[number]
            raise

    def retire(self):
        """The loop is gone: nobody calls drain() of itself any more."""
        self.retired = True
        self.running.clear()
        self.starting.clear()
        for number, callback in self.waiting.items():
            self.waiting[number] = _weakly(callback)
        if not self.waiting or self.context.forked:
            self.close()  # but for what is held: see _popen.py

    def close(self):
        """Children that live are treated by their on_free policies."""
        if not self.context.forked:
            self.context.close()

    def __del__(self):
        try:
            self.close()
        except Exception:  # the interpreter is ending
            pass
