"""A turn: what happened since the last one, and what is to be done about it.

Called by _services.py, whose poll() is the only way in. In this order:

    poll -> gates, ends, readiness, what is left of groups, time
         -> _machine.py -> its answers: launch, terminate, tell
         -> the state file -> events

An end is in the state file before it is told, and goes from there when the
events that told it have been taken and poll() is called again. Once it is
there, nobody needs the pidfd any more.

Whatever changes something here is called by Undisturbed.do (_undisturbed.py),
but for take().
"""
import os
import select
import time

from .._enums import KillScope
from .._errors import SpawnError, XlchildError
from . import _processes
from ._launch import TITLE, fate, launch
from ._ready import NOTIFY, watch
from ._words import End, Event

__all__ = ["Turns"]

_LOOK = 0.02  # so often for a file, or a line in a log, in seconds
_LOOK_AT_REST = 0.005
_LOOK_AT_GATE = 0.25  # its end may be in somebody else's fork, too
_PATIENCE_WITH_REST = 5.0


class Turns:
    """The parts of one Services, and what is done with them."""

    def __init__(self, undisturbed, context, journal, keeping):
        self._undisturbed = undisturbed
        self.context = context
        self.journal = journal
        self.keeping = keeping
        self.members = {}
        self._state = [], []  # ends that were taken; events that were not
        self._dirty = False
        self._life = "%x-%x" % (int(time.time() * 1e6), os.getpid())
        self._runs = 0
        self._waits = select.epoll()
        self.watch_fd(context.fileno())

    # ---- what is polled ----

    def watch_fd(self, fd):
        """Wake up when it is readable."""
        self._waits.register(fd, select.EPOLLIN)

    def unwatch_fd(self, fd):
        """Before it is closed."""
        try:
            self._waits.unregister(fd)
        except OSError:
            pass

    def fileno(self):
        """Readable when a turn has something to do."""
        return self._waits.fileno()

    def timeout(self):
        """Seconds until time alone makes work; None: never."""
        now = time.monotonic()
        dues = []
        for member in self.members.values():
            if member.rest is not None:
                dues.append(now + _LOOK_AT_REST)
            if member.gate is not None:
                dues.append(now + _LOOK_AT_GATE)
            if member.machine is not None:
                if member.pending:
                    return 0.0
                if member.machine.until is not None:
                    dues.append(member.machine.until)
                if member.watch is not None and member.watch.looks \
                        and member.machine.phase == "coming":
                    dues.append(now + _LOOK)
        return max(0.0, min(dues) - now) if dues else None

    def close(self):
        """What the services have need not be here."""
        for member in self.members.values():
            self._end_watch(member)
            self._end_gate(member)
        if not self._waits.closed:
            self._waits.close()

    # ---- feeding machines ----

    def tell(self, kind, member=None, **more):
        """An event to come."""
        if member is not None:
            more.setdefault("name", member.name)
            more.setdefault("run", member.record.run or "")
            more.setdefault("pid", member.record.pid or None)
        self._state[1].append(Event(kind, **more))

    def do(self, member, answers):
        """What a machine answers: told at once, or done in this turn."""
        for answer in answers:
            if isinstance(answer, str):
                member.pending.append(answer)
            else:
                self.tell(answer[0], member, delay=answer[1])
        member.record.wanted = member.machine.wanted
        self._dirty = True

    def changed(self):
        """The state file is behind."""
        self._dirty = True

    # ---- one turn ----

    def turn(self, timeout):
        """Wait for at most timeout seconds (None: for ever), and see to what
        there is."""
        due = self.timeout()
        if due is not None:
            timeout = due if timeout is None else min(timeout, due)
        ready = {fd for fd, _ in
                 self._waits.poll(-1 if timeout is None else timeout)}
        self._undisturbed.do(self._see_to, ready)

    def _see_to(self, ready):
        self._see(ready, time.monotonic())

    def has_events(self):
        """To be taken."""
        return bool(self._state[1])

    def has_handed(self):
        """Ends have been taken since settle_told()."""
        return bool(self._state[0])

    def settle_told(self):
        """Ends that were taken are told for good."""
        handed, queue = self._state
        told = {id(end) for end in handed}
        self.journal.untold = [end for end in self.journal.untold
                               if id(end) not in told]
        self._state = [], queue
        self._dirty = True
        self._settle()

    def take(self, into):
        """All events, to the end of a list; what they tell counts as told from
        settle_told() on. Where an exception comes out of it, put_back(into)
        makes it right."""
        handed, queue = self._state
        ends = [event.end for event in queue if event.kind == "ended"]
        into.extend(queue)
        self._state = handed + ends, []

    def put_back(self, events):
        """They were not heard after all."""
        handed, queue = self._state
        again = {id(event) for event in events}
        ends = {id(event.end) for event in events}
        self._state = (
            [end for end in handed if id(end) not in ends],
            events + [event for event in queue if id(event) not in again])

    def ask(self, member, request):
        """request, a method of its machine, and what it answers to it."""
        self.do(member, request())
        self.now()

    def now(self):
        """Do what is pending, without a look at what happened."""
        self._act()
        self._settle()

    def _see(self, ready, now):
        self._see_keeper(ready)
        self.context.events(0)
        for member in list(self.members.values()):
            self._see_gate(member, ready, now)
            self._see_end(member, now)
            if member.machine is not None:
                self._see_readiness(member, now)
                self.do_if(member, member.machine.tick(now))
        self._act()
        self._settle()

    def do_if(self, member, answers):
        """As do(), where there is something."""
        if answers:
            self.do(member, answers)

    def watch_keeper(self):
        """From now on."""
        fd = self.keeping.fileno()
        if fd is not None:
            self.watch_fd(fd)

    def _see_keeper(self, ready):
        fd = self.keeping.fileno()
        if fd is not None and fd in ready:
            self.unwatch_fd(fd)
            self.keeping.revive()
            self.watch_keeper()

    # ---- the gate, and what comes after ----

    def _end_gate(self, member):
        if member.gate is not None:
            self.unwatch_fd(member.gate.fileno())
            member.gate.close()
            member.gate = None

    def _see_gate(self, member, ready, now):
        gate = member.gate
        if gate is None:
            return
        if gate.fileno() not in ready:
            # somebody's fork may have a copy of the other end
            title = _processes.title(member.record.pid)
            if title is None or title[0] == TITLE.encode():
                return
        self._end_gate(member)
        if fate(self.journal.folder, member.name, member.record.run) == "ran":
            self.do(member, member.machine.executed(now))

    def _end_watch(self, member):
        if member.watch is not None:
            if member.watch.fd is not None:
                self.unwatch_fd(member.watch.fd)
            member.watch.close()
            member.watch = None

    def begin_watch(self, member, made):
        """Of the run that is there, or about to be."""
        member.watch = made
        if made.fd is not None:
            self.watch_fd(made.fd)

    def _see_readiness(self, member, now):
        if member.machine.phase != "coming" or member.watch is None:
            return
        try:
            ready = member.watch.look()
        except OSError:
            return  # it is late then
        if ready:
            member.record.ready = True
            self._end_watch(member)
            self.do(member, member.machine.is_ready(now))

    # ---- ends ----

    def _see_end(self, member, now):
        if member.process is None:
            return
        status = member.process.poll()
        if status is None:
            return
        if member.rest is None:
            member.rest = now + _PATIENCE_WITH_REST
            member.next_look = 0.0
        if now < member.rest:
            if now < member.next_look:
                return
            member.next_look = now + _LOOK_AT_REST
            if self._kill_rest(member):
                return
        self._ended(member, status, None, now)

    def _kill_rest(self, member):
        """Whether somebody is left of what an ended one started. With the
        pidfd as proof all of its group are killed; else, with the pid a
        stranger's perhaps, one by one who has the run's mark."""
        group = member.record.pid
        if member.group_known:
            try:
                if not member.process.kill(scope=KillScope.GROUP):
                    return False
            except XlchildError:
                member.group_known = False
        mine, others, leaving = _processes.in_group(group, _processes.mark(
            self.journal.folder.identity, member.record.run))
        for pid, since in mine:
            _processes.kill(pid, since)
        return bool(mine or leaving or others and member.group_known)

    def _ended(self, member, status, why, now):
        """It is over. Everything that can fail comes before."""
        record, machine = member.record, member.machine
        what = fate(self.journal.folder, member.name, record.run)
        if member.gate is not None and what == "ran":
            self.do(member, machine.executed(now))  # and ended since the look
        self._end_gate(member)
        self._end_watch(member)
        cause = record.cause if machine is None else machine.cause
        process, member.process = member.process, None
        member.rest = None
        if isinstance(what, int):
            member.error = SpawnError(
                "exec", what, os.fsdecode(member.service.argv[0])
                if member.service else None)
            self.tell("not-started", member, error=member.error)
            self.keeping.drop(record.run)
            self.keeping.drop(record.run + NOTIFY)
            record.clear()
            self.do_if(member, machine.not_launched(now) if machine else [])
        else:
            end = End(member.name, record.run, record.pid, status, why, cause)
            self.journal.untold.append(end)
            self.tell("ended", member, end=end)
            record.clear()
            record.last = end
            if machine is not None:
                self.do_if(member, machine.ended(now, not status.success))
        self._dirty = True
        if machine is not None:
            record.wanted = machine.wanted
        elif cause == "told":
            record.wanted = False
        if process is not None and process._held:
            process.detach()

    def lost(self, member, status, why):
        """It ended while nobody lived, and nobody tells how."""
        self._ended(member, status, why, time.monotonic())

    # ---- doing what machines answer ----

    def _act(self):
        while True:
            todo = [(member, member.pending)
                    for member in self.members.values() if member.pending]
            if not todo:
                return
            for member, pending in todo:
                member.pending = []
                for answer in pending:
                    if answer == "launch":
                        self._launch(member)
                    else:
                        self.terminate(member)

    def terminate(self, member, signo=None, grace=None):
        """By its policy; its group, where the kernel reaches that."""
        if member.process is None:
            return
        if signo is None:
            signo = member.service.stop_signal
            grace = member.service.stop_grace
        member.record.cause = member.machine.cause if member.machine \
            else "told"
        self._dirty = True
        for scope in KillScope.GROUP, KillScope.PROCESS:
            try:
                member.process.terminate(signo, grace=grace, scope=scope)
                return
            except XlchildError:
                pass

    def _launch(self, member):
        self._runs += 1
        run = "%s~%s-%d" % (member.name, self._life, self._runs)
        now = time.monotonic()
        made = None
        try:
            made = watch(member.service, self.journal.folder, 0, True)
            launched = launch(self.context, self.journal.folder,
                              member.service, run, made.environment)
        except (XlchildError, OSError) as error:
            if made is not None:
                made.close()
            self._not_launched(member, error, now)
            return
        try:
            self._record(member, run, launched, made)
            member.error = None
            member.machine.launched()
            launched.gate.open()
        except BaseException as error:
            self._take_back(member, launched)
            self._not_launched(member, error, now)
            if not isinstance(error, (XlchildError, OSError)):
                raise

    def _record(self, member, run, launched, made):
        """It can be found again, whatever happens."""
        record = member.record
        pid = launched.process.pid
        record.run, record.pid = run, pid
        record.start_time = launched.start_time
        record.since = time.time()
        record.ready = False
        record.offset = launched.offset
        record.cause = "itself"
        record.wanted = True
        member.process = launched.process
        member.group_known = True
        member.gate = launched.gate
        self.watch_fd(launched.gate.fileno())
        made.begin(launched.offset)
        self.begin_watch(member, made)
        self.keeping.hold(run, pid, launched.start_time)
        if made.fd is not None:
            self.keeping.hold(run + NOTIFY, pid, launched.start_time, made.fd)
        self._save()

    def _take_back(self, member, launched):
        """Its program never runs."""
        run = member.record.run
        self._end_gate(member)
        self._end_watch(member)
        launched.gate.close()
        launched.process.kill()
        launched.process.wait(_PATIENCE_WITH_REST)
        if launched.process._held:
            launched.process.detach()
        member.process = None
        member.record.clear()
        self.keeping.drop(run)
        self.keeping.drop(run + NOTIFY)

    def _not_launched(self, member, error, now):
        member.error = error
        self.tell("not-started", member, error=error)
        self.do_if(member, member.machine.not_launched(now))

    # ---- the state file ----

    def _save(self):
        self.journal.save()
        self._dirty = False
        # what has ended is in the file by now, told or not
        self.keeping.keep_only({member.run for member
                                in self.journal.records.values()})

    def _settle(self):
        """Ends are in the file before they are told."""
        if self._dirty:
            try:
                self._save()
            except OSError as error:
                self._dirty = False  # tried again with the next change
                self.tell("state-not-kept", error=error)
        for name in [name for name, member in self.members.items()
                     if member.leaving and not member.lives]:
            del self.members[name]
            del self.journal.records[name]
            for kind in (".ticket", ".notify"):
                self.journal.folder.unlink(name + kind)
            self._dirty = True
        if self._dirty:
            self._settle()
