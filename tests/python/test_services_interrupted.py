"""Exceptions of signal handlers in xlchild.services, at any moment.

Beside another thread, which may take the signal: Python runs the handler in the
main thread all the same. raising.py is such a handler, whose exception comes
before a chosen instruction of the main thread's; what a thread of ours does
meanwhile goes on, as it would.
"""
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import raising
from conftest import CHILD, fds, soon
from raising import Raised, raising_at

import xlchild.services
from xlchild.services import Backoff, Services, _undisturbed

PATIENCE = 20
FILES = str(Path(xlchild.services.__file__).parent)


@pytest.fixture
def beside():
    """Another thread lives."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield thread
    over.set()
    thread.join()


@pytest.fixture
def undisturbed():
    return _undisturbed.Undisturbed()


# ---- real signals ----------------------------------------------------------

ALARMS = """if True:
    import random, signal, sys, threading
    from xlchild.services import Backoff, Services
    folder, child, who = sys.argv[1:]

    class Interrupted(BaseException):
        pass

    def handler(*_):
        if armed:  # another thread may take it late
            armed.clear()
            raise Interrupted

    armed = []
    started, ended, raised, chance = [], [], 0, random.Random(10)
    signal.signal(signal.SIGALRM, handler)
    if who == "another":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    with Services(folder, on_close="stop") as services:
        services.add("job", [child, "exit", "4"], restart="always",
                     backoff=Backoff(first=0, restarts=10 ** 6))
        services.start("job")
        while len(ended) < 60:
            events = []
            try:
                armed.append(True)
                # now and then long enough for a turn, however slow
                signal.setitimer(signal.ITIMER_REAL,
                                 0.0007 * 2 ** chance.randrange(8))
                events = services.poll(1)
                armed.clear()
            except Interrupted:
                raised += 1
            started += [e.run for e in events if e.kind == "started"]
            ended += [e.run for e in events if e.kind == "ended"]
            assert {str(e.end) for e in events if e.end} <= {"exit 4"}
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert raised > 0
    assert len(set(ended)) == len(ended)
    assert started[:len(ended)] == ended
"""


def alone(program, *arguments):
    """It says nothing, and ends well: in a process of its own, whose threads
    are known."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program,
                           *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("who", ["main", "another"])
def test_b10_a_handler_that_raises_loses_no_end(tmp_path, who):
    """B10 Each run that was started has one end, whichever thread took the
    signal."""
    alone(ALARMS, tmp_path / "state", CHILD, who)


INHERITED = """if True:
    import os, sys, threading
    from xlchild.services import Services
    folder, = sys.argv[1:]
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    with Services(folder, on_close="stop") as services:
        for name in "first", "second":
            services.add(name, ["sleep", "1000"])
            services.start(name)
            assert services.wait_ready(name, 20)
            pid = services.status(name).pid
            assert os.getpriority(os.PRIO_PROCESS, pid) == os.nice(0)
            os.nice(1)
"""


def test_c16_a_service_is_as_nice_as_the_main_thread_is_now(tmp_path):
    """C16 And not as a thread was that has been there for long."""
    alone(INHERITED, tmp_path / "state")


# ---- at every instruction --------------------------------------------------

class Told:
    """What the events said, and what was really run."""

    def __init__(self, services, runs, by):
        self.services = services
        self.runs = runs
        self.by = by
        self.events = []

    def until_quiet(self):
        """Nothing is to come any more."""
        until = time.monotonic() + PATIENCE
        while self.services.status("job").state not in ("stopped", "failed") \
                or not self.events or self.events[-1].kind != "given-up":
            assert time.monotonic() < until, self.events
            if self.services.status("job").state == "stopped":
                break  # it was never started
            self.events += self.services.poll(1)

    def judge(self):
        """All that happened was told once, in its order; but that event once
        more at which run_forever() was left."""
        self.events += self.services.poll()
        again = [at for at in range(1, len(self.events))
                 if self.events[at] is self.events[at - 1]]
        assert len(again) <= (self.by is by_run_forever)
        for at in again:
            del self.events[at]
        kinds = [event.kind for event in self.events]
        assert kinds in ([], ["started", "ready", "ended", "restarting",
                              "started", "ready", "ended", "given-up"]), kinds
        told = [event.run for event in self.events if event.kind == "ended"]
        ran = self.runs.read_text().split() if self.runs.exists() else []
        assert [run.rpartition("/")[2] for run in ran] == told
        assert {str(event.end) for event in self.events if event.end} \
            <= {"exit 4"}
        if self.runs.exists():
            self.runs.unlink()
        self.events = []
        return bool(told)


def by_polls(services, told):
    services.start("job")
    while not told.events or told.events[-1].kind != "given-up":
        told.events += services.poll(PATIENCE)


def by_run_forever(services, told):
    def on_event(event):
        told.events.append(event)
        if event.kind == "given-up":
            services.quit()
    services.start("job")
    services.run_forever(on_event)


@pytest.mark.parametrize("by", [by_polls, by_run_forever])
def test_b10_b11_no_start_and_no_end_is_lost(beside, tmp_path, by):
    """B10 B11 B13 A start is made once or not at all, and a restart is made;
    each end is told once."""
    runs = tmp_path / "runs"
    with Services(tmp_path / "state") as services:
        services.add("job", ["sh", "-c", "echo $XLCHILD_SERVICE >>%s; exit 4"
                             % runs], backoff=Backoff(first=0, restarts=1))
        told = Told(services, runs, by)
        number = made = 0
        fired = True
        while fired:
            fired, _ = raising_at(number, lambda: by(services, told), FILES)
            told.until_quiet()
            made += told.judge()
            number += 13
        assert number > 1000 and made > 60


def test_b10_c13_requests_are_done_whole_or_not_at_all(beside, tmp_path):
    """B10 C13 A Services that is made, asked and closed: what it has is what
    it says, nothing lives when it is closed, its folder is free."""
    state = tmp_path / "state"
    made = None

    def work():
        nonlocal made
        made = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            made = Services(state, on_close="stop")
        made.add("web", ["sleep", "1000"])
        made.start("web")
        assert made.wait_ready("web", PATIENCE)
        made.restart("web")
        made.stop("web")
        made.start("web")
        made.remove("web")
        made.add("again", ["true"])
        made.close()

    def after(fired, _):
        if made is not None:
            try:
                names = made.names()
            except ValueError as error:
                assert str(error) == "the Services is closed"
                names = []
            pids = [made.status(name).pid for name in names]
            assert len(names) < 2
            made.close()
            for pid in filter(None, pids):
                assert not os.path.exists("/proc/%d" % pid)
        assert set(fds().items()) == before
        with Services(state) as next_life:
            assert next_life.left() == {}
            assert {event.kind for event in next_life.poll()} <= {"ended"}

    work()
    before = set(fds().items())
    assert raising.sweep(work, after, 71, FILES) > 1000


# ---- a piece of work -------------------------------------------------------

def threads():
    return len(os.listdir("/proc/self/task"))


def test_an_error_is_its_caller_s_or_the_next_one_s(beside, undisturbed):
    """B3 It is never swallowed."""
    living = threads()

    def wrong():
        raise KeyError("wrong")
    with pytest.raises(KeyError):
        undisturbed.do(wrong)
    undisturbed.do(int)
    go, begun = threading.Event(), threading.Event()

    def late():
        begun.set()
        go.wait()
        wrong()

    def handler(*_):
        begun.wait()
        raise Raised
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        killer = threading.Thread(target=lambda: begun.wait() and os.kill(
            os.getpid(), signal.SIGUSR1))
        killer.start()
        with pytest.raises(Raised):
            undisturbed.do(late)
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    go.set()
    with pytest.raises(KeyError):
        undisturbed.do(int)
    undisturbed.do(int)
    soon(lambda: threads() == living)


def test_what_a_handler_asks_for_is_done_in_between(beside, undisturbed):
    """And what it came into is done, too, once."""
    done = []

    def work():
        done.append("work")

    def asks(*_):
        undisturbed.do(done.append, "asked")
    number, fired = 0, True
    while fired:
        fired, count = False, 0

        def tracer(frame, event, arg):
            nonlocal count, fired
            if not frame.f_code.co_filename.startswith(FILES):
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                count += 1
                if count > number and not fired:
                    fired = True
                    sys.settrace(None)
                    asks()
            return tracer
        del done[:]
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            undisturbed.do(work)
        finally:
            sys.settrace(before)
        assert sorted(done) == ["asked", "work"] if fired else ["work"], number
        number += 1
    assert number > 50


def test_c25_where_no_thread_can_be_made_signals_are_blocked(beside,
                                                             undisturbed):
    """C25"""
    seen = []

    def work():
        seen.append((threading.get_ident(),
                     signal.SIGINT in signal.pthread_sigmask(
                         signal.SIG_BLOCK, [])))
    main = threading.get_ident()
    before = threading.stack_size(2 ** 46)
    try:
        undisturbed.do(work)
    finally:
        threading.stack_size(before)
    undisturbed.do(work)
    assert seen[0] == (main, True)
    assert seen[1][0] != main and not seen[1][1]


ALONE = """if True:
    import threading
    from xlchild.services._undisturbed import Undisturbed
    seen = []
    Undisturbed().do(lambda: seen.append(threading.get_ident()))
    assert seen == [threading.get_ident()]
"""


def test_no_thread_is_made_where_there_is_one():
    alone(ALONE)
