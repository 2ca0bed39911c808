"""Manners at a terminal: the keys that end and stop, and the bar.

Used by _main.py. Commands have sessions of their own if there is a terminal
(groups of their own, which cost less, if there is none), so that it tells only
us of Ctrl-C and Ctrl-Z; we pass them on.
"""
import _signal as signal  # what signal adds are enumerations
import os
import sys
import time

__all__ = ["Bar", "Signals", "has_terminal", "ignored_signals",
           "terminal"]

_DRAWN = 0.1  # seconds between two drawings


def terminal():
    """The controlling terminal, opened: an fd. OSError: there is none."""
    return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)


def has_terminal():
    """There is one that a command could ask."""
    try:
        os.close(terminal())
    except OSError:
        return False
    return True


def ignored_signals():
    """Those that whoever started us wants ignored, as nohup does: the
    commands ignore them, too."""
    python = (signal.SIGPIPE, signal.SIGXFSZ)  # it ignores them itself
    return [signo for signo in range(1, signal.NSIG) if signo not in python
            and signal.getsignal(signo) == signal.SIG_IGN]


class Signals:
    """Ctrl-C and its kin end the pool: gently first, the second time not.
    Ctrl-Z stops the commands with us, and they go on when we do. Commands
    that have the terminal get its keys themselves: it is for them to end."""

    WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, shared=False, last=False):
        self._shared = shared
        self._last = last  # nothing comes after this
        self.pool = None
        self.first = None
        self.bar = None
        self._at_once = False
        self._before = {}

    def __enter__(self):
        for signo in self.WATCHED:
            if signal.getsignal(signo) != signal.SIG_IGN:  # as nohup has it
                self._before[signo] = signal.signal(signo, self._came)
        if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._before[signal.SIGTSTP] = signal.signal(
                signal.SIGTSTP, self._stop)
        return self

    def _came(self, signo, _frame):
        again = self.first is not None
        self.first = self.first or signo
        if self.pool is None:
            raise KeyboardInterrupt
        if self._shared and signo == signal.SIGINT:
            self.pool.stop()
            return
        self.pool.cancel(at_once=again)
        self._at_once = again

    def meanwhile(self):
        """A reader does not read: is it time for something else?"""
        self.pool._watch_time()
        if self._at_once:
            raise KeyboardInterrupt  # it would wait for the reader for ever

    def _stop(self, signo, _frame):
        """Stop the commands, then ourselves; later go on."""
        if self.bar is not None:
            self.bar.clear()
        begun = time.monotonic()
        runner = self.pool and self.pool._runner
        passing = None if self._shared \
            else getattr(runner, "signal", None)
        if passing is not None:
            passing(signal.SIGSTOP)
        signal.signal(signo, signal.SIG_DFL)
        os.kill(os.getpid(), signo)  # and here it ends, until SIGCONT
        signal.signal(signo, self._stop)
        if self.pool is not None:
            self.pool._time_passed(time.monotonic() - begun)
        if passing is not None:
            passing(signal.SIGCONT)
        if self.bar is not None:
            self.bar.draw(at_once=True)

    def __exit__(self, *_):
        for signo, handler in self._before.items():
            # one more says nothing new to a process that is about to end
            over = self._last and self.first is not None
            signal.signal(signo, signal.SIG_IGN if over else handler)


class Bar:
    """One line on standard error, if that is a terminal: how far it is.

    kind: "bar", "eta" (the same with the time that is left) or "progress"
    (numbers only). total: how many there are; None: not known.
    """

    def __init__(self, kind, total, stream=2):
        self._kind = kind
        self._total = total
        self._fd = stream
        self._begun = self._last = time.monotonic()
        self._shown = False
        self.done = self.failed = self.running = 0
        term = os.environ.get("TERM", "dumb")
        self._plain = term == "dumb"
        self._colour = not self._plain and not os.environ.get("NO_COLOR")

    @classmethod
    def of(cls, kind, total):
        """A Bar; None if nobody would see it."""
        if kind is None or sys.stderr is None or not os.isatty(2):
            return None
        return cls(kind, total)

    def advance(self, count, failed, running):
        """count more are done, failed of them badly."""
        self.done += count
        self.failed += failed
        self.running = running
        self.draw()

    def draw(self, at_once=False):
        """Show how far it is, but not all the time."""
        now = time.monotonic()
        if not at_once and self._shown and now - self._last < _DRAWN \
                and self.done != self._total:
            return
        self._last = now
        try:
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return  # in the background: another's terminal
        except OSError:
            pass  # not our controlling terminal
        width = self._width() - 1
        if width < 1:
            return
        text = self._text(now)[:width]
        if self._plain:
            self._write("\r" + text.ljust(width))
        else:
            self._write("\r%s\x1b[K" % self._coloured(text))
        self._shown = True

    def clear(self):
        """Make room for other output."""
        if not self._shown:
            return
        self._shown = False
        if self._plain:
            self._write("\r%s\r" % (" " * max(0, self._width() - 1)))
        else:
            self._write("\r\x1b[K")

    close = clear

    def _width(self):
        try:
            return os.get_terminal_size(self._fd).columns or 80
        except OSError:
            return 80

    def _text(self, now):
        of = "" if self._total is None else "/%d" % self._total
        words = ["%d%s" % (self.done, of)]
        if self.failed:
            words.append("%d failed" % self.failed)
        if self._kind == "progress":
            words.append("%d running" % self.running)
        elif self._kind == "eta":
            words.append(self._left(now))
        text = ", ".join(words)
        if self._kind == "progress" or not self._total:
            return text
        room = self._width() - 1 - len(text) - 9
        if room < 5:
            return text
        full = room * min(self.done, self._total) // self._total
        return "%3d%% [%s%s] %s" % (100 * self.done // self._total,
                                    "#" * full, "." * (room - full), text)

    def _left(self, now):
        if not self._total or not self.done:
            return "ETA ?"
        seconds = (now - self._begun) / self.done * max(
            0, self._total - self.done)
        if seconds < 90:
            return "ETA %ds" % round(seconds)
        minutes = round(seconds / 60)
        return "ETA %dm" % minutes if minutes < 90 \
            else "ETA %dh%02dm" % divmod(minutes, 60)

    def _coloured(self, text):
        mark = "%d failed" % self.failed
        if not self._colour or not self.failed or mark not in text:
            return text
        return text.replace(mark, "\x1b[31m%s\x1b[0m" % mark)

    def _write(self, text):
        try:
            os.write(self._fd, text.encode())
        except OSError:
            pass  # nobody looks any more
