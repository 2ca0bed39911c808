"""The Context: the treaty, and starting.

Derives from the extension's Ctx (bindings/python/ctx_type.c), which owns the
libxl_ctx and the closures; its events are in _context_events.py, what it runs
in _context_run.py. What a start is told is put in order by _spec.py; what comes
back is made by _events.py and _treaty.py.
"""
import itertools
import os
from _thread import allocate_lock

from . import _libxl
from ._context_events import ALL_EVENTS, TOKEN, Events
from ._context_run import Operations
from ._cooperative import pause
from ._errors import XlchildError
from ._process import Process
from ._spec import SEARCH_OPTIONS, account_cell, has_group, spec_options
from ._status import Status

__all__ = ["Context", "default_context"]

_LEVELS = {0: 10, 1: 20, 2: 30, 3: 40, 4: 50}  # logging.DEBUG ... CRITICAL
_WARNING = _LEVELS[2]

_COMPLETE = _libxl.LIBXL_EVENT_TYPE_OPERATION_COMPLETE
_HOLD = _libxl.LIBXL_REPORT_HOLD
_BY_EVENT = _libxl.LIBXL_REPORT_EVENT
_BY_CALLBACK = _libxl.LIBXL_REPORT_CALLBACK
_FDS_CLOSED = -136
_NOBODY = _libxl.libxl_sigchld_owner_none  # SigchldOwner.NONE


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


class Context(Events, Operations, _libxl.Ctx):
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
                token = process._token = TOKEN | next(self._tokens)
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
                token = process._token = TOKEN | next(self._tokens)
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
                token = process._token = TOKEN | next(self._tokens)
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

    def _run_softly(self, request, sleep, accounts):
        """Ctx._run where other greenlets have to go on meanwhile."""
        if "family" in request[1]:
            raise ValueError("family: run() cannot have one where time.sleep has "
                             "been replaced; spawn() can")
        with Context() as context:
            number = context._exec(*request)

            def look():
                for kind, user, payload in context._events(1, ALL_EVENTS, 0):
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
