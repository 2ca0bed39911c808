"""One service while this life of the script knows of it.

Made by _services.py (add) and _adopt.py (what a previous life left, which has
no service until it is added); used by _turn.py.
"""
__all__ = ["Member", "Service"]


class Service:
    """What add() was told, checked."""

    __slots__ = ("name", "argv", "options", "env", "ready", "stop_signal",
                 "stop_grace", "log")


class Member:
    """machine None: nobody has added it yet."""

    __slots__ = ("name", "service", "machine", "record", "process", "gate",
                 "watch", "rest", "next_look", "pending", "error", "leaving",
                 "group_known")

    def __init__(self, name, record):
        self.name = name
        self.record = record
        self.service = self.machine = None
        self.process = self.gate = self.watch = None
        self.rest = None  # until when what an ended one left is waited for
        self.next_look = 0.0
        self.pending = []  # the machine's answers, to be done
        self.error = None  # of the last start
        self.leaving = False  # to be removed once it is stopped
        self.group_known = True  # its group can be signalled by its pidfd

    @property
    def lives(self):
        """It has a process, or is about to."""
        return self.process is not None or self.machine is not None and (
            self.machine.lives or self.machine.phase == "launching")
