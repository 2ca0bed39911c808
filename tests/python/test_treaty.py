"""The treaty, beside a program that has children of its own."""
import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from conftest import CHILD, TINY, children, sigchld

import xlchild
from xlchild import SigchldOwner

MANY = 2000


def test_c1_four_thousand_statuses_in_mode_libxl():
    """C1 C5: 2,000 of ours and 2,000 of the program's own at a time."""
    before, before_us = sigchld(), children()
    own = {}
    reports = []

    def stranger(pid, status):
        reports.append((pid, status.returncode))
        return True

    room = threading.Semaphore(32)
    with xlchild.Context(SigchldOwner.LIBXL,
                         childproc_exited_callback=stranger) as ctx:
        assert sigchld() == before  # no child, no handler
        keeper = ctx.spawn([CHILD, "pause"])
        assert sigchld() != before
        assert ctx.diagnose().handler_installed

        def host():
            for number in range(MANY):
                room.acquire()
                code = number % 256
                pid = os.posix_spawn(CHILD, [CHILD, "exit", str(code)],
                                     os.environ)
                own.setdefault(pid, []).append(code)

        thread = threading.Thread(target=host)
        thread.start()
        ours, got, seen, started = {}, {}, 0, 0
        while len(got) < MANY or seen < MANY:
            while started < MANY and started - len(got) < 32:
                code = started * 7 % 256
                child = ctx.spawn([CHILD, "exit", str(code)], event=True)
                ours[child.id] = code
                started += 1
            for event in ctx.events(0.005):
                assert event.process.id not in got
                got[event.process.id] = event.status.exitcode
            while seen < len(reports):
                seen += 1
                room.release()
        thread.join()
        keeper.kill()
        keeper.wait()
        assert sigchld() == before
    assert got == ours
    found = {}
    for pid, code in reports:
        found.setdefault(pid, []).append(code)
    assert found == own
    assert sum(map(len, own.values())) == MANY
    assert children() == before_us


def test_c1_an_unknown_child_without_a_callback_is_warned_about(caplog):
    with xlchild.Context(SigchldOwner.LIBXL) as ctx:
        keeper = ctx.spawn([CHILD, "pause"])
        pid = os.posix_spawn(TINY, [TINY], {})
        with caplog.at_level(logging.WARNING, "xlchild"):
            while not caplog.records:
                ctx.events(0.02)
        keeper.kill()
        keeper.wait()
    assert str(pid) in caplog.text
    assert len(caplog.records) == 1


def test_c1_a_callback_that_says_no_is_warned_about(caplog):
    with xlchild.Context(
            SigchldOwner.LIBXL,
            childproc_exited_callback=lambda pid, status: False) as ctx:
        keeper = ctx.spawn([CHILD, "pause"])
        os.posix_spawn(TINY, [TINY], {})
        with caplog.at_level(logging.WARNING, "xlchild"):
            while not caplog.records:
                ctx.events(0.02)
        keeper.kill()
        keeper.wait()


def test_c1_another_answer_is_a_disaster():
    told = []
    with xlchild.Context(
            SigchldOwner.LIBXL,
            childproc_exited_callback=lambda pid, status: -3) as ctx:
        ctx.register_callbacks(disaster=lambda *args: told.append(args))
        keeper = ctx.spawn([CHILD, "pause"])
        os.posix_spawn(TINY, [TINY], {})
        while not told:
            ctx.events(0.02)
        keeper.kill()
        keeper.wait()
        assert ctx.disaster_latched == 0  # a hook was told
    assert isinstance(told[0][1], str)


def test_c1_a_python_handler_is_chained_and_restored():
    seen = []
    old = signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
    try:
        before = sigchld()
        with xlchild.Context(SigchldOwner.LIBXL) as ctx:
            assert ctx.spawn([TINY]).wait().success
        assert sigchld() == before
        assert seen  # C7
    finally:
        signal.signal(signal.SIGCHLD, old)


def test_c2_mainloop_statuses_are_passed_on():
    """2,000 and 2,000; this program reaps them all."""
    before = sigchld()
    with xlchild.Context(SigchldOwner.MAINLOOP) as ctx:
        ours, own, got, right = {}, {}, {}, 0
        started = 0
        while len(got) + right < 2 * MANY:
            while started < MANY and started * 2 - len(got) - right < 64:
                code = started % 256
                child = ctx.spawn([CHILD, "exit", str(code)], event=True)
                ours[child.id] = code
                other = (started * 3 + 1) % 256
                own[os.posix_spawn(CHILD, [CHILD, "exit", str(other)],
                                   os.environ)] = other
                started += 1
            pid, status = os.waitpid(-1, 0)
            if not ctx.childproc_exited(pid, status):
                assert own.pop(pid) == os.WEXITSTATUS(status)
                right += 1
            for event in ctx.events(0):
                got[event.process.id] = event.status.exitcode
                assert event.status.source == xlchild.Source.PASSED
        assert sigchld() == before
    assert got == ours and right == MANY and own == {}


MAINLOOP = r"""
import os, sys
import xlchild
child, count = sys.argv[1], int(sys.argv[2])
with xlchild.Context(xlchild.SigchldOwner.MAINLOOP) as ctx:
    # the first start finds out, with a child nobody sees, what the kernel has
    ctx.spawn([child, "exit", "0"]).kill()
    while ctx.child_count:
        ctx.sigchld_occurred()
        ctx.events(0.01)
    print("BEGIN", flush=True)
    mine = {}
    own = set()
    for n in range(count):
        mine[ctx.spawn([child, "exit", str(n)], event=True).pid] = n
        own.add(os.posix_spawn(child, [child, "exit", "9"], os.environ))
    done = 0
    # ours through sigchld_occurred, the others by name
    while done < count:
        ctx.sigchld_occurred()
        for event in ctx.events(0.01):
            assert mine[event.process.pid] == event.status.exitcode
            done += 1
    for pid in own:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    print("OWN", *own, flush=True)
    print("MINE", *mine, flush=True)
"""


@pytest.mark.own_process
def test_c2_strace_shows_no_signal_call_and_no_wait_for_others(tmp_path):
    assert shutil.which("strace"), "strace is needed"
    log = tmp_path / "trace"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", log, "-e",
         "trace=rt_sigaction,signal,wait4,waitid,waitpid,write", "-s", "400",
         sys.executable, "-c", MAINLOOP, CHILD, "50"],
        stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    words = {line.split()[0]: set(line.split()[1:])
             for line in done.stdout.splitlines()}
    assert len(words["OWN"]) == len(words["MINE"]) == 50
    lines = log.read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if "BEGIN" in line)
    end = next(n for n, line in enumerate(lines) if '"OWN' in line)
    parent = lines[begin].split()[0]
    waits = 0
    for line in lines[begin:end]:
        pid, call = line.split(None, 1)
        if pid != parent:
            continue  # children: they reset their own dispositions
        assert not re.match(r"(rt_sigaction|signal)\(SIGCHLD\b", call), line
        by_id = re.match(r"waitid\((P_\w+), (\d+)", call)
        if by_id:
            waits += 1
            assert by_id.group(1) in ("P_PIDFD", "P_PID"), line
            if by_id.group(1) == "P_PID":
                assert by_id.group(2) in words["MINE"], line
        by_pid = re.match(r"wait(?:4|pid)\((-?\d+)", call)
        if by_pid:
            assert by_pid.group(1) in words["MINE"] | words["OWN"], line
    assert waits >= 50


def test_c4_mode_none_touches_neither_handler_nor_strangers():
    before = sigchld()
    with xlchild.Context() as ctx:
        assert ctx.diagnose().mode_in_force is SigchldOwner.NONE
        theirs = subprocess.Popen([CHILD, "exit", "9"])
        ours = [ctx.spawn([CHILD, "exit", str(n)]) for n in range(50)]
        assert sigchld() == before
        assert [c.wait().exitcode for c in ours] == list(range(50))
        assert theirs.wait() == 9


def test_c6_a_stolen_status_is_recovered_or_lost_never_invented():
    with xlchild.Context() as ctx:
        kernel = ctx.diagnose().facilities
        for number in range(1, 40):
            inner, outer = os.pipe()
            child = ctx.spawn([CHILD, "hold-fd", "3", "exit", str(number)],
                              fds={3: inner})
            os.close(inner)
            os.close(outer)
            pid, status = os.waitpid(child.pid, 0)  # the thief
            assert os.WEXITSTATUS(status) == number
            found = child.wait()
            if "exit_info" in kernel:
                assert found.exitcode == number
                assert found.source == xlchild.Source.PIDFD
            else:
                assert found.lost is xlchild.LostReason.STOLEN


def test_x3_incompatible_contexts_are_refused():
    with xlchild.Context(SigchldOwner.MAINLOOP):
        with pytest.raises(xlchild.ConflictError):
            xlchild.Context(SigchldOwner.LIBXL)
        with xlchild.Context(SigchldOwner.NONE) as other:
            assert other.spawn([TINY]).wait().success


def test_c10_fork_replacement_sees_every_pid():
    pids = []

    def fork():
        pid = os.fork()
        if pid:
            pids.append(pid)
        return pid

    with xlchild.Context(fork_replacement=fork) as ctx:
        started = [ctx.spawn([CHILD, "exit", str(n)]) for n in range(20)]
        assert [child.pid for child in started] == pids
        assert [c.wait().exitcode for c in started] == list(range(20))


@pytest.mark.parametrize("owner", [SigchldOwner.LIBXL,
                                   SigchldOwner.LIBXL_ALWAYS])
def test_routed_children_of_subprocess(owner):
    """Popen.wait returns the right code although the library reaped."""
    with xlchild.Context(
            owner,
            childproc_exited_callback=xlchild.route_unknown_children) as ctx:
        keeper = ctx.spawn([CHILD, "pause"])
        stop = threading.Event()

        def pump():
            while not stop.is_set():
                ctx.events(0.1)

        thread = threading.Thread(target=pump)
        thread.start()
        codes = random.Random(3).sample(range(1, 256), 100)
        try:
            theirs = [subprocess.Popen([CHILD, "exit", str(code)])
                      for code in codes]
            assert [p.wait() for p in theirs] == codes
            assert subprocess.run([CHILD, "exit", "77"]).returncode == 77
            worker = multiprocessing.get_context("spawn").Process(
                target=os._exit, args=(23,))
            worker.start()
            worker.join()
            assert worker.exitcode == 23
            worker.close()
        finally:
            stop.set()
            thread.join()
            keeper.kill()
            keeper.wait()
    assert os.waitpid.__name__ == "waitpid"
    assert os.waitpid is not xlchild.route_unknown_children.waitpid
