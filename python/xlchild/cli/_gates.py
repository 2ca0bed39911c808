"""What holds starts back besides -j: load, memory, a job server.

A gate is asked by the pool's scheduler (xlchild.pool._schedule):
room(wanted): how many may start now; unused(n): so many of these did not;
ended(results): these commands have; fileno(): a file that says when to ask
again, or None; patience(): seconds until to ask again, or None; beat(): does
what is to be done now and then, returns seconds until the next time or None;
options(result): what this command is started with, or None; close().
"""
import os
import time

__all__ = ["All", "Load", "Memory", "Ticker"]

_LOOK = 0.1
_SAY_AFTER = 1.0


class All:
    """Several gates as one: each must let a command through."""

    def __init__(self, gates):
        self._gates = gates

    def room(self, wanted):
        """As many as all of them allow."""
        for at, gate in enumerate(self._gates):
            allowed = gate.room(wanted)
            if allowed < wanted:
                for before in self._gates[:at]:
                    before.unused(wanted - allowed)
            wanted = allowed
            if not wanted:
                break
        return wanted

    def unused(self, count):
        """Tell all."""
        for gate in self._gates:
            gate.unused(count)

    def ended(self, results):
        """Tell all."""
        for gate in self._gates:
            gate.ended(results)

    def fileno(self):
        """The last one's: a job server comes last."""
        return self._gates[-1].fileno()

    def patience(self):
        """The shortest."""
        times = [gate.patience() for gate in self._gates]
        times = [each for each in times if each]
        return min(times) if times else self._gates[-1].patience()

    def beat(self):
        """All of them; the first that wants another one."""
        times = [gate.beat() for gate in self._gates]
        times = [each for each in times if each is not None]
        return min(times) if times else None

    def options(self, result):
        """The last one's."""
        return self._gates[-1].options(result)

    def close(self):
        """All are."""
        for gate in self._gates:
            gate.close()


class _Watched:
    """Looks at the machine now and then; says why nothing starts."""

    def __init__(self, say):
        self._say = say
        self._closed = None  # since when
        self.running = 0

    def room(self, wanted):
        """All of it or nothing."""
        words = self._against()
        if words is None:
            self._closed = None
            wanted = self._at_most(wanted)
            self.running += wanted
            return wanted
        now = time.monotonic()
        if self._closed is None:
            self._closed = now
        elif self._say and not self.running \
                and now - self._closed > _SAY_AFTER:
            self._say(words)
            self._say = None
        return 0

    @staticmethod
    def _at_most(wanted):
        return wanted

    def unused(self, count):
        """So many did not start."""
        self.running -= count

    def ended(self, results):
        """These have."""
        self.running -= len(results)

    @staticmethod
    def fileno():
        """Nothing tells."""
        return None

    @staticmethod
    def patience():
        """A little."""
        return _LOOK

    @staticmethod
    def beat():
        """Nothing."""

    @staticmethod
    def options(_result):
        """Nothing of its own."""

    @staticmethod
    def close():
        """Nothing is held."""


class Ticker(_Watched):
    """Lets everything through; calls tick() every second."""

    def __init__(self, tick):
        super().__init__(None)
        self._tick = tick

    @staticmethod
    def _against():
        return None

    @staticmethod
    def patience():
        """There is nothing to wait for."""
        return 0.0

    def beat(self):
        """Now."""
        self._tick()
        return 1.0


class Load(_Watched):
    """While so many processes are at work, no other starts; but one of ours
    always runs."""

    def __init__(self, most, say):
        super().__init__(say)
        self._most = most
        self._next = 0.0

    def _against(self):
        now = time.monotonic()
        if self.running and (now < self._next or _at_work() >= self._most):
            return "waiting for less load (--load)"
        self._next = now + _LOOK
        return None

    @staticmethod
    def _at_most(wanted):
        return min(1, wanted)  # to see what it does to the load


class Memory(_Watched):
    """Only while so many bytes are free."""

    def __init__(self, least, say):
        super().__init__(say)
        self._least = least

    def _against(self):
        if _free_memory() < self._least:
            return "waiting for memory (--memfree)"
        return None


def _at_work():
    """How many processes run or wait to, without this one."""
    with open("/proc/loadavg") as file:
        return int(file.read().split()[3].partition("/")[0]) - 1


def _free_memory():
    """Bytes that programs could have."""
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
