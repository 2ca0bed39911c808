"""A Context's events: taken, called with, and told to other loops.

The part of _context.py's Context between the extension's event_take and the
Event that a caller gets. Next: _events.py.
"""
import time

from . import _libxl
from ._awaited import MARK
from ._cooperative import pause, sleeper
from ._events import Event
from ._process import Process, milliseconds
from ._status import Status

__all__ = ["ALL_EVENTS", "TOKEN", "Events"]

ALL_EVENTS = (1 << 64) - 1
TOKEN = 1 << 63  # marks our own numbers among the users'
_EXIT = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_EXIT
_COMPLETE = _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE


class Events:
    """Of Context, which is a Ctx of the extension's besides."""

    def events(self, timeout=0.0, *, max=64, types=None):
        """Take up to max events; a list, empty when timeout seconds passed.

        timeout None waits for ever, 0 only looks. types is an iterable of
        EventType; None takes all. Pumps the context.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     child = ctx.spawn(["sh", "-c", "kill -9 $$"], event=True)
        ...     for event in ctx.events(timeout=None):
        ...         print(event.process is child, event.status.returncode)
        True -9
        """
        mask = ALL_EVENTS
        if types is not None:
            mask = 0
            for kind in types:
                mask |= 1 << kind
        sleep = sleeper()
        began = time.monotonic()
        while True:
            ready = self._left_over(mask, max) if self._left else []
            taken = []
            try:
                if ready:
                    return ready
                if sleep is None:
                    self._events(max, mask, milliseconds(timeout), taken)
                else:
                    pause(lambda: self._events(max, mask, 0, taken), sleep,
                          timeout)
                others = self._pass_on(taken)
                for item in taken:
                    self._event(item, ready)
                if ready or not others:
                    return ready
            except BaseException:  # of a signal handler: nothing is lost
                self._left[:0] = ready + taken[len(ready):]
                for event in ready:
                    if event.process is not None and event.type == _EXIT:
                        self._children.pop(
                            getattr(event.process, "_token", None), None)
                raise
            if timeout is not None:  # it was nothing of the caller's
                now = time.monotonic()
                timeout, began = timeout - (now - began), now

    def _pass_on(self, taken):
        """What tasks wait for goes to them, and out of the list; how many."""
        ours = [item for item in taken
                if type(item) is tuple and item[1] >= MARK]
        for item in ours:
            launch = self._launches.get(item[1])
            if launch is not None:
                launch.told()
            taken.remove(item)
        return len(ours)

    def _left_over(self, mask, max):
        """Events of a call that was interrupted."""
        found, rest = [], []
        left, self._left = self._left, []
        try:
            self._pass_on(left)
            for item in left:
                kind = item[0] if type(item) is tuple else item.type
                if len(found) < max and mask >> kind & 1:
                    if type(item) is tuple:
                        self._event(item, found)
                    else:
                        found.append(item)
                else:
                    rest.append(item)
            self._left = rest + self._left
            return found
        except BaseException:
            self._left = left
            raise

    def _left_exit(self, identity):
        """What is there of one child's end."""
        for item in list(self._left):
            if type(item) is not tuple:
                if item.type == _EXIT and item.status._result[0] == identity:
                    return item.status._result
            elif item[0] == _EXIT and item[2][0] == identity:
                return item[2]
        return None

    def wait_event(self, timeout=None, *, types=None):
        """The next event; TimeoutError when timeout seconds passed.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     try:
        ...         ctx.wait_event(0.01)
        ...     except TimeoutError as error:
        ...         print(error)
        no event in 0.01 seconds
        """
        taken = self.events(timeout, max=1, types=types)
        if not taken:
            raise TimeoutError("no event in %s seconds" % timeout)
        return taken[0]

    def _event(self, item, into):
        """Append the Event to a list; what it is about is known until it is
        there."""
        kind, user, payload = item
        event = Event(kind, user)
        key = None
        if kind == _EXIT:
            event.status = status = Status(payload)
            if user & TOKEN:
                key = user
                process = self._children.get(user)
                if process is not None:
                    event.process = process
                    if type(process) is Process:
                        event.user = process.user
                        process._status = status
                        process._collect()
                    else:  # a Popen, which is asked for its own
                        event.user = process.tag
        elif kind == _COMPLETE:
            if payload is not None:
                from ._completed import CompletedProcess
                key = ("operation", user)
                event.rc = payload[0]
                event.completed = CompletedProcess._of(
                    self._children.get(key), payload)
                if self._accounts is not None:
                    from ._account import account_of
                    event.completed.account = account_of(
                        self, payload[1][0],
                        self._accounts.setdefault(user, []))
        else:
            event.process = process = self._children.get(user)
            if process is not None:
                event.user = process.user
            if len(payload) > 2:
                event.signal = payload[2]
        into.append(event)
        if key is not None:
            self._children.pop(key, None)
        if self._accounts:
            self._accounts.pop(user, None)

    def register_callbacks(self, event_occurs=None, *, types=None,
                           disaster=None):
        """Have events delivered by call instead of events().

        event_occurs(event) gets those of types (None: all). disaster(type,
        message, errno) is told when reports become unreliable; it must not
        use the context.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     ctx.register_callbacks(lambda event: print(event.status))
        ...     number = ctx.evenable_exit()
        ...     status = ctx.spawn(["true"]).wait()
        exit 0
        """
        mask = 0
        if event_occurs is not None:
            mask = ALL_EVENTS if types is None else 0
            for kind in types or ():
                mask |= 1 << kind
        convert = None
        if event_occurs is not None:
            import weakref  # slow to import

            own = weakref.ref(self)

            def convert(item):
                context = own()
                if item[1] >= MARK and context._pass_on([item]):
                    return
                made = []
                context._event(item, made)
                event_occurs(made[0])
        self._register_callbacks(mask, convert, disaster)

    def evenable_exit(self, pid=0, user=0):
        """An extra EXIT event when pid (0: any child) ends; a number.

        There is one at once for a child that has ended, and whose result is
        still kept for whoever asks (a Popen, a Process without event).

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     child = ctx.spawn(["true"])
        ...     number = ctx.evenable_exit(child.pid, user=5)
        ...     print(child.wait(), ctx.wait_event().user)
        exit 0 5
        """
        return self._evenable(pid, user)

    def _announce(self, popen):
        """An EXIT event for a Popen that is held."""
        token = TOKEN | next(self._tokens)
        self._children[token] = popen
        try:
            self._evenable(popen.pid, token)
        except BaseException:
            self._children.pop(token, None)
            raise

    def evdisable_exit(self, number):
        """No more of the events that evenable_exit() asked for.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     ctx.evdisable_exit(ctx.evenable_exit())
        ...     print(ctx.spawn(["true"]).wait(), ctx.events())
        exit 0 []
        """
        self._evdisable(number)

    def osevent_register(self, hooks):
        """Register with a host loop: an object with the six methods.

        fd_register(fd, events, for_libxl) and timeout_register(abs,
        for_libxl) return a registration, which fd_modify(registration, fd,
        events), fd_deregister(registration, fd), timeout_modify(
        registration, abs) and timeout_deregister(registration) get back. abs
        is seconds of the real-time clock. None: back to no host loop. Call
        occurred_fd() and occurred_timeout() with for_libxl.

        >>> import select, time, xlchild
        >>> class Loop:
        ...     def __init__(self):
        ...         self.fds, self.timers = {}, {}
        ...     def fd_register(self, fd, events, for_libxl):
        ...         self.fds[fd] = events, for_libxl
        ...     def fd_modify(self, registration, fd, events):
        ...         self.fds[fd] = events, self.fds[fd][1]
        ...     def fd_deregister(self, registration, fd):
        ...         del self.fds[fd]
        ...     def timeout_register(self, when, for_libxl):
        ...         self.timers[for_libxl] = when
        ...         return for_libxl
        ...     def timeout_modify(self, registration, when):
        ...         self.timers[registration] = when
        ...     def timeout_deregister(self, registration):
        ...         self.timers.pop(registration, None)
        ...     def turn(self, ctx):
        ...         poll = select.poll()
        ...         for fd, (events, _) in self.fds.items():
        ...             poll.register(fd, events)
        ...         for fd, revents in poll.poll(10):
        ...             events, for_libxl = self.fds[fd]
        ...             ctx.occurred_fd(for_libxl, fd, events, revents)
        ...         for for_libxl, when in list(self.timers.items()):
        ...             if when <= time.time():
        ...                 del self.timers[for_libxl]
        ...                 ctx.occurred_timeout(for_libxl)
        >>> loop = Loop()
        >>> with xlchild.Context() as ctx:
        ...     ctx.osevent_register(loop)
        ...     child = ctx.spawn(["sleep", "1000"], sigignore=[15],
        ...                       on_exit=lambda p, status: print(status))
        ...     terminated = child.terminate(grace=0.05)
        ...     while child.status is None:
        ...         loop.turn(ctx)
        signal SIGKILL
        """
        if hooks is None:
            self._osevent_register(None, None, None, None, None, None)
        else:
            self._osevent_register(
                hooks.fd_register, hooks.fd_modify, hooks.fd_deregister,
                hooks.timeout_register, hooks.timeout_modify,
                hooks.timeout_deregister)

    def fileno(self):
        """An fd that is readable when there is work: then call events().

        >>> import select, xlchild
        >>> with xlchild.Context() as ctx:
        ...     child = ctx.spawn(["true"], event=True)
        ...     poll = select.poll()
        ...     poll.register(ctx.fileno(), select.POLLIN)
        ...     while child.status is None:
        ...         ready = poll.poll()
        ...         taken = ctx.events()
        ...     print(child.status)
        exit 0
        """
        return _libxl.libxl_ctx_fileno(self)

    @property
    def disaster_latched(self):
        """0, or the code of the first disaster that no hook was told.

        >>> import xlchild
        >>> xlchild.default_context().disaster_latched
        0
        """
        return _libxl.libxl_ctx_disaster_latched(self)

    # ---- running ------------------------------------------------------
