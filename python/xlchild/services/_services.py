"""Services: the public side. What add() is told is checked by _describe.py,
what happens in a turn is in _turn.py, and what a previous life left is taken
over by _adopt.py."""
import os
import socket
import time
import warnings

from .._context import Context
from .._errors import BusyError, NotFoundError
from ._adopt import begin, take_over, unrecorded
from ._describe import described
from ._journal import Journal, Record
from ._keeping import Keeping
from ._member import Member
from ._turn import Turns
from ._undisturbed import Undisturbed
from ._words import State, wrong

__all__ = ["Services"]

_STOP_LEFT = (15, 5.0)  # SIGTERM, and SIGKILL so many seconds later


class Services:
    """Long-running services of a script, which live on when it ends.

    folder keeps what the script's next life has to know, best below /run: it
    is made where it is missing, with mode 0700, and belongs to one Services at
    a time (BusyError) and to this user: PermissionError where it is somebody
    else's or may be written by others, and it must not be a symbolic link.
    on_close says what close() does with the services: "leave" them running for
    the next life, or "stop" them.

    However the script ends, at whatever moment, its next life has its services:
    those that run are adopted when they are added, and of those that have ended
    meanwhile the kernel tells how (Linux 6.15, by a pidfd that was kept by
    systemd or a small process of ours); where it does not, the End says that
    it is lost, and why.

    Nothing happens by itself: poll(), and what waits, see to the services. Use
    it from one thread at a time. In a child of fork it is the parent's. An
    exception of a signal handler (KeyboardInterrupt) may come out of any call:
    what was asked for is done then as a whole or not at all, and what happened
    is told by the next poll(). The main thread of a program with other threads
    has that done by a thread made for it.

    >>> import tempfile, xlchild.services
    >>> folder = tempfile.TemporaryDirectory()
    >>> def life(on_close):
    ...     with xlchild.services.Services(folder.name,
    ...                                    on_close=on_close) as services:
    ...         services.add("web", ["sleep", "1000"])
    ...         services.start("web")
    ...         print(services.wait_ready("web", 10),
    ...               [event.kind for event in services.poll()])
    ...         return services.status("web").pid
    >>> life("leave") == life("stop")
    True ['started', 'ready']
    True ['adopted']
    True
    >>> folder.cleanup()
    """

    def __init__(self, folder, *, on_close="leave"):
        self._closed = True
        self._parts = []  # open, in this order
        if on_close not in ("leave", "stop"):
            raise wrong("Services", "on_close", "'leave' or 'stop'")
        self._on_close = on_close
        self._pid = os.getpid()
        self._quit = False
        self._undisturbed = Undisturbed()
        try:
            self._undisturbed.do(self._open, folder)
            self._closed = False
        except BaseException:
            self._undisturbed.finish(telling=False)
            self._undisturbed.do(self._release)
            raise

    def _open(self, folder):
        opened = self._parts.append
        self._journal = Journal(folder)
        opened(self._journal)
        self._context = Context()
        opened(self._context)
        self._keeping = Keeping(self._journal.folder, self._context)
        opened(self._keeping)
        self._turns = Turns(self._undisturbed, self._context, self._journal,
                            self._keeping)
        opened(self._turns)
        self._wake_r, self._wake_w = socket.socketpair()
        self._parts += [self._wake_r, self._wake_w]
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._turns.watch_fd(self._wake_r.fileno())
        self._turns.watch_keeper()
        self._take_over()

    def _take_over(self):
        turns = self._turns
        reason, others = self._journal.load(self._keeping)
        if reason is not None:
            turns.tell("state-lost", error=ValueError(reason))
            turns.changed()
        for end in self._journal.untold:
            turns.tell("ended", name=end.name, run=end.run, pid=end.pid,
                       end=end)
        members, ended = take_over(self._context, self._journal,
                                   self._keeping, others)
        turns.members.update(members)
        for member, status, why in ended:
            turns.members.setdefault(member.name, member)
            turns.lost(member, status, why)
        if unrecorded(self._journal, self._keeping):
            turns.changed()
        turns.now()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._close(told=kind is None)

    def close(self):
        """Leave the services running, or stop them, as on_close says.

        Events that poll() has returned count as told; others are told again
        by the next life. A second close does nothing.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     services = xlchild.services.Services(folder)
        ...     services.close()
        ...     try:
        ...         services.poll()
        ...     except ValueError as error:
        ...         print(error)
        the Services is closed
        """
        self._close(told=True)

    def _close(self, told):
        if self._closed:
            return
        try:
            if self._pid == os.getpid():
                if told and self._turns.has_handed():
                    self._do(self._turns.settle_told)
                if self._on_close == "stop":
                    self._stop_all()
                self._do(self._turns.now)
        finally:
            self._undisturbed.finish(telling=False)
            self._undisturbed.do(self._release)

    def _release(self):
        self._closed = True
        while self._parts:
            self._parts.pop().close()

    def __del__(self, _warn=warnings.warn):
        if not getattr(self, "_closed", True):
            _warn("unclosed %r" % self, ResourceWarning, source=self)
        if getattr(self, "_parts", None):
            self._release()

    def __repr__(self):
        if self._closed:
            return "<Services (closed)>"
        return "<Services %s>" % self._journal.folder.path

    def _here(self):
        if self._closed:
            raise ValueError("the Services is closed")
        if self._pid != os.getpid():
            raise ValueError("the Services is the parent process's")

    def _usable(self):
        self._here()
        self._undisturbed.finish()

    def _do(self, work, *arguments):
        self._undisturbed.do(work, *arguments)

    # ---- describing services ----

    def add(self, name, argv, *, restart="on-failure", backoff=None,
            ready=None, ready_within=30.0, stop_signal=15, stop_grace=5.0,
            log=None, env=None, cwd=None, user=None, gid=None, groups=None,
            umask=None, nice=None, rlimits=None):
        """Say what a service is; one that a previous life left is adopted.

        name is of letters, digits and "_-.@+". argv is the program, searched
        in the PATH of its environment, and its arguments; it leads a process
        group, and has nothing on stdin. What was to run, and has ended while
        no script lived, is started again where restart says so.

        restart: "never", "on-failure" (not after exit code 0) or "always",
        with a Backoff. ready: None (at once), ("line", regex) in its log,
        ("file", path) (one that is there before is removed), or ("notify",)
        (READY=1 to $NOTIFY_SOCKET, as to systemd); one that is not ready in
        ready_within seconds is stopped, as a failure. It is stopped by
        stop_signal to its group, and SIGKILL stop_grace seconds later; what is
        left of the group when it has ended, however it did, is killed.

        log is a file for stdout and stderr, to whose end it writes itself;
        None: nowhere. env (None: the script's), cwd, user, gid, groups, umask,
        nice and rlimits are as in Context.spawn(). $XLCHILD_SERVICE names the
        run.

        InvalidArgumentError names the argument; BusyError: there is one of that
        name.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("web", ["sleep", "1000"], ready=("line", "x"))
        Traceback (most recent call last):
        ...
        xlchild._errors.InvalidArgumentError: add: invalid argument: ready ...
        """
        self._usable()
        service, machine = described(
            self._journal.folder, name, argv, restart, backoff, ready,
            ready_within, stop_signal, stop_grace, log, env,
            {"cwd": cwd, "user": user, "gid": gid, "groups": groups,
             "umask": umask, "nice": nice, "rlimits": rlimits})
        member = self._turns.members.get(name)
        if member is not None and member.machine is not None:
            raise BusyError("add: there is a service %r already" % name)
        self._do(self._add, name, member, service, machine)

    def _add(self, name, member, service, machine):
        if member is None:
            record = self._journal.records.setdefault(name, Record())
            member = self._turns.members[name] = Member(name, record)
        member.service, member.machine = service, machine
        begin(self._turns, member)
        self._turns.now()

    def remove(self, name):
        """Stop a service, wait for that, and forget it: its name is free then.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("web", ["sleep", "1000"])
        ...         services.remove("web")
        ...         print(services.names())
        []
        """
        member = self._member(name)
        self._do(self._leave, member)
        self._wait_for([member])

    def _leave(self, member):
        member.leaving = True
        self._turns.ask(member, member.machine.stop)

    def names(self):
        """Those of the services that were added."""
        self._usable()
        return [name for name, member in self._turns.members.items()
                if member.machine is not None]

    def _member(self, name):
        self._usable()
        member = self._turns.members.get(name)
        if member is None or member.machine is None:
            raise NotFoundError("there is no service %r: add() it" % (name,))
        return member

    # ---- what is asked for ----

    def start(self, name):
        """Have a service run: one that is stopped, failed or waiting is started
        now, with its failures forgotten; one that is stopping, when it has
        ended.

        Returns when there is a process, or an event says why there is none.
        """
        member = self._member(name)
        self._do(self._turns.ask, member, member.machine.start)

    def stop(self, name, *, wait=True):
        """End a service by its policy, and do not start it again.

        Returns when it has ended, and nothing of its group is left; with
        wait=False at once.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("web", ["sleep", "1000"], stop_signal=2)
        ...         services.start("web")
        ...         services.stop("web")
        ...         print(services.status("web").last_end)
        signal SIGINT
        """
        member = self._member(name)
        self._do(self._turns.ask, member, member.machine.stop)
        if wait:
            self._wait_for([member])

    def _wait_for(self, members):
        while any(member.lives for member in members):
            self._turns.turn(None)

    def restart(self, name):
        """Stop a service, wait for its end, and start it.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder,
        ...                                    on_close="stop") as services:
        ...         services.add("web", ["sleep", "1000"])
        ...         services.start("web")
        ...         pid = services.status("web").pid
        ...         services.restart("web")
        ...         print(services.status("web").pid == pid)
        False
        """
        self.stop(name)
        self.start(name)

    def _stop_all(self):
        members = [member for member in self._turns.members.values()
                   if member.machine is not None]
        self._do(self._ask_to_stop, members)
        self._wait_for(members)

    def _ask_to_stop(self, members):
        for member in members:
            self._turns.do(member, member.machine.stop())
        self._turns.now()

    # ---- what there is ----

    def status(self, name):
        """The State of a service, also of one that a previous life had.

        NotFoundError if there was never one of that name.
        """
        self._usable()
        record = self._journal.records.get(name)
        if record is None:
            raise NotFoundError("there is no service %r" % (name,))
        member = self._turns.members.get(name)
        lives = record.run is not None
        state, error = "running" if lives else "stopped", None
        if member is not None and member.machine is not None:
            state, error = member.machine.state, member.error
        return State(state, record.pid if lives else None,
                     record.since if lives else None, record.run, record.last,
                     error)

    def wait_ready(self, name, timeout=None):
        """Wait until a service is ready: True. False if it is stopped, has
        failed or waits for another start: status() has how it ended, or why it
        could not be started. TimeoutError after timeout seconds.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("job", ["/nonexistent"], restart="never")
        ...         services.start("job")
        ...         print(services.wait_ready("job", 10),
        ...               services.status("job").error)
        False [stage exec] [Errno 2] No such file or directory: '/nonexistent'
        """
        member = self._member(name)
        until = None if timeout is None else time.monotonic() + timeout
        while member.machine.state in ("starting", "stopping"):
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("%r is not ready after %s seconds"
                                   % (name, timeout))
            self._turns.turn(left)
        return member.machine.state == "running"

    def left(self):
        """{name: pid} of what a previous life left running and nobody has added.

        They are watched: their ends are told.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("web", ["sleep", "1000"])
        ...         services.start("web")
        ...     with xlchild.services.Services(folder) as services:
        ...         print(list(services.left()))
        ...         services.stop_left()
        ...         print(services.left(), services.status("web").last_end)
        ['web']
        {} signal SIGTERM
        """
        self._usable()
        return {name: member.record.pid
                for name, member in self._turns.members.items()
                if member.machine is None and member.process is not None}

    def stop_left(self):
        """End those, by SIGTERM and, 5 s later, SIGKILL to their groups."""
        left = [self._turns.members[name] for name in self.left()]
        self._do(self._terminate, left)
        self._wait_for(left)

    def _terminate(self, members):
        for member in members:
            self._turns.terminate(member, *_STOP_LEFT)

    @property
    def kept_by(self):
        """Who has the pidfds when the script dies: "systemd", "keeper", or
        None: then an end that comes while no script lives is lost.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         print(services.kept_by)
        keeper
        """
        self._usable()
        return self._keeping.place if self._keeping.why is None else None

    # ---- seeing to it ----

    def poll(self, timeout=0.0):
        """See to the services, and return the Events; [] if there were none in
        timeout seconds (None: wait for ever).

        With the next call, those that this one returned count as told.
        """
        events = []
        try:
            self._take(events, timeout)
            return events
        except BaseException:
            self._put_back(events)
            raise

    def _take(self, into, timeout):
        self._usable()
        until = None if timeout is None else time.monotonic() + timeout
        if self._turns.has_handed():
            self._do(self._turns.settle_told)
        waits = 0.0
        while True:
            self._turns.turn(waits)
            self._hear()
            if self._turns.has_events() or self._quit:
                break
            waits = None if until is None else until - time.monotonic()
            if waits is not None and waits <= 0:
                break
        self._turns.take(into)

    def _put_back(self, events):
        if events:
            self._undisturbed.finish(telling=False)
            self._do(self._turns.put_back, events)

    def _hear(self):
        try:
            self._wake_r.recv(64)
        except BlockingIOError:
            pass

    def quit(self):
        """Have run_forever() and stream() return, and a poll() that waits: from
        a signal handler, or another thread."""
        self._here()
        self._quit = True
        try:
            self._wake_w.send(b"q")
        except BlockingIOError:
            pass

    def run_forever(self, on_event=None):
        """poll() until quit() is called; on_event(event) hears of each, and
        once more of one at which it raised, when this is called again.

        >>> import tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         def on_event(event):
        ...             if event.kind == "ended":
        ...                 services.quit()
        ...         services.add("job", ["sh", "-c", "exit 2"])
        ...         services.start("job")
        ...         services.run_forever(on_event)
        ...         print(services.status("job").last_end)
        exit 2
        """
        while True:
            events = []
            try:
                self._take(events, None)
                while events:
                    if on_event is not None:
                        on_event(events[0])
                    del events[0]
            finally:
                self._put_back(events)
            if self._quit:
                self._quit = False
                return

    def fileno(self):
        """An fd that is readable when poll() has work; so it has after
        timeout() seconds.

        >>> import select, tempfile, xlchild.services
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("job", ["true"])
        ...         services.start("job")
        ...         while services.status("job").last_end is None:
        ...             ready = select.select([services.fileno()], [], [],
        ...                                   services.timeout())
        ...             events = services.poll()
        ...         print(services.status("job").last_end)
        exit 0
        """
        self._usable()
        return self._turns.fileno()

    def timeout(self):
        """Seconds after which poll() has work whatever fileno() says; None."""
        self._usable()
        return self._turns.timeout()

    async def stream(self):
        """The events, for asyncio: ``async for event in services.stream()``,
        until quit() is called.

        >>> import asyncio, tempfile, xlchild.services
        >>> async def main(folder):
        ...     with xlchild.services.Services(folder) as services:
        ...         services.add("job", ["sh", "-c", "exit 4"])
        ...         services.start("job")
        ...         async for event in services.stream():
        ...             if event.kind == "ended":
        ...                 print(event.end)
        ...                 break
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asyncio.run(main(folder))
        exit 4
        """
        from ._stream import readable
        while True:
            events = []
            try:
                self._take(events, 0)
                while events:
                    event = events[0]
                    del events[0]
                    yield event
            finally:
                self._put_back(events)
            if self._quit:
                self._quit = False
                return
            await readable(self.fileno(), self.timeout())
