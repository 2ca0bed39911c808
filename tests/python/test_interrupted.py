"""An exception of a signal handler, at every point of every blocking call.

A handler of Python's runs between two instructions, and may raise. Here that
happens at each of them in turn (raising.py), until the call is over before it
gets there: nothing is lost at any of them (B10, B11).
"""
import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import CHILD, children, fds, soon
from raising import (
    FILES, Raised, RaisedTimeout, RaisedValue, finalizes, raising_at, sweep,
)

import xlchild
from xlchild import aio
from xlchild.pool import Pool

LONG = [CHILD, "pause"]
SHORT = [CHILD, "exit", "3"]


# ---- what is asked again has its answer -------------------------------------

@pytest.mark.parametrize("ended", [True, False])
def test_B10_wait_of_a_process(ctx, ended):
    statuses = []

    def work():
        started.append(ctx.spawn(SHORT))
        if ended:
            os.waitid(os.P_PID, started[-1].pid, os.WEXITED | os.WNOWAIT)
        return None

    started = []
    number = 0
    while True:
        work()
        child = started.pop()
        fired, _ = raising_at(number, lambda: child.wait(60))
        statuses.append(child.wait(60).exitcode)
        assert child.poll().exitcode == 3
        number += 1
        if not fired:
            break
    assert number > 5 and set(statuses) == {3}
    del child
    assert ctx.child_count == 0


@pytest.mark.parametrize("ask", ["wait", "poll", "communicate"])
def test_B10_popen(clean, ask):
    number = 0
    while True:
        p = xlchild.Popen(SHORT)
        fired, _ = raising_at(number, lambda: getattr(p, ask)())
        assert p.wait() == 3 and p.poll() == 3
        number += 1
        if not fired:
            break
    del p
    assert number > 5
    assert clean() == set()


def test_B10_events(ctx):
    expected = []

    def work():
        expected.append(ctx.spawn(SHORT, event=True, user=len(expected)))
        return None

    number = 0
    while True:
        work()
        child = expected[-1]
        got = []
        fired, result = raising_at(number, lambda: ctx.events(60))
        got += result or []
        if not got:
            got += ctx.events(20)
        assert [(e.process, e.status.exitcode, e.user) for e in got] \
            == [(child, 3, number)]
        assert ctx.events() == []
        number += 1
        if not fired:
            break
    assert number > 20
    assert ctx.child_count == 0 and not ctx._children


def test_B10_many_events_at_once(ctx):
    def round_of(number):
        children = [ctx.spawn(SHORT, event=True) for _ in range(4)]
        got = []
        fired, result = raising_at(number, lambda: ctx.events(60))
        got += result or []
        while len(got) < 4:
            more = ctx.events(60)
            assert more
            got += more
        assert sorted(e.process.pid for e in got) \
            == sorted(c.pid for c in children)
        return fired

    number = 0
    while round_of(number):
        number += 3
    assert number > 30


# ---- a start hands its child over, or ends it -------------------------------

@pytest.mark.parametrize("options", [{}, {"event": True},
                                     {"on_exit": lambda *_: None}],
                         ids=["hold", "event", "on_exit"])
def test_B11_spawn(ctx, clean, options):
    def judge(fired, child):
        if child is not None:
            child.kill()
            if not options:
                child.wait()
        while ctx.child_count:
            ctx.events(0.01)
        assert fired == (child is None)

    sweep(lambda: ctx.spawn(LONG, **options), judge)
    clean()
    ctx.events()
    assert not ctx._children


def test_B11_spawn_many(ctx, clean):
    def judge(fired, started):
        for child in started or ():
            child.kill()
            child.wait()

    sweep(lambda: ctx.spawn_many([LONG] * 3, event=False), judge)
    clean()


def test_B11_start_of_an_operation(ctx, clean):
    def judge(fired, number):
        if number is not None:
            ctx.abort(number)

    sweep(lambda: ctx.start(LONG, capture_output=True), judge)
    deadline = time.monotonic() + 30
    while children() and time.monotonic() < deadline:
        if not ctx.events(0.05):
            break
    clean()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("options", [{}, {"stdin": -1, "stdout": -1}],
                         ids=["plain", "pipes"])
def test_B11_popen(clean, options):
    def judge(fired, p):
        if p is not None:
            p.kill()
            p.communicate()

    sweep(lambda: xlchild.Popen(LONG, **options), judge,
          files=FILES[:1] if options else FILES)
    clean()


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("work, files", [
    (lambda: xlchild.run(SHORT), FILES),
    (lambda: xlchild.run(SHORT, input=b"x", capture_output=True), FILES[:1]),
    (lambda: xlchild.call(SHORT), FILES),
    (lambda: xlchild.check_output([CHILD, "exit", "0"]), FILES[:1]),
    (lambda: xlchild.default_context().run(SHORT, capture_output=True),
     FILES),
], ids=["run", "run-pipes", "call", "check_output", "Context.run"])
def test_B11_commands_run_to_completion(clean, work, files):
    sweep(work, lambda fired, done: None, step=2, files=files)
    clean()


@pytest.mark.own_process  # files of its spool wait for the collector
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("kind", [Raised, RaisedTimeout, RaisedValue])
@pytest.mark.parametrize("options", [{}, {"on_output": lambda *_: None}],
                         ids=["files", "pipes"])
def test_B10_pool(clean, options, kind):
    def work():
        with Pool(2, **options) as pool:
            return [r.returncode for r in pool.map([SHORT, SHORT, SHORT])]

    def judge(fired, codes):
        assert fired or codes == [3, 3, 3]

    sweep(work, judge, step=29, kind=kind)
    clean()


@pytest.mark.own_process  # what was opened at that moment may stay open
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("options", [{}, {"on_output": lambda *_: None}],
                         ids=["files", "pipes"])
def test_B3_alarms_at_random_in_a_pool(options):
    """The real thing again, also while a batch is started: it comes out of
    that call, and is no command's error."""
    armed = False

    def handler(_, frame):
        nonlocal armed
        if armed and not finalizes(frame):
            armed = False
            raise RaisedTimeout

    def work():
        with Pool(4, **options) as pool:
            return [(r.returncode, r.error) for r in pool.map([SHORT] * 4)]

    begun = time.monotonic()
    work()
    long = time.monotonic() - begun
    raised = 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        while raised < 100:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL,
                                 0.0001 + random.random() * long)
                answers = work()
                silent, armed = armed, False
            except RaisedTimeout:
                raised += 1
                continue
            assert silent and answers == [(3, None)] * 4
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_pool_that_could_not_be_closed_leaves_no_files(clean):
    pool = Pool(2)
    assert [r.returncode for r in pool.map([SHORT] * 4)] == [3] * 4
    del pool  # a handler has raised before close() could begin
    assert clean() == set()


def test_C26_files_of_a_pool_are_not_a_forked_childs():
    """It has closed everything, and the numbers are its own files' now."""
    pool = Pool(2)
    with pool:
        assert [r.returncode for r in pool.map([SHORT] * 4)] == [3] * 4
        pid = os.fork()
        if pid == 0:
            os.closerange(3, 1000)
            own = [os.dup(0) for _ in range(100)]
            del pool._runner._spool
            gc.collect()
            os._exit(0 if all(os.path.exists("/proc/self/fd/%d" % fd)
                              for fd in own) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# ---- one answer for all ------------------------------------------------------

@pytest.mark.parametrize("kind", ["spawn", "Popen"])
def test_B9_any_number_of_threads_get_the_same(kind):
    start = getattr(xlchild, kind)
    wrong = []
    for turn in range(40):
        child = start(["sh", "-c", "sleep 0.01; exit 3"])

        def waits():
            if child.wait() != 3:
                wrong.append("wait")

        def waits_in_time():
            if child.wait(60) != 3:
                wrong.append("wait(60)")

        def polls():
            while child.poll() is None:
                pass
            if child.poll() != 3:
                wrong.append("poll")

        def times_out():
            while True:
                try:
                    if child.wait(0.001) != 3:
                        wrong.append("wait(0.001)")
                    return
                except (TimeoutError, subprocess.TimeoutExpired):
                    pass

        def noted(work):
            try:
                work()
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=noted, args=(work,)) for work in
                   (waits, waits_in_time, polls, times_out) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert child.wait() == 3 and child.returncode == 3
    assert wrong == []


@pytest.mark.parametrize("kind", ["spawn", "Popen"])
def test_B10_alarms_at_random(kind):
    """The real thing: a handler that raises, again and again."""
    start = getattr(xlchild, kind)
    armed = False

    def handler(*_):
        nonlocal armed
        if armed:
            armed = False
            raise Raised

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(300):
            child = start(SHORT)
            while True:
                signal.setitimer(signal.ITIMER_REAL,
                                 0.0001 + random.random() * 0.002)
                try:
                    armed = True
                    status = child.wait()
                    armed = False
                    break
                except Raised:
                    pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert status == 3
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_B11_a_start_that_waits_is_interrupted(tmp_path):
    """A program that cannot be opened yet: the handler ends the start."""
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)

    def handler(*_):
        raise Raised

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for work in (lambda: xlchild.default_context().run(["true"],
                                                           stdout=fifo),):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Raised):
                work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- Popen as subprocess's ---------------------------------------------------

def test_a_popen_inherited_by_fork_is_as_subprocess_has_it():
    def told(module):
        p = module.Popen(["sleep", "1000"])
        inner, outer = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = []
            for name in "poll", "terminate", "kill", "wait", "poll":
                try:
                    said.append(repr(getattr(p, name)()))
                except BaseException as error:
                    said.append(repr(error))
            os.write(outer, " ".join(said).encode())
            os._exit(0)
        os.close(outer)
        with open(inner) as file:
            words = file.read()
        os.waitpid(pid, 0)
        alive = p.poll() is None
        p.kill()
        return words, alive, p.wait()

    assert told(xlchild) == told(subprocess)


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")
def test_the_pid_of_a_dropped_popen_is_still_waited_for():
    for beside in False, True:
        for _ in range(20):
            reading, gate = os.pipe()
            pid = xlchild.Popen(["sh", "-c", "read x; exit 3"],
                                stdin=reading).pid
            os.close(reading)
            q = xlchild.Popen(LONG) if beside else None
            os.close(gate)
            if beside:
                q.kill()
                q.wait()
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                xlchild.default_context().events()
            assert os.waitpid(pid, 0)[1] >> 8 == 3


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")
@pytest.mark.parametrize("started", [1, 20])
def test_dropped_popens_leave_no_zombie_though_nobody_calls(started):
    """C21: as a program that starts and forgets does, the last one, too."""
    pids = [xlchild.Popen(SHORT).pid for _ in range(started)]

    def reaped():
        for pid in pids:
            try:
                os.waitid(os.P_PID, pid,
                          os.WEXITED | os.WNOHANG | os.WNOWAIT)
                return False
            except ChildProcessError:
                pass
        return True

    soon(reaped)


def test_somebody_else_waits_and_says_so(clean):
    """As asyncio's transport and tornado do."""
    context = xlchild.default_context()
    xlchild.run(SHORT)  # reaps what others have dropped
    before = context.child_count
    for _ in range(100):
        p = xlchild.Popen(SHORT)
        assert os.waitpid(p.pid, 0)[1] >> 8 == 3
        p.returncode = 3
        del p

    def counted():
        context.events()
        return context.child_count <= before

    soon(counted)
    assert clean() == set()


def test_a_number_is_its_own_until_it_is_asked_for():
    """Whoever waits for another child meanwhile."""
    held = [xlchild.Popen(SHORT) for _ in range(10)]
    for p in held:
        os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
    for _ in range(20):
        xlchild.run([CHILD, "exit", "0"])
        xlchild.default_context().events()
    for p in held:  # zombies still
        assert os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT
                         | os.WNOHANG).si_status == 3
    assert [p.wait() for p in held] == [3] * 10
