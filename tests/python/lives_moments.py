"""Scripts that are killed at every moment of a start, and of hearing an end.
Scenarios for services_lives.py.
"""
import os
import signal
import sys

from lives import (PATIENCE, Life, exit_info, guarded, is_gone, live,
                   wait_forever)

from xlchild.services import Services, _launch


def dying_at(number):
    """SIGKILL to this process at the number-th call that it makes."""
    count = 0

    def hook(frame, what, argument):
        nonlocal count
        if what in ("c_call", "c_return"):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(hook)


def moments(folder, step=1):
    """A script that dies at any call of a start: the service runs once, or
    not at all, and the next life knows."""
    number = 1
    while True:
        state = "%s/%d" % (folder, number)

        def dies(say):
            with Services(state) as services:
                services.add("one", guarded(folder), restart="never")
                dying_at(number)
                services.start("one")
                services.wait_ready("one", PATIENCE)
                sys.setprofile(None)
                say("lives")
                services.stop("one")
        life = Life(dies)
        said = life.hear()
        if said is not None:  # the start has fewer calls
            assert life.end() == 0
            return
        assert life.end() == signal.SIGKILL

        def next_life(say):
            with Services(state) as services:
                services.add("one", guarded(folder), restart="never")
                before = services.status("one")
                services.start("one")
                assert services.wait_ready("one", PATIENCE), \
                    services.status("one").last_end
                seen = [[e.kind, e.end and str(e.end)]
                        for e in services.poll(0)]
                services.stop("one")
                seen += [[e.kind, e.end and str(e.end)]
                         for e in services.poll(0)]
                say([before.pid, seen])
        pid, seen = live(next_life)
        assert seen in ([["adopted", None], ["ended", "signal SIGTERM"]],
                        [["started", None], ["ready", None],
                         ["ended", "signal SIGTERM"]]), (number, seen)
        number += step


def many_moments(folder):
    moments(folder, step=41)


def ends_at_moments(folder, step=31):
    """A script that dies at any call of hearing an end: it is told at least
    once, by the same name, and with its status."""
    number = 1
    while True:
        state = "%s/%d" % (folder, number)

        def dies(say):
            services = Services(state)
            services.add("job", ["sh", "-c", "exit 5"], restart="never")
            services.start("job")
            dying_at(number)
            while True:
                for event in services.poll(PATIENCE):
                    if event.kind == "ended":
                        say([event.run, str(event.end)])
                        services.poll(0)
                        sys.setprofile(None)
                        say("over")
                        os._exit(0)
        life = Life(dies)
        first = life.hear()
        over = first and life.hear()
        life.end()
        if over is not None:
            return

        def next_life(say):
            with Services(state) as services:
                services.add("job", ["sh", "-c", "exit 5"], restart="never")
                end = services.status("job").last_end
                while end is None:
                    services.poll(PATIENCE)
                    end = services.status("job").last_end
                again = [[e.run, str(e.end)] for e in services.poll(0)
                         if e.kind == "ended"]
                say([end.run, str(end), again])
        run, end, again = live(next_life)
        assert end == "exit 5" or not exit_info(), (number, end)
        assert first is None or first[0] == run, (number, first, run)
        number += step


def never_let_go(folder):
    """A process that still waits at its gate when the next life comes, as a
    fork of the script's has the other end: it is ended, and never runs."""
    state = folder + "/state"

    def first(say):
        services = Services(state)
        services.add("one", guarded(folder), restart="never")

        def cut(gate):
            say(services.status("one").pid)
            if os.fork() == 0:
                wait_forever()
            say("forked")
            wait_forever()
        _launch.Gate.open = cut
        services.start("one")
    life = Life(first)
    pid = life.hear()
    life.hear()
    with open("/proc/%d/task/%d/children" % (life.pid, life.pid)) as file:
        forked = [int(n) for n in file.read().split() if int(n) != pid]
    life.kill()
    with open("/proc/%d/cmdline" % pid) as file:
        assert file.read().startswith("xlchild-gate")

    def second(say):
        with Services(state, on_close="stop") as services:
            is_gone(pid)
            services.add("one", guarded(folder), restart="never")
            say(services.wait_ready("one", PATIENCE))
    assert live(second)
    (holder,) = forked
    assert holder > 1
    os.kill(holder, signal.SIGKILL)
    is_gone(holder)


SCENARIOS = (many_moments, ends_at_moments, never_let_go)
