"""What a Context reports.

Made by Context (_context.py) of what the extension hands out.
"""

__all__ = ["Event"]


class Event:
    """Something that happened: type, process, status, and what comes along.

    ``process`` is None in what evenable_exit() asked for; ``status`` is set
    in EXIT events, ``completed`` and ``rc`` in OPERATION_COMPLETE ones,
    ``signal`` in STOPPED and CONTINUED ones. ``user`` is the number given
    when the event was asked for.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["false"], event=True, user=7)
    ...     event = ctx.wait_event()
    >>> event.type == xlchild.EventType.EXIT, event.process is child
    (True, True)
    >>> event.user, event.status.exitcode
    (7, 1)
    """

    __slots__ = ("type", "process", "status", "user", "completed", "rc",
                 "signal")

    def __init__(self, kind, user):
        self.type = kind
        self.user = user
        self.process = self.status = self.completed = None
        self.rc = self.signal = None

    def __repr__(self):
        from ._enums import EventType
        return "<Event %s %s>" % (
            EventType(self.type).name,
            next((what for what in (self.completed, self.status)
                  if what is not None), self.process))
