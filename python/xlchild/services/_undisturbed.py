"""Work that no exception of a signal handler comes into.

Called by _services.py and _turn.py for whatever changes what they know:
between the kernel's word and ours there is no place for a KeyboardInterrupt.

Python runs signal handlers in the main thread alone, whichever thread took the
signal. So the main thread has such a piece of work done by a thread of its own,
and waits for it: there an exception may come. The piece is done all the same,
and the next one waits for it. The thread is made for this one piece: what
a service inherits of its starter (processors, niceness, capabilities, seccomp
filters) is the main thread's as it is now, and no thread is there between two
pieces for a fork to meet. Where the main thread is the only one it takes every
signal itself: then it is enough that it blocks them.
"""
import _thread
import contextvars
import os
import signal
import threading
import types

__all__ = ["Undisturbed"]

# A fault that is blocked kills, whoever wanted to hear of it.
_SIGNALS = signal.valid_signals() - {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
    signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS}
_ONE_THREAD = 3  # links of its folder in /proc: two, and one a thread


class _Blocked:
    """No signal is taken by this thread in between."""

    def __enter__(self):
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        except BaseException:  # of a handler, when all were blocked already
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
            raise

    def __exit__(self, *_):
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


class _Piece:
    """Of work, for a thread of its own. Whatever the main thread does here can
    be interrupted after each step, and done again."""

    def __init__(self, work, arguments):
        self._work = work
        self._arguments = arguments
        self._context = contextvars.copy_context()
        self._owner = {}  # who came first: setdefault is one step
        self._end = _thread.allocate_lock()
        self._end.acquire()
        self.pid = os.getpid()
        self.thread = None
        self.error = None
        self.over = False

    def do(self):
        """In its thread."""
        if self._owner.setdefault("by", "thread") != "thread":
            return
        self.thread = _thread.get_ident()
        try:
            self._context.run(self._work, *self._arguments)
        except BaseException as error:
            self.error = error
        finally:
            self._work = self._arguments = self._context = None
            self.over = True
            self._end.release()

    def given_up(self):
        """Nobody has begun, and nobody will."""
        if self._owner.setdefault("by", "nobody") != "nobody":
            return False
        self.over = True
        if self._end.locked():
            self._end.release()
        return True

    def wait(self):
        """Until it is over; it has begun, or will."""
        while not self.over:
            self._end.acquire()

    def tell(self):
        """Raise its error, once."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # which has this frame


def _is_alone():
    """There is no other thread, of Python's or not, to take a signal."""
    try:
        return os.stat("/proc/self/task").st_nlink == _ONE_THREAD
    except OSError:
        return False


class Undisturbed:
    """One piece of work after the other, each done as a whole."""

    def __init__(self):
        self._piece = None  # of which the main thread has not seen the end

    def do(self, work, *arguments):
        """work(*arguments), whose result is what it leaves behind. An
        exception that is not its own may come instead: it is done then, or
        will be, or has not been begun and never will be; finish() tells."""
        self.finish()
        if _thread.get_ident() != threading.main_thread().ident:
            work(*arguments)  # where no handler runs
        elif _is_alone() or not self._apart(work, arguments):
            with _Blocked():
                work(*arguments)

    def _apart(self, work, arguments):
        """Whether a thread did it; not under gevent and eventlet, whose
        threads are none, and where there can be no more threads."""
        if not isinstance(_thread.start_new_thread, types.BuiltinFunctionType):
            return False
        while True:
            piece = self._piece = _Piece(work, arguments)
            try:
                _thread.start_new_thread(piece.do, ())
            except RuntimeError as error:
                if error.__traceback__.tb_next is not None:
                    raise  # a handler's
                self._piece = None
                return False
            piece.wait()
            if not piece.given_up():  # as a handler did that came here
                self._piece = None
                piece.tell()
                return True

    def finish(self, telling=True):
        """Wait until nothing is being done; telling: raise the error of a
        piece for which its caller did not wait."""
        piece = self._piece
        if piece is None or piece.thread == _thread.get_ident() \
                or piece.pid != os.getpid():
            return
        if not piece.given_up():
            piece.wait()
        self._piece = None
        if telling:
            piece.tell()
