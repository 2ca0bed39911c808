"""The Context: the treaty, starting, events, running.

Derives from the extension's Ctx (bindings/python/ctx_type.c), which owns the
libxl_ctx and the closures. What a start is told is put in order by
_spec.py; what comes back is made by _events.py and _treaty.py.
"""
import itertools
import os
import time
from _thread import allocate_lock

from . import _libxl
from ._awaited import MARK
from ._cooperative import pause, sleeper
from ._errors import XlchildError
from ._events import Event
from ._process import Process, milliseconds
from ._spec import (PIPE, SEARCH_OPTIONS, account_cell, has_group, octets,
                    spec_options, stream_pair)
from ._status import Status

__all__ = ["Context", "Decoded", "default_context", "forwarded",
           "translated"]

_LEVELS = {0: 10, 1: 20, 2: 30, 3: 40, 4: 50}  # logging.DEBUG ... CRITICAL
_WARNING = _LEVELS[2]

_ALL_EVENTS = (1 << 64) - 1
_ACCOUNT = _libxl.LIBXL_SPAWN_ACCOUNT
_EXIT = _libxl.LIBXL_EVENT_TYPE_CHILDPROC_EXIT
_COMPLETE = _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE
_HOLD = _libxl.LIBXL_REPORT_HOLD
_BY_EVENT = _libxl.LIBXL_REPORT_EVENT
_BY_CALLBACK = _libxl.LIBXL_REPORT_CALLBACK
_FDS_CLOSED = -136
_NOBODY = _libxl.libxl_sigchld_owner_none  # SigchldOwner.NONE
_TOKEN = 1 << 63  # marks our own numbers among the users'


def _log(level, errno, message):
    import logging  # hardly ever needed, and slow to import

    logger = logging.getLogger("xlchild")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    level = _LEVELS.get(level, level)
    if "bad argument" in message:
        level = logging.DEBUG  # an exception says the same
    if errno:
        message = "%s: %s" % (message, os.strerror(errno))
    logger.log(level, "%s", message)


class Context(_libxl.Ctx):
    """Starts children and learns how they end.

    The default owner is SigchldOwner.NONE: no signal handler, no wait for
    strangers' children. Use it as a context manager, or call close(). Safe
    in threads.

    >>> import xlchild
    >>> with xlchild.Context() as ctx:
    ...     child = ctx.spawn(["true"])
    ...     print(child.wait())
    exit 0
    >>> ctx.closed
    True
    """

    def __new__(cls, owner=_NOBODY, *, log_level=_WARNING,
                fork_replacement=None, childproc_exited_callback=None):
        """Allocate the C context; its messages go to logging."""
        level = 0
        for number, python in _LEVELS.items():
            if python <= log_level:
                level = number
        self = super().__new__(cls, log=_log, min_level=level)
        self._children = {}  # what an event's number stands for
        self._tokens = itertools.count(1)
        self._left = []  # events that an interrupted call had taken
        self._adopted = {}  # Processes of interrupted adoptions
        self._accounts = None  # those of start(), if one was asked for
        self._launches = {}  # what tasks wait for: see _awaited.py
        self._families = []  # those that were forgotten alive
        self._router = None
        return self

    def __init__(self, owner=_NOBODY, *, log_level=_WARNING,
                 fork_replacement=None, childproc_exited_callback=None):
        self._pid = os.getpid()
        try:
            self.setmode(owner, fork_replacement=fork_replacement,
                         childproc_exited_callback=childproc_exited_callback)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Free the context; what lives is treated by its on_free policy.

        Raises BusyError from inside a callback or while another thread is
        in a call; a second close does nothing.

        >>> import xlchild
        >>> ctx = xlchild.Context()
        >>> child = ctx.spawn(["true"], on_free=xlchild.FreePolicy.DETACH)
        >>> ctx.close()
        """
        super().close()
        self._children.clear()
        self._adopted.clear()
        for launch in list(self._launches.values()):
            launch.told()  # whoever waits sees that it is closed
        if self._router is not None:
            self._router.uninstall()
            self._router = None

    @property
    def forked(self):
        """True in a process that inherited this context by fork.

        >>> import os, xlchild
        >>> with xlchild.Context() as ctx:
        ...     pid = os.fork()
        ...     if pid == 0:
        ...         os._exit(ctx.forked)
        ...     os.waitpid(pid, 0)[1] >> 8, ctx.forked
        (1, False)
        """
        return self._pid != os.getpid()

    def __repr__(self):
        return "<%s%s>" % (type(self).__name__,
                           " (closed)" if self.closed else "")

    # ---- the treaty ---------------------------------------------------

    def setmode(self, owner, *, fork_replacement=None,
                childproc_exited_callback=None):
        """Say who owns SIGCHLD; only while there are no children.

        fork_replacement() is called instead of fork for every child and
        behaves like os.fork. childproc_exited_callback(pid, status) hears of
        children that no context started (owners LIBXL and LIBXL_ALWAYS):
        return None or True if it is yours, False or ERROR_NOT_READY if it is
        not. Exceptions come out of the call that pumps.

        >>> import os, xlchild
        >>> theirs = {}
        >>> def exited(pid, status):
        ...     if pid not in theirs:
        ...         return xlchild.ERROR_NOT_READY
        ...     theirs[pid] = status
        >>> with xlchild.Context() as ctx:
        ...     ctx.setmode(xlchild.SigchldOwner.LIBXL,
        ...                 childproc_exited_callback=exited)
        ...     ours = ctx.spawn(["sleep", "1000"])
        ...     pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
        ...     theirs[pid] = None
        ...     while theirs[pid] is None:
        ...         taken = ctx.events(0.01)
        ...     print(theirs[pid], ours.kill(), ours.wait())
        exit 7 True signal SIGKILL
        """
        if owner != _NOBODY:
            from ._enums import SigchldOwner
            owner = SigchldOwner(owner)
        super()._setmode(int(owner), fork_replacement,
                         childproc_exited_callback)
        router = childproc_exited_callback \
            if hasattr(childproc_exited_callback, "install") else None
        if router is not None:
            router.install()
        if self._router is not None:
            self._router.uninstall()
        self._router = router

    def childproc_exited(self, pid, status):
        """The program reaped pid: is it one of ours? (owner MAINLOOP)

        status is as from os.waitpid. True if it was a child of this context.

        >>> import os, xlchild
        >>> with xlchild.Context(xlchild.SigchldOwner.MAINLOOP) as ctx:
        ...     child = ctx.spawn(["sh", "-c", "exit 5"])
        ...     pid, status = os.waitpid(child.pid, 0)
        ...     ctx.childproc_exited(pid, status), child.wait().exitcode
        (True, 5)
        """
        if isinstance(status, Status):
            status = status.raw
        return _libxl.libxl_childproc_exited(self, pid, status)

    def sigchld_occurred(self):
        """The program saw a SIGCHLD: reap those of ours that have ended.

        >>> import os, xlchild
        >>> with xlchild.Context(xlchild.SigchldOwner.MAINLOOP) as ctx:
        ...     child = ctx.spawn(["true"])
        ...     ended = os.waitid(os.P_PID, child.pid,
        ...                       os.WEXITED | os.WNOWAIT)
        ...     ctx.sigchld_occurred()
        ...     print(child.poll())
        exit 0
        """
        _libxl.libxl_childproc_sigchld_occurred(self)

    def diagnose(self):
        """Who owns SIGCHLD now, and which mode is in force: a Diagnosis.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     ctx.diagnose().mode_asked.name
        'NONE'
        """
        from ._treaty import diagnosis
        return diagnosis(self._diagnose())

    # ---- starting -----------------------------------------------------

    def spawn(self, args, *, event=False, on_exit=None, user=0, tag=None,
              **options):
        """Start a child; return its Process.

        args is a sequence of str, bytes or paths; a program without a slash
        is searched in PATH (search=False: not). Its end is kept for
        Process.wait(); with event=True it comes from events(), with
        on_exit=callable on_exit(process, status) is called by whatever
        pumps the context.

        Options: env (mapping), cwd, path or executable (what to execute
        instead of args[0]), stdin/stdout/stderr (an fd, a file, DEVNULL;
        stderr: STDOUT), pass_fds, fds (child's fd -> ours, FD_NULL or
        FD_CLOSED), new_session or start_new_session, new_group or
        process_group=0, process_group (its number), uid or user, gid, groups
        or extra_groups, by number or name (with uid or gid and without
        groups none of ours stays, but with keep_groups=True; Popen keeps
        them, as subprocess does), umask, nice,
        rlimits [(resource, soft, hard)], sigmask, sigignore, pdeathsig,
        ctty_fd, cgroup, kill (KillPolicy), on_free (FreePolicy),
        family (see family()), report_stops, exited_grace_ms,
        restore_signals. All other fds are closed, but with close_fds=False.
        With account=True there is an Account of why it died and what it cost:
        Process.account.

        tag is the number that the event has as ``user``. Beside event or
        on_exit, user is that number as well, unless it is a name: say uid.

        Raises SpawnError (stage, errno) if it could not be set up or
        executed; there is no child then.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     child = ctx.spawn(
        ...         ["sh", "-c", "exit 4"], cwd="/", stdin=xlchild.DEVNULL,
        ...         on_exit=lambda process, status: print(status))
        ...     while ctx.child_count:
        ...         taken = ctx.events(0.01)
        exit 4
        >>> child = xlchild.spawn(
        ...     ["sh", "-c", "read x || test ! -e /proc/$$/fd/2"],
        ...     fds={0: xlchild.FD_NULL, 2: xlchild.FD_CLOSED})
        >>> print(child.wait())
        exit 0
        """
        if isinstance(user, str) or user and not event and on_exit is None:
            options["user"] = user
            user = 0
        if options:
            options = spec_options(**options)
        else:
            options = SEARCH_OPTIONS
        process = Process(self, args, user if tag is None else tag)
        process._account = account_cell(options)
        kind, token = _HOLD, 0
        cell = []  # has the answer, whatever a signal handler raises
        try:
            if event:
                # known before it runs: another thread may take the event
                kind = _BY_EVENT
                token = process._token = _TOKEN | next(self._tokens)
                self._children[token] = process
            elif on_exit is not None:
                kind, token = _BY_CALLBACK, _OnExit(on_exit, process)
            self._spawn(args, options, kind, token, cell)
            process.id, process.pid = cell[0]
            process._held = kind == _HOLD
            process._reported = kind != _HOLD
            process._wide = has_group(options)
            return process
        except BaseException:
            process._held = process._reported = False
            self._children.pop(process._token, None)
            self._end_started(cell)
            raise

    async def spawn_async(self, args, **options):
        """Start a child from a task of asyncio or trio; return its Process.

        Options are those of spawn(), but for event and on_exit; the result is
        kept for Process.wait(). The loop goes on until the program is executed,
        however long that takes, and the Process is there only then: SpawnError
        (stage, errno) says that it never was. Cancelled, or interrupted, before
        that, the child is killed and reaped. The loop watches the context
        meanwhile (one fd a start); threads may call events() beside it.

        >>> import asyncio, xlchild
        >>> async def main():
        ...     with xlchild.Context() as ctx:
        ...         child = await ctx.spawn_async(["sh", "-c", "exit 4"])
        ...         try:
        ...             await ctx.spawn_async(["/nonexistent"])
        ...         except xlchild.SpawnError as error:
        ...             print(child.wait(), error.stage)
        >>> asyncio.run(main())
        exit 4 exec
        """
        from ._launch import Launch
        return await Launch(self, args, options).over()

    def family(self, when="never", *, first_signal=0, grace=0.0, holds=None,
               cgroup_parent=None):
        """A Family for one child to come: give it to the start as family=.

        when says at what it is ended by itself: "never"; "timeout" (the child
        is ended by its kill policy: a time-out, terminate, …); "failure" (as
        that, or the child ends otherwise than by exit(0)); "always" (the child
        ends). It gets first_signal then (0: SIGKILL at once), and SIGKILL
        after grace seconds. holds are those that may be taken, of "cgroup",
        "keeper" and "group", the best first (None: all but "keeper", which is
        a process of the library's that becomes the child's parent: os.waitpid
        does not know the child then, nor can a Popen have it); cgroup_parent
        is the directory of the cgroup v2 where one is made (None: this
        process's own).

        InvalidArgumentError names the argument that is wrong; UnavailableError
        if none of holds is to be had here.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     with ctx.family(when="always", first_signal=15,
        ...                     grace=5) as family:
        ...         done = ctx.run(["sh", "-c", "sleep 1000 & :"],
        ...                        family=family)
        ...         print(done.returncode, family.wait())
        0 True
        """
        from ._family import make  # few need it
        return make(self, when, first_signal, grace, holds, cgroup_parent)

    def _end_started(self, cell):
        """Children that nobody gets to know of: the start was interrupted
        after all."""
        for answer in cell:
            if type(answer) is tuple:
                try:
                    _libxl.libxl_childproc_kill(self, answer[0], 9, 0)
                except XlchildError:
                    pass
                try:
                    self._detach(answer[0])
                except XlchildError:
                    pass

    def spawn_many(self, commands, *, event=True, **options):
        """Start many children in one go; a list of Process and SpawnError.

        Entries are argument lists, or pairs of one and a dict of options of
        their own. With set_starters() they start in parallel.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     ctx.set_starters(2)
        ...     commands = [["sh", "-c", "exit %d" % n] for n in range(5)]
        ...     started = ctx.spawn_many(commands, event=False)
        ...     print([child.wait().exitcode for child in started])
        [0, 1, 2, 3, 4]
        """
        common = spec_options(**options) if options else SEARCH_OPTIONS
        kind = _BY_EVENT if event else _HOLD
        children = self._children
        entries = []
        processes = []
        for command in commands:
            own = common
            if isinstance(command, tuple) and len(command) == 2 \
                    and isinstance(command[1], dict):
                command, own = command
                own = spec_options(**dict(options, **own))
            process = Process(self, command)
            process._account = account_cell(own)
            processes.append(process)
            token = 0
            if event:
                token = process._token = _TOKEN | next(self._tokens)
                children[token] = process
            entries.append((command, own, kind, token))
        cell = []
        try:
            self._spawn_many(entries, cell)
            answers = []
            for process, answer, (_, options, _, _) in zip(
                    processes, cell[0], entries):
                if type(answer) is tuple:
                    process.id, process.pid = answer
                    process._held = not event
                    process._reported = event
                    process._wide = has_group(options)
                    answers.append(process)
                else:
                    children.pop(process._token, None)
                    answers.append(answer)
            return answers
        except BaseException:
            for process in processes:
                process._held = process._reported = False
                children.pop(process._token, None)
            for answers in cell:
                self._end_started(answers)
            raise

    def set_starters(self, count):
        """Use count threads (0 to 64) for spawn_many."""
        _libxl.libxl_childproc_set_starters(self, count)

    def adopt(self, pid=-1, *, start_time=0, pidfd=-1, event=False):
        """Watch a process that somebody else started; return its Process.

        Named by pidfd, or by pid and start_time (see start_time()). If a
        signal handler raises meanwhile, ask again: it is the same Process.

        >>> import os, xlchild
        >>> pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        >>> with xlchild.Context() as ctx:
        ...     child = ctx.adopt(pid, start_time=xlchild.start_time(pid))
        ...     print(child.kill(), child.wait())
        True signal SIGKILL
        """
        # An adoption cannot be taken back: one that was interrupted is kept
        # for whoever asks again.
        named = pid, start_time, bool(event)
        if self._adopted:
            process = self._adopted.pop(named + _behind(pidfd), None)
            if process is not None:
                return process
        process = Process(self, None)
        token = 0
        cell = []  # has the answer, whatever a signal handler raises
        try:
            if event:
                token = process._token = _TOKEN | next(self._tokens)
                self._children[token] = process
            self._adopt(pid, start_time, pidfd,
                        _BY_EVENT if event else _HOLD, token, cell)
            return self._adopted_as(process, cell[0], pid, pidfd, event)
        except BaseException:
            if cell:
                self._adopted[named + _behind(pidfd)] = self._adopted_as(
                    process, cell[0], pid, pidfd, event)
            else:
                self._children.pop(token, None)
            raise

    @staticmethod
    def _adopted_as(process, identity, pid, pidfd, event):
        process.id = identity
        process.pid = pid if pidfd < 0 else None
        process._held = not event
        process._reported = bool(event)
        return process

    def kill(self, process, signal=9, *, scope=0):
        """Send a signal to a Process, or to the child with that pid.

        False if it has ended already. A pid that is no child of this
        context raises NotFoundError.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     child = ctx.spawn(["sleep", "1000"])
        ...     print(ctx.kill(child.pid), child.wait(), ctx.kill(child))
        True signal SIGKILL False
        """
        if isinstance(process, Process):
            return process.kill(signal, scope=scope)
        identity = _libxl.libxl_childproc_lookup(self, process)
        _libxl.libxl_childproc_kill(self, identity, int(signal), int(scope))
        return True

    @property
    def child_count(self):
        """How many children have not been reported yet.

        An end that waits as an event for events() has been reported.
        """
        return _libxl.libxl_childproc_count(self)

    # ---- events -------------------------------------------------------

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
        mask = _ALL_EVENTS
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
            if user & _TOKEN:
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
            mask = _ALL_EVENTS if types is None else 0
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
        token = _TOKEN | next(self._tokens)
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

    def run(self, args, *, stdin=None, input=None, stdout=None, stderr=None,
            capture_output=False, timeout=None, check=False, shell=False,
            text=None, encoding=None, errors=None, universal_newlines=None,
            capture_limit=0, on_output=None, linger_eof=True, kill=None,
            family=None, **options):
        """Run a command to completion; return a CompletedProcess.

        The keywords of subprocess.run; besides: capture_limit (bytes kept a
        stream, 0: all), on_output(stream, data) gets the output piecemeal
        (b"" is its end), linger_eof=False does not wait for a grandchild
        that holds the pipe, kill is the KillPolicy for timeouts (SIGKILL).
        stdout and stderr may be a path too. family is a Family of this
        Context, or a policy's name ("always", …; see family()) for one that
        is made for this command alone and gone when it returns.
        With account=True the result has an Account as ``account``, and so has
        an exception below but the last.

        Raises subprocess.TimeoutExpired, CalledProcessError (check),
        SpawnError.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     ctx.run(["tr", "a-z", "A-Z"], input="hello", text=True,
        ...             capture_output=True).stdout
        'HELLO'
        """
        if isinstance(family, str):
            return self._run_with_family(
                family, args, stdin=stdin, input=input, stdout=stdout,
                stderr=stderr, capture_output=capture_output, timeout=timeout,
                check=check, shell=shell, text=text, encoding=encoding,
                errors=errors, universal_newlines=universal_newlines,
                capture_limit=capture_limit, on_output=on_output,
                linger_eof=linger_eof, kill=kill, **options)
        if family is not None:
            options["family"] = family
        from ._completed import CompletedProcess, judged  # slow to import
        decoded = Decoded(text, encoding, errors, universal_newlines)
        args = forwarded(args, shell)
        request = self._request(args, stdin, decoded.encode(input), stdout,
                                stderr, capture_output, timeout,
                                capture_limit, on_output, linger_eof, kill,
                                options)
        sleep = sleeper()
        accounts = account_cell(request[1])
        if accounts is not None:
            from ._account import account_of
        outcome = self._run(*request) if sleep is None \
            else _run_softly(request, sleep, accounts)
        done = decoded.decode(CompletedProcess._of(args, outcome))
        if accounts is not None:
            done.account = account_of(self if sleep is None else None,
                                      outcome[1][0], accounts)
        return judged(done, outcome, timeout, check, request)

    def _run_with_family(self, when, args, **options):
        """run() with a Family of its own."""
        from ._family import for_one_run  # few need it
        with for_one_run(self, when) as family:
            return self.run(args, family=family, **options)

    def start(self, args, *, stdin=None, input=None, stdout=None,
              stderr=None, capture_output=False, timeout=None,
              capture_limit=0, on_output=None, linger_eof=True, kill=None,
              **options):
        """As run(), but do not wait: an OPERATION_COMPLETE event comes.

        Returns the number that the event has as ``user``, and that abort()
        takes. The event's ``completed`` is the CompletedProcess, its ``rc``
        the code (0; ERROR_TIMEDOUT -9; ERROR_ABORTED -22).

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     number = ctx.start(["echo", "x"], capture_output=True)
        ...     event = ctx.wait_event()
        ...     print(event.user == number, event.completed.stdout)
        True b'x\\n'
        """
        cell = []
        try:
            request = self._request(
                args, stdin, input, stdout, stderr, capture_output, timeout,
                capture_limit, on_output, linger_eof, kill, options)
            if self._accounts is None:
                self._accounts = {} if request[1]["flags"] & _ACCOUNT else None
            self._exec(*request, False, cell)
            self._children[("operation", cell[0])] = args
            return cell[0]
        except BaseException:
            for number in cell:
                self.abort(number)
            raise

    def abort(self, number):
        """End an operation early; False if it is finished.

        >>> import xlchild
        >>> with xlchild.Context() as ctx:
        ...     number = ctx.start(["sleep", "1000"])
        ...     print(ctx.abort(number), ctx.wait_event().completed.aborted)
        True True
        """
        return super()._abort(number)

    def _request(self, args, stdin, input, stdout, stderr, capture_output,
                 timeout, limit, on_output, linger_eof, kill, options):
        if input is not None:
            if stdin is not None:
                raise ValueError("stdin and input may not both be used")
            if isinstance(input, str):
                raise TypeError("input must be bytes, not str; or say "
                                "text=True")
            source = (_libxl.LIBXL_STREAM_BUFFER, octets(input))
        else:
            source = stream_pair(stdin, 0, limit, None)
        if capture_output:
            if stdout is not None or stderr is not None:
                raise ValueError("stdout and stderr may not be used with "
                                 "capture_output")
            stdout = stderr = PIPE
        ms = milliseconds(timeout)
        options = spec_options(kill=kill or (0, 0, 0), **options)
        return (args, options, source,
                stream_pair(stdout, 1, limit, on_output),
                stream_pair(stderr, 2, limit, on_output),
                1 if ms == 0 else ms, int(linger_eof), on_output)


def _run_softly(request, sleep, accounts):
    """Ctx._run where other greenlets have to go on meanwhile."""
    if "family" in request[1]:
        raise ValueError("family: run() cannot have one where time.sleep has "
                         "been replaced; spawn() can")
    with Context() as context:
        number = context._exec(*request)

        def look():
            for kind, user, payload in context._events(1, _ALL_EVENTS, 0):
                if kind == _COMPLETE and user == number:
                    if accounts is not None:
                        context._account(payload[1][0], accounts)
                    return payload
            return None

        try:
            return pause(look, sleep, None)
        except BaseException:
            context.abort(number)
            pause(look, sleep, None)
            raise


def _behind(pidfd):
    """What tells the process of one pidfd from that of another."""
    if pidfd < 0:
        return ()
    try:
        with open("/proc/self/fdinfo/%d" % pidfd) as file:
            pid = [line for line in file if line.startswith("Pid:")]
    except OSError:
        pid = None
    return (pidfd, os.fstat(pidfd).st_ino) + tuple(pid or ())


class Decoded:
    """The text of a run, if it is text."""

    def __init__(self, text, encoding, errors, universal_newlines):
        self._encoding = None
        if text or universal_newlines or encoding or errors:
            self._encoding = encoding or "utf-8"
            self._errors = errors or "strict"

    def encode(self, given):
        """An input as bytes."""
        if self._encoding is not None and isinstance(given, str):
            return given.encode(self._encoding, self._errors)
        return given

    def decode(self, done):
        """The CompletedProcess, with its output as it is wanted."""
        if self._encoding is not None:
            for name in ("stdout", "stderr"):
                data = getattr(done, name)
                if data is not None:
                    setattr(done, name, translated(data, self._encoding,
                                                   self._errors))
        return done


def translated(data, encoding, errors):
    """Bytes as text with newlines alone, as subprocess has it."""
    return data.decode(encoding, errors).replace("\r\n", "\n") \
        .replace("\r", "\n")


def forwarded(args, shell):
    """What is executed: args of run(), by a shell or not."""
    if shell:
        return ["/bin/sh", "-c", args] if isinstance(args, str) \
            else ["/bin/sh", "-c"] + list(args)
    if isinstance(args, (str, bytes, os.PathLike)):
        return [args]
    return args


class _OnExit:
    """Brings the Process to an on_exit callback."""

    __slots__ = ("callback", "process")

    def __init__(self, callback, process):
        if not callable(callback):
            raise TypeError("on_exit must be callable")
        self.callback = callback
        self.process = process

    def __call__(self, result):
        process = self.process
        process.id, process.pid = result[0], result[1]
        process._status = status = Status(result)
        process._collect()
        self.callback(process, status)


_default = None
_default_lock = allocate_lock()


def _usable(context):
    """Not closed, not the parent's, and nobody has closed its descriptors."""
    return (not context.closed and not context.forked
            and _libxl.libxl_ctx_disaster_latched(context) != _FDS_CLOSED)


def default_context():
    """The process's own Context, made when it is first needed.

    It is made anew in a forked child, and after the program has closed every
    file descriptor. Used by run() and Popen. It stays open until the very end,
    after every atexit function and __del__; what lives then is treated by its
    on_free policy.

    >>> import xlchild
    >>> xlchild.default_context() is xlchild.default_context()
    True
    """
    global _default, _default_lock
    current = _default
    if current is not None and _usable(current):
        return current
    if current is not None and current.forked:
        _default_lock = allocate_lock()  # its owner may be gone
    with _default_lock:
        if _default is not None and _default.forked:
            _libxl.postfork_child_noexec()
            _inherited.append(_default)
            _default = None
        if _default is None or not _usable(_default):
            _default = Context()
            _default._keep_to_the_end()
        return _default


_inherited = []  # contexts of the parent: left alone
