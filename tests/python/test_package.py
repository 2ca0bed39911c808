"""The package: run, Popen, events, batches, adoption, logging."""
import os
import select
import signal
import subprocess
import sys
import threading

import pytest
from conftest import CHILD, TINY, children
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xlchild

PROPERTY = settings(deadline=None, max_examples=60,
                    suppress_health_check=list(HealthCheck))


# ---- run ------------------------------------------------------------------

def test_run_like_subprocess():
    for options in ({"capture_output": True}, {"stdout": subprocess.PIPE},
                    {"stdout": subprocess.PIPE,
                     "stderr": subprocess.STDOUT},
                    {"capture_output": True, "text": True},
                    {"stdout": subprocess.DEVNULL, "input": b"x"}):
        argv = [CHILD, "say", "out", "say-err", "err", "exit", "3"]
        ours = xlchild.run(argv, **options)
        theirs = subprocess.run(argv, **options)
        assert (ours.stdout, ours.stderr, ours.returncode, ours.args) \
            == (theirs.stdout, theirs.stderr, theirs.returncode,
                theirs.args)


def test_run_check_and_timeout():
    with pytest.raises(subprocess.CalledProcessError) as caught:
        xlchild.run([CHILD, "exit", "4"], check=True)
    assert caught.value.returncode == 4
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        xlchild.run([CHILD, "put", "begun", "pause"], timeout=0.3,
                    capture_output=True)
    assert caught.value.timeout == 0.3
    assert caught.value.stdout in (b"begun", None, b"")
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        xlchild.run([CHILD, "pause"], timeout=0.3)  # no pipes: only waited for
    assert (caught.value.timeout, caught.value.stdout) == (0.3, None)
    assert xlchild.check_output([CHILD, "say", "x"]) == b"x\n"
    assert xlchild.call([CHILD, "exit", "9"]) == 9
    assert xlchild.check_call([TINY]) == 0
    assert xlchild.run("exit 6", shell=True).returncode == 6


def test_run_capture_limit_and_streaming(ctx):
    done = ctx.run([CHILD, "out", "100000"], capture_output=True,
                   capture_limit=1000)
    assert (len(done.stdout), done.dropped[0]) == (1000, 99000)
    parts = []
    ctx.run([CHILD, "out", "300000"],
            on_output=lambda stream, data: parts.append((stream, data)))
    assert b"".join(d for s, d in parts if s == 1) \
        == bytes(97 + i % 26 for i in range(300000))
    assert (1, b"") in parts  # the end of file


def test_c18_run_does_not_wait_for_a_grandchild_if_told(ctx):
    inner, outer = os.pipe()
    try:
        done = ctx.run([CHILD, "say", "x", "grandchild", "3"],
                       fds={3: inner}, stdout=subprocess.PIPE,
                       linger_eof=False)
        assert (done.returncode, done.stdout) == (0, b"x\n")
        assert done.held_open
    finally:
        os.close(inner)
        os.close(outer)


def test_run_in_many_threads_on_one_context(ctx):
    wrong = []

    def work(number):
        for turn in range(25):
            text = b"%d.%d" % (number, turn)
            done = ctx.run([CHILD, "cat"], input=text, capture_output=True)
            if done.stdout != text:
                wrong.append((text, done))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_run_beside_unread_events(ctx):
    """Events that nobody takes do not keep run() busy or stuck."""
    child = ctx.spawn([TINY], event=True)
    for _ in range(5):
        assert ctx.run([CHILD, "exit", "2"]).returncode == 2
    assert ctx.events(10)[0].process is child


def test_a1_start_completes_by_event(ctx):
    numbers = {ctx.start([CHILD, "say", str(n), "exit", str(n)],
                         capture_output=True): n for n in range(20)}
    while numbers:
        for event in ctx.events(10):
            n = numbers.pop(event.user)
            assert event.type == xlchild.EventType.OPERATION_COMPLETE
            assert event.rc == 0
            assert event.completed.returncode == n
            assert event.completed.stdout == b"%d\n" % n


def test_a2_abort(ctx):
    number = ctx.start([CHILD, "pause"])
    assert ctx.abort(number) is True
    event = ctx.wait_event(10)
    assert (event.user, event.rc) == (number, -22)
    assert event.completed.aborted
    assert event.completed.returncode == -signal.SIGKILL
    assert ctx.abort(number) is False


# ---- properties -----------------------------------------------------------------

TEXT = st.text(st.characters(blacklist_characters="\0",
                             blacklist_categories=("Cs",)), max_size=40)


@PROPERTY
@given(st.lists(TEXT.filter(lambda s: "\n" not in s and "\r" not in s),
                max_size=8))
def test_c16_any_arguments_arrive(arguments):
    done = xlchild.run([CHILD, "args"] + arguments, capture_output=True)
    assert done.stdout.split(b"\n")[:-1] == [os.fsencode(a)
                                             for a in arguments]


@PROPERTY
@given(st.dictionaries(
    TEXT.filter(lambda s: s and "=" not in s and "\n" not in s),
    TEXT.filter(lambda s: "\n" not in s), max_size=8))
def test_c16_any_environment_arrives(environment):
    done = xlchild.run([CHILD, "env"], env=environment, capture_output=True)
    wanted = sorted(os.fsencode(k + "=" + v)
                    for k, v in environment.items())
    assert sorted(done.stdout.split(b"\n")[:-1]) == wanted


@PROPERTY
@given(st.binary(max_size=200000))
def test_c18_any_input_comes_back(data):
    done = xlchild.run([CHILD, "cat"], input=data, capture_output=True,
                       timeout=60)
    assert (done.stdout or b"") == data and done.returncode == 0


@PROPERTY
@given(st.permutations(range(3, 9)))
def test_c16_any_permutation_of_fds(order):
    files = []
    try:
        for number in range(3, 9):
            inner, outer = os.pipe()
            os.write(outer, b"%d" % number)
            os.close(outer)
            files.append(inner)
        fds = dict(zip(order, files))
        process = xlchild.spawn(
            ["sh", "-c", "".join("cat <&%d; " % t for t in range(3, 9))],
            fds=fds, stdout=files_out()[1])
        process.wait()
        out = os.read(files_out.reader, 100)
        assert out == b"".join(b"%d" % (3 + files.index(fds[t]))
                               for t in range(3, 9))
    finally:
        for number in files:
            os.close(number)
        os.close(files_out.reader)
        os.close(files_out.writer)


def files_out():
    """A pipe for a child's stdout, kept on the function."""
    files_out.reader, files_out.writer = os.pipe()
    return files_out.reader, files_out.writer


@PROPERTY
@given(st.lists(st.integers(0, 255), min_size=1, max_size=40))
def test_c5_each_end_is_reported_once(codes):
    with xlchild.Context() as ctx:
        started = ctx.spawn_many([[CHILD, "exit", str(c)] for c in codes])
        got = {}
        while len(got) < len(codes):
            for event in ctx.events(10):
                assert event.process not in got
                got[event.process] = event.status.exitcode
        assert [got[p] for p in started] == codes
        assert ctx.events(0) == []


# ---- events, batches --------------------------------------------------------------

def test_e1_types_filter(ctx):
    child = ctx.spawn([TINY], event=True)
    number = ctx.start([TINY])
    first = ctx.wait_event(10, types=[xlchild.EventType.OPERATION_COMPLETE])
    assert first.user == number
    second = ctx.wait_event(10)
    assert second.process is child
    with pytest.raises(TimeoutError):
        ctx.wait_event(0)


def test_o5_fileno_is_readable_when_there_is_work(ctx):
    poll = select.poll()
    poll.register(ctx.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    child = ctx.spawn([TINY], event=True)
    assert poll.poll(10000)
    while child.status is None:
        ctx.events(1)
    ctx.events(0)
    assert poll.poll(0) == []


def test_spawn_many_reports_failures_in_place(ctx):
    ctx.set_starters(2)
    answers = ctx.spawn_many([[TINY], ["/nonexistent"],
                              ([CHILD, "env"], {"env": {},
                                                "cwd": "/nonexistent"}),
                              [CHILD, "exit", "5"]])
    assert isinstance(answers[1], FileNotFoundError)
    assert answers[1].stage == "exec"
    assert answers[2].stage == "chdir"
    got = {}
    while len(got) < 2:
        for event in ctx.events(10):
            got[event.process] = event.status.exitcode
    assert got == {answers[0]: 0, answers[3]: 5}


def test_stop_and_continue_events(ctx):
    child = ctx.spawn([CHILD, "stop", "exit", "3"], event=True,
                      report_stops=True, user=5)
    event = ctx.wait_event(10)
    assert (event.type, event.process, event.signal, event.user) \
        == (xlchild.EventType.STOPPED, child, signal.SIGSTOP, 5)
    child.send_signal(signal.SIGCONT)
    kinds = []
    while child.status is None:
        kinds += [e.type for e in ctx.events(10)]
    assert kinds[-1] == xlchild.EventType.EXIT
    assert child.status.exitcode == 3


def test_terminate_escalates(ctx):
    inner, outer = os.pipe()
    child = ctx.spawn([CHILD, "ignore", "SIGTERM", "ready", "1", "pause"],
                      stdout=outer)
    assert os.read(inner, 1)
    os.close(inner)
    os.close(outer)
    assert child.terminate(grace=0.05)
    assert child.wait(10).signal == signal.SIGKILL
    assert child.terminate() is False and child.kill() is False
    with pytest.raises(xlchild.NotFoundError):
        child.send_signal(signal.SIGTERM)


def test_adopt_own_child_by_pid_and_start_time(ctx):
    pid = os.posix_spawn(CHILD, [CHILD, "pause"], {})
    child = ctx.adopt(pid, start_time=xlchild.start_time(pid))
    assert child.poll() is None
    child.kill()
    assert child.wait(10).signal == signal.SIGKILL
    with pytest.raises(xlchild.NotFoundError):
        ctx.adopt(pid, start_time=1)


def test_osevent_hooks_drive_a_loop_of_poll():
    """O3 O4: a Python host loop; idle means nothing registered."""
    class Loop:
        def __init__(self):
            self.fds, self.timers = {}, {}
            self.fail = False

        def fd_register(self, fd, events, for_libxl):
            if self.fail:
                raise KeyError("no more fds")
            self.fds[fd] = (events, for_libxl)
            return ["fd", fd]

        def fd_modify(self, registration, fd, events):
            assert registration == ["fd", fd]
            self.fds[fd] = (events, self.fds[fd][1])

        def fd_deregister(self, registration, fd):
            assert registration == ["fd", fd]
            del self.fds[fd]

        def timeout_register(self, when, for_libxl):
            self.timers[for_libxl] = when
            return ["timer"]

        def timeout_modify(self, registration, when):
            assert registration == ["timer"] and when == 0.0
            for key in self.timers:
                self.timers[key] = 0.0

        def timeout_deregister(self, registration):
            self.timers.clear()

        def turn(self, ctx):
            poll = select.poll()
            for fd, (events, _) in self.fds.items():
                poll.register(fd, events)
            ready = poll.poll(20 if self.timers else 1000)
            for fd, revents in ready:
                if fd in self.fds:
                    ctx.occurred_fd(self.fds[fd][1], fd, self.fds[fd][0],
                                    revents)
            import time
            for token, when in list(self.timers.items()):
                if when <= time.time():
                    del self.timers[token]
                    ctx.occurred_timeout(token)

    loop = Loop()
    with xlchild.Context() as ctx:
        ctx.osevent_register(loop)
        assert loop.fds == {}
        for code in range(20):
            child = ctx.spawn([CHILD, "exit", str(code)], event=True)
            assert loop.fds
            while child.status is None:
                loop.turn(ctx)
                ctx.events(0)
            assert child.status.exitcode == code
        child = ctx.spawn([CHILD, "ignore", "SIGTERM", "pause"], event=True)
        child.terminate(grace=0.05)
        while child.status is None:
            loop.turn(ctx)
            ctx.events(0)
        assert loop.fds == {}
        loop.fail = True
        with pytest.raises(KeyError):
            ctx.spawn([TINY])
        assert ctx.child_count == 0
        loop.fail = False
        assert ctx.spawn([TINY], event=True)
        while ctx.child_count:
            loop.turn(ctx)
            ctx.events(0)
    assert loop.fds == {} and loop.timers == {}


def test_beforepoll_and_afterpoll(ctx):
    child = ctx.spawn([CHILD, "exit", "8"], event=True)
    while child.status is None:
        fds, timeout = ctx.beforepoll(5000)
        assert timeout <= 5000
        poll = select.poll()
        for fd, events in fds:
            poll.register(fd, events)
        ctx.afterpoll(poll.poll(timeout))
        ctx.events(0)
    assert child.status.exitcode == 8


# ---- Popen ---------------------------------------------------------------------------

def test_popen_like_subprocess():
    for options in ({}, {"cwd": "/"}, {"start_new_session": True},
                    {"close_fds": False, "cwd": "/"}, {"restore_signals": False},
                    {"env": {"A": "b", "PATH": "/usr/bin:/bin"}},
                    {"text": True}, {"bufsize": 0}):
        out = []
        for kind in xlchild.Popen, subprocess.Popen:
            with kind([CHILD, "cwd", "env", "ignored", "mask", "cat", "exit",
                       "3"], stdin=-1, stdout=-1, stderr=-1,
                      **options) as p:
                text, err = p.communicate("x" if options.get("text")
                                          else b"x")
                # two signals are the C library's own: posix_spawn leaves
                # them ignored, and nobody can ask for them
                text = [line for line in text.splitlines()
                        if line not in (b"32", b"33", "32", "33")]
                out.append((text, err, p.returncode))
        assert out[0] == out[1], options


def test_popen_errors_like_subprocess():
    for argv, options in ((["/nonexistent"], {}), (["nonexistent-x"], {}),
                          ([TINY], {"cwd": "/nonexistent"}),
                          (["/etc/passwd"], {}), (["a\0"], {}), ([], {})):
        caught = []
        for kind in xlchild.Popen, subprocess.Popen:
            with pytest.raises(Exception) as info:
                kind(argv, **options)
            caught.append(info.value)
        ours, theirs = caught
        assert isinstance(ours, type(theirs)), (ours, theirs)
        assert getattr(ours, "errno", None) == getattr(theirs, "errno", None)
        assert getattr(ours, "filename", None) \
            == getattr(theirs, "filename", None)


def test_popen_kill_poll_and_timeouts():
    p = xlchild.Popen([CHILD, "pause"])
    assert p.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        p.wait(0.05)
    p.terminate()
    assert p.wait() == -signal.SIGTERM
    assert p.status.signal == signal.SIGTERM
    p.kill()  # has ended: does nothing
    assert p.rusage is not None


def test_popen_with_preexec_fn_is_subprocess_own():
    assert xlchild.Popen([TINY], preexec_fn=os.getpid).wait() == 0


def test_popen_in_threads():
    wrong = []

    def work(n):
        for turn in range(20):
            code = (n * 20 + turn) % 256
            if xlchild.Popen([CHILD, "exit", str(code)]).wait() != code:
                wrong.append(code)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_popen_one_child_waited_for_by_many_threads():
    p = xlchild.Popen([CHILD, "hold", "exit", "6"], stdin=subprocess.PIPE)
    got = []
    threads = [threading.Thread(target=lambda: got.append(p.wait()))
               for _ in range(5)]
    for thread in threads:
        thread.start()
    p.stdin.close()
    for thread in threads:
        thread.join()
    assert got == [6] * 5


def test_popen_leak_warns():
    with pytest.warns(ResourceWarning, match="still running"):
        p = xlchild.Popen([CHILD, "hold"], stdin=subprocess.PIPE)
        pipe = p.stdin
        p.stdin = None
        del p
    pipe.close()
    context = xlchild.default_context()
    while context.child_count:  # reaped when others are started
        xlchild.run([TINY])


# ---- fork, logging, leaks ------------------------------------------------------------

def test_c14_a_forked_child_gets_a_context_of_its_own():
    assert xlchild.run([TINY]).returncode == 0
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = xlchild.run([CHILD, "exit", "33"]).returncode
        finally:
            os._exit(code)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 33
    assert xlchild.run([TINY]).returncode == 0


@pytest.mark.own_process
def test_no_growth_over_many_cycles():
    """Create, hook, start, free: the process keeps its size."""
    program = r"""
import gc, os, sys, resource
import xlchild
tiny = sys.argv[1]
def cycle(n):
    ctx = xlchild.Context()
    seen = []
    ctx.register_callbacks(lambda event: seen.append(event))
    ctx.setmode(xlchild.SigchldOwner.LIBXL,
                childproc_exited_callback=lambda pid, status: True)
    ctx.evenable_exit(user=n)
    assert ctx.spawn([tiny]).wait().success
    assert [event.user for event in seen] == [n]
    if n % 10 == 0:
        ctx.run([tiny], input=b"x" * 1000, capture_output=True)
    ctx.close()
def size():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
for n in range(500):
    cycle(n)
before = size(), len(os.listdir("/proc/self/fd"))
for n in range(20000):
    cycle(n)
after = size(), len(os.listdir("/proc/self/fd"))
assert after[1] == before[1], (before, after)
assert after[0] - before[0] < 512 * 1024, (before, after)
print("same")
"""
    done = subprocess.run([sys.executable, "-c", program, TINY],
                          stdout=subprocess.PIPE, text=True, timeout=200)
    assert done.stdout == "same\n"


@pytest.mark.own_process
def test_interpreter_exit_with_living_children_is_quiet():
    program = ("import xlchild, sys\n"
               "p = xlchild.Popen([sys.argv[1], 'hold'], stdin=-1)\n"
               "q = xlchild.spawn([sys.argv[1], 'exit', '0'])\n"
               "print('end')\n")
    done = subprocess.run([sys.executable, "-c", program, CHILD],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"end\n", b"")


def test_diagnose(ctx):
    child = ctx.spawn([CHILD, "pause"])
    d = ctx.diagnose()
    assert (d.mode_asked, d.children) == (xlchild.SigchldOwner.NONE, 1)
    assert isinstance(d.facilities, frozenset) and d.words
    assert child.pid in children()
    child.kill()
    child.wait()
    assert child.pid not in children()
