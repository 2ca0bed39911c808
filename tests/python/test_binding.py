"""B1 to B3: the promises about closures, the GIL and exceptions."""
import gc
import os
import signal
import sys
import threading
import time
import weakref

import pytest
from conftest import CHILD, TINY

import xlchild


class Closure:
    """A callable that can be watched."""

    def __init__(self, action=lambda *args: None):
        self.action = action
        self.calls = []

    def __call__(self, *args):
        self.calls.append(args)
        return self.action(*args)


def gone(reference):
    """True once the object behind a weak reference has been freed."""
    gc.collect()
    return reference() is None


# ---- B1: closures are released exactly once, after the last call -------------

def test_b1_hooks_live_while_registered_and_go_when_replaced():
    fork = Closure(os.fork)
    stranger = Closure()
    with xlchild.Context() as ctx:
        ctx.setmode(xlchild.SigchldOwner.LIBXL, fork_replacement=fork,
                    childproc_exited_callback=stranger)
        references = weakref.ref(fork), weakref.ref(stranger)
        del fork, stranger
        assert not gone(references[0]) and not gone(references[1])
        assert ctx.spawn([TINY]).wait().success
        assert len(references[0]().calls) == 1
        ctx.setmode(xlchild.SigchldOwner.NONE)
        assert gone(references[0]) and gone(references[1])


def test_b1_refused_setmode_keeps_the_old_closures_and_drops_the_new():
    old, new = Closure(os.fork), Closure(os.fork)
    with xlchild.Context(fork_replacement=old) as ctx:
        child = ctx.spawn([CHILD, "pause"])
        count = sys.getrefcount(new)
        with pytest.raises(xlchild.BusyError):
            ctx.setmode(xlchild.SigchldOwner.NONE, fork_replacement=new)
        assert sys.getrefcount(new) == count
        child.kill()
        child.wait()
        assert ctx.spawn([TINY]).wait().success
        assert len(old.calls) == 2 and not new.calls


def test_b1_on_exit_is_called_once_and_released():
    done = Closure()
    with xlchild.Context() as ctx:
        child = ctx.spawn([CHILD, "exit", "7"], on_exit=done)
        reference = weakref.ref(done)
        calls = done.calls
        del done
        while not calls:
            ctx.events(0.02)
        assert calls[0][0] is child and calls[0][1].exitcode == 7
        assert gone(reference)
        ctx.events(0)
        assert len(calls) == 1


@pytest.mark.parametrize("way", ["detach", "close", "failed start"])
def test_b1_on_exit_that_never_comes_is_released(way):
    done = Closure()
    reference = weakref.ref(done)
    ctx = xlchild.Context()
    if way == "failed start":
        with pytest.raises(xlchild.SpawnError):
            ctx.spawn(["/nonexistent"], on_exit=done)
    else:
        child = ctx.spawn([CHILD, "pause"], on_exit=done,
                          on_free=xlchild.FreePolicy.KILL)
        if way == "detach":
            child.kill()
            child.detach()
            while ctx.child_count:
                ctx.events(0.05)
        del child
    calls = done.calls
    del done
    if way == "close":
        assert not gone(reference)
        ctx.close()
    assert gone(reference)
    ctx.close()
    assert calls == []


def test_b1_a_cycle_through_the_context_is_collected():
    """The closure holds the context, the context the closure."""
    ctx = xlchild.Context()
    holder = [ctx]
    ctx.register_callbacks(lambda event: holder)
    reference = weakref.ref(ctx)
    del ctx
    with pytest.warns(ResourceWarning, match="unclosed Context"):
        del holder
        gc.collect()
    # (the warning held it while it was recorded)
    assert gone(reference)


def test_b1_event_hooks_are_released_on_close():
    hook, disaster = Closure(), Closure()
    with xlchild.Context() as ctx:
        ctx.register_callbacks(hook, disaster=disaster)
        ctx.spawn([CHILD, "exit", "4"], event=True)
        references = weakref.ref(hook), weakref.ref(disaster)
        calls = hook.calls
        del hook, disaster
        gc.collect()
        while not calls:
            ctx.events(0.02)
        assert calls[0][0].status.exitcode == 4
    assert gone(references[0]) and gone(references[1])


# ---- B2: the GIL ---------------------------------------------------------------

def test_b2_gil_released_in_wait_events_and_run(ctx):
    """Each blocks until a Python thread has written into a pipe."""
    def blocked(start):
        inner, outer = os.pipe()
        done = []

        def feed():
            os.write(outer, b"x")
            done.append(True)

        timer = threading.Thread(target=feed)
        try:
            start(inner, timer)
        finally:
            timer.join()
            os.close(inner)
            os.close(outer)
        assert done

    def wait(inner, timer):
        child = ctx.spawn([CHILD, "await", "0"], stdin=inner)
        timer.start()
        assert child.wait().success

    def events(inner, timer):
        ctx.spawn([CHILD, "await", "0"], stdin=inner, event=True)
        timer.start()
        assert ctx.events(None)[0].status.success

    def run(inner, timer):
        timer.start()
        assert ctx.run([CHILD, "await", "0"], stdin=inner).returncode == 0

    for start in wait, events, run:
        blocked(start)


def test_b2_gil_released_while_a_start_blocks(ctx):
    """With a fork_replacement that waits for another thread."""
    release = threading.Event()
    forking = threading.Event()

    def fork():
        forking.set()
        assert release.wait(30)
        return os.fork()

    ctx.setmode(xlchild.SigchldOwner.NONE, fork_replacement=fork)

    def let_go():
        assert forking.wait(30)
        release.set()

    thread = threading.Thread(target=let_go)
    thread.start()
    assert ctx.spawn([TINY]).wait().success
    thread.join()


def test_b2_other_threads_run_while_many_children_start(ctx):
    """Only at our calls: of itself this Python switches once an hour."""
    ran = []
    go = threading.Event()
    thread = threading.Thread(target=lambda: go.wait() and ran.append(True))
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        go.set()
        assert not ran
        for _ in range(2000):
            if ran:
                break
            assert ctx.spawn([TINY]).wait().success
    finally:
        sys.setswitchinterval(interval)
    assert ran
    thread.join()


def test_b2_two_threads_pump_one_context():
    wrong = []
    with xlchild.Context() as ctx:
        def work(first):
            for code in range(first, first + 60):
                status = ctx.spawn([CHILD, "exit", str(code % 256)]).wait()
                if status.exitcode != code % 256:
                    wrong.append(code)
        threads = [threading.Thread(target=work, args=(n * 50,))
                   for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_b2_callback_takes_the_gil_on_the_pumping_thread(ctx):
    where = []
    ctx.spawn([TINY], on_exit=lambda *_: where.append(threading.get_ident()))
    thread = threading.Thread(target=lambda: [ctx.events(0.02)
                                              for _ in range(1500)
                                              if not where])
    thread.start()
    ident = thread.ident
    thread.join()
    assert where == [ident]


class Alarm(Exception):
    """Raised by the signal handler."""


@pytest.mark.parametrize("way", ["wait", "events", "run", "popen"])
def test_b2_a_signal_handlers_exception_ends_a_wait_at_once(ctx, way):
    def handler(signo, frame):
        raise Alarm

    old = signal.signal(signal.SIGUSR1, handler)
    inner, outer = os.pipe()
    # the child says when it runs, then waits for ever
    argv = [CHILD, "ready", "3", "pause"]

    about_to_wait = threading.Event()

    def interrupt():
        os.read(inner, 1)
        about_to_wait.wait()
        # the waiting thread is the main one: the handler runs there
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    begin = time.monotonic()
    child = None
    try:
        with pytest.raises(Alarm):
            if way == "run":
                about_to_wait.set()
                ctx.run(argv, fds={3: outer})
            elif way == "popen":
                os.set_inheritable(outer, True)
                argv[2] = str(outer)
                child = xlchild.Popen(argv, pass_fds=[outer])
                about_to_wait.set()
                child.wait()
            else:
                child = ctx.spawn(argv, fds={3: outer},
                                  event=way == "events")
                about_to_wait.set()
                if way == "wait":
                    child.wait()
                else:
                    ctx.events(None)
        assert time.monotonic() - begin < 20
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, old)
        os.close(inner)
        os.close(outer)
        if child is not None:
            child.kill()
            if way == "events":
                ctx.events(None)
            else:
                child.wait()
    assert ctx.child_count == 0  # run() ended its child first


def test_b2_a_signal_does_not_shorten_a_wait(ctx):
    """A handler that returns: the wait goes on with the rest of the time."""
    seen = []
    old = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        child = ctx.spawn([CHILD, "pause"])
        stop = threading.Event()
        main = threading.main_thread().ident

        def poke():
            while not stop.wait(0.02):
                signal.pthread_kill(main, signal.SIGUSR1)

        thread = threading.Thread(target=poke)
        thread.start()
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            child.wait(0.3)
        assert time.monotonic() - begin >= 0.3
        stop.set()
        thread.join()
        child.kill()
        child.wait()
        assert seen
    finally:
        signal.signal(signal.SIGUSR1, old)


# ---- B3: exceptions in callbacks -----------------------------------------------

class Oops(Exception):
    """Raised by callbacks."""


def test_b3_on_exit_exception_comes_out_of_the_pumping_call(ctx):
    def bad(process, status):
        raise Oops(status.exitcode)

    ctx.spawn([CHILD, "exit", "9"], on_exit=bad)
    with pytest.raises(Oops) as caught:
        while True:
            ctx.events(10)
    assert caught.value.args == (9,)
    assert caught.traceback[-1].name == "bad"
    assert ctx.spawn([TINY]).wait().success  # the ctx is usable


def test_b3_events_taken_by_a_call_that_raises_are_not_lost(ctx):
    def bad(process, status):
        raise Oops

    wanted = {ctx.spawn([CHILD, "exit", str(n)], event=True).id: n
              for n in range(20)}
    ctx.spawn([TINY], on_exit=bad)
    got, raised = {}, 0
    while len(got) < 20 or not raised:
        try:
            for event in ctx.events(10):
                got[event.process.id] = event.status.exitcode
        except Oops:
            raised += 1
    assert raised == 1
    assert got == wanted


def test_b3_a_wait_that_raises_keeps_its_result_for_the_next(ctx):
    def bad(process, status):
        raise Oops

    # both end before anybody looks: one call finds both ends
    inner, outer = os.pipe()
    ctx.spawn([CHILD, "hold-fd", "3"], fds={3: inner}, on_exit=bad)
    child = ctx.spawn([CHILD, "hold-fd", "3", "exit", "5"], fds={3: inner})
    os.close(inner)
    os.close(outer)
    raised = 0
    for _ in range(2):
        try:
            status = child.wait()
            break
        except Oops:
            raised += 1
    assert status.exitcode == 5
    if not raised:
        with pytest.raises(Oops):
            while True:
                ctx.events(10)


def test_b3_fork_replacement_exception_is_raised_by_spawn(ctx):
    def bad():
        raise Oops

    ctx.setmode(xlchild.SigchldOwner.NONE, fork_replacement=bad)
    with pytest.raises(Oops):
        ctx.spawn([TINY])
    assert ctx.child_count == 0


def test_b3_fork_replacement_oserror_is_a_failed_fork(ctx):
    """C10: its -1 and errno are reported."""
    def bad():
        raise OSError(12, "no")

    ctx.setmode(xlchild.SigchldOwner.NONE, fork_replacement=bad)
    with pytest.raises(xlchild.SpawnError) as caught:
        ctx.spawn([TINY])
    assert (caught.value.stage, caught.value.errno) == ("fork", 12)


def test_b3_fork_replacement_that_raises_in_the_child_ends_it(ctx):
    pids = []

    def bad():
        pid = os.fork()
        if pid == 0:
            raise Oops  # must not come back as a second parent
        pids.append(pid)
        return pid

    me = os.getpid()
    ctx.setmode(xlchild.SigchldOwner.NONE, fork_replacement=bad)
    with pytest.raises(xlchild.SpawnError):
        ctx.spawn([TINY])
    assert os.getpid() == me and len(pids) == 1
    assert ctx.child_count == 0


def test_b3_stranger_callback_exception_is_raised():
    def bad(pid, status):
        raise Oops(pid)

    with xlchild.Context(xlchild.SigchldOwner.LIBXL,
                         childproc_exited_callback=bad) as ctx:
        keeper = ctx.spawn([CHILD, "pause"])
        pid = os.posix_spawn(TINY, [TINY], {})
        with pytest.raises(Oops) as caught:
            while True:
                ctx.events(10)
        assert caught.value.args == (pid,)
        keeper.kill()
        assert keeper.wait().signal == signal.SIGKILL


def test_b3_log_handler_exception_is_raised():
    import logging

    class Bad(logging.Handler):
        def emit(self, record):
            raise Oops(record.getMessage())

    logger = logging.getLogger("xlchild")
    handler = Bad()
    logger.addHandler(handler)
    try:
        with xlchild.Context() as ctx:
            # refused in this mode, with a word in the log
            with pytest.raises(Oops):
                ctx.childproc_exited(os.getpid(), 0)
            assert ctx.spawn([TINY]).wait().success
    finally:
        logger.removeHandler(handler)


def test_b3_a_second_exception_is_shown_not_swallowed(ctx, monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "unraisablehook",
                        lambda u: shown.append(u.exc_value))

    def bad(process, status):
        raise Oops(process.pid)

    inner, outer = os.pipe()
    pids = [ctx.spawn([CHILD, "hold-fd", "3"], fds={3: inner},
                      on_exit=bad).pid for _ in range(3)]
    os.close(inner)
    os.close(outer)
    raised = []
    while len(raised) + len(shown) < 3:
        try:
            ctx.events(10)
        except Oops as error:
            raised.append(error)
    assert raised
    assert sorted(e.args[0] for e in raised + shown) == sorted(pids)


def test_b3_stream_callback_exception(ctx):
    def bad(stream, data):
        if data:
            raise Oops(stream)

    with pytest.raises(Oops):
        ctx.run([CHILD, "say", "x"], on_output=bad)
    assert ctx.child_count == 0
