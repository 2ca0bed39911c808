"""Services: what a script does with them while it lives.

What its next life does is in test_services_lives.py.
"""
import asyncio
import errno
import fcntl
import os
import signal
import socket
import sys
import threading
import time

import pytest
from conftest import CHILD

import xlchild
from xlchild.services import Backoff, Services, _journal, _processes, _turn

PATIENCE = 20


@pytest.fixture
def services(tmp_path):
    """In a folder of its own; stopped at the end."""
    with Services(tmp_path / "state", on_close="stop") as made:
        yield made


def until(services, kind, name=None):
    """Events until one of that kind, which is the last."""
    found = []
    end = time.monotonic() + PATIENCE
    while not found or found[-1].kind != kind \
            or name not in (None, found[-1].name):
        assert time.monotonic() < end, found
        for event in services.poll(1):
            found.append(event)
            if event.kind == kind and name in (None, event.name):
                break
    return found


def kinds(events):
    return [event.kind for event in events]


def is_free(lock):
    """Nobody has it, from the kernel's list."""
    with open(lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False


# ---- bad input -------------------------------------------------------------

BAD = [
    ("name", {"name": ""}), ("name", {"name": "a/b"}),
    ("name", {"name": ".a"}), ("name", {"name": "a:b"}),
    ("name", {"name": "x" * 101}), ("name", {"name": 3}),
    ("name", {"name": "a\n"}),
    ("argv", {"argv": "true"}), ("argv", {"argv": []}),
    ("argv", {"argv": [""]}), ("argv", {"argv": ["a\0b"]}),
    ("argv", {"argv": [1]}), ("argv", {"argv": None}),
    ("restart", {"restart": "sometimes"}), ("backoff", {"backoff": 3}),
    ("ready", {"ready": "line"}), ("ready", {"ready": ()}),
    ("ready", {"ready": ("line", "x")}),
    ("ready", {"ready": ("line", "("), "log": "log"}),
    ("ready", {"ready": ("line", "x"), "log": "/dev/null"}),
    ("ready", {"ready": ("line", 3), "log": "log"}),
    ("ready", {"ready": ("file", "")}), ("ready", {"ready": ("soon", 1)}),
    ("ready", {"ready": ("notify", 1)}),
    ("ready_within", {"ready_within": -1}),
    ("ready_within", {"ready_within": float("nan")}),
    ("stop_signal", {"stop_signal": 0}), ("stop_signal", {"stop_signal": 65}),
    ("stop_grace", {"stop_grace": -1}), ("stop_grace", {"stop_grace": None}),
    ("env", {"env": ["A=b"]}),
]


@pytest.mark.parametrize("argument, given", BAD)
def test_x5_bad_input_names_the_argument(services, argument, given):
    given = dict({"name": "web", "argv": ["true"]}, **given)
    with pytest.raises(xlchild.InvalidArgumentError) as caught:
        services.add(**given)
    assert caught.value.argument == argument
    assert argument in str(caught.value)
    assert services.names() == [] and services.poll() == []


@pytest.mark.parametrize("argument, value", [
    ("first", -1), ("first", float("inf")), ("factor", 0.5),
    ("factor", float("nan")), ("most", 0.1), ("settled", -1),
    ("restarts", -1), ("within", "x")])
def test_x5_a_backoff_names_the_number(argument, value):
    with pytest.raises(xlchild.InvalidArgumentError) as caught:
        Backoff(**{argument: value})
    assert caught.value.argument == argument


def test_x5_on_close_is_one_of_two(tmp_path):
    with pytest.raises(xlchild.InvalidArgumentError) as caught:
        Services(tmp_path, on_close="kill")
    assert caught.value.argument == "on_close"


def test_unknown_names(services):
    for call in (services.start, services.stop, services.restart,
                 services.remove, services.wait_ready, services.status):
        with pytest.raises(xlchild.NotFoundError, match="'web'"):
            call("web")
    services.add("web", ["true"])
    with pytest.raises(xlchild.BusyError, match="'web'"):
        services.add("web", ["true"])


# ---- the folder ------------------------------------------------------------

def test_a_second_one_is_refused_in_words(tmp_path, services):
    with pytest.raises(xlchild.BusyError, match="in use.*this process"):
        Services(tmp_path / "state")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _journal._in_use.clear()
            try:
                Services(tmp_path / "state")
            except xlchild.BusyError as error:
                code = 0 if "process %d" % os.getppid() in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_b13_the_lock_of_a_dead_one_is_waited_for(tmp_path, monkeypatch):
    """B13 Killed within a start, its child has the lock a moment longer."""
    Services(tmp_path / "state").close()
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    ready, up = os.pipe()
    go, release = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(release)
            lock = os.open(tmp_path / "state" / "lock", os.O_RDWR)
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(lock, b"%d\n" % gone, 0)
            os.write(up, b"u")
            os.read(go, 1)
        finally:
            os._exit(0)
    assert os.read(ready, 1) == b"u"
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        os.write(release, b"r")
        os.waitpid(child, 0)
    with monkeypatch.context() as patch:
        patch.setattr(_journal, "_sleep", sleep)
        Services(tmp_path / "state").close()
    assert len(slept) == 1
    for fd in ready, up, go, release:
        os.close(fd)


def test_another_s_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError):
        Services(tmp_path / "link")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(PermissionError, match="written by others"):
        Services(open_to_all)
    with pytest.raises(FileNotFoundError):
        Services(tmp_path / "no" / "where")
    with pytest.raises(OSError):
        Services(__file__)
    if os.geteuid() == 0:
        theirs = tmp_path / "theirs"
        theirs.mkdir(0o700)
        os.chown(theirs, 12345, -1)
        with pytest.raises(PermissionError, match="another user"):
            Services(theirs)


@pytest.mark.parametrize("name", ["services", "services.new", "web.ticket"])
def test_links_in_it_are_not_followed(tmp_path, name):
    state = tmp_path / "state"
    state.mkdir(0o700)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (state / name).symlink_to(victim)
    with Services(state, on_close="stop") as services:
        services.add("web", ["true"], restart="never")
        try:
            services.start("web")
            services.poll()
        except OSError:
            pass
    assert victim.read_text() == "precious"


def test_use_after_close(tmp_path):
    services = Services(tmp_path / "state")
    services.close()
    services.close()
    for call in (services.poll, services.names, services.fileno, services.left,
                 services.quit, lambda: services.add("web", ["true"])):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.warns(ResourceWarning, match="unclosed"):
        Services(tmp_path / "state").__del__()


def test_c14_in_a_forked_child_it_is_the_parent_s(services):
    services.add("web", ["sleep", "1000"])
    services.start("web")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                services.poll()
            except ValueError as error:
                code = 0 if "parent" in str(error) else 2
            services.close()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert services.wait_ready("web", PATIENCE)


# ---- starting and ending ---------------------------------------------------

def test_what_a_service_gets(services, tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    services.add("job", ["sh", "-c", "readlink /proc/$$/fd/*; pwd; echo $A; "
                         "echo $XLCHILD_SERVICE; echo oops >&2"],
                 env={"A": "b", "PATH": os.environ["PATH"]}, cwd="/usr",
                 log=log)
    services.start("job")
    end = until(services, "ended")[-1].end
    assert str(end) == "exit 0" and end.cause == "itself"
    lines = log.read_text().split("\n")
    assert lines[:5] == ["before", "/dev/null", str(log), str(log), "/usr"]
    assert lines[5] == "b" and lines[6].endswith("/" + end.run)
    assert lines[7:] == ["oops", ""]


@pytest.mark.parametrize("how, stage, number", [
    ({"argv": ["/nonexistent"]}, "exec", errno.ENOENT),
    ({"argv": ["/etc/passwd"]}, "exec", errno.EACCES),
    ({"argv": ["sh"], "cwd": "/nonexistent"}, "chdir", errno.ENOENT),
    ({"argv": ["sh"], "log": "/nonexistent/log"}, None, errno.ENOENT)])
def test_c15_what_cannot_start_says_why(services, how, stage, number):
    services.add("job", restart="never", **how)
    services.start("job")
    assert services.wait_ready("job", PATIENCE) is False
    (event,) = services.poll()
    status = services.status("job")
    assert event.kind == "not-started" and event.error is status.error
    assert event.error.errno == number
    assert getattr(event.error, "stage", None) == stage
    assert status.state == "failed" and status.pid is None
    assert status.last_end is None


def test_a_state_that_cannot_be_kept_starts_nothing(services, tmp_path,
                                                    monkeypatch):
    services.add("job", ["touch", str(tmp_path / "ran")], restart="never")

    def full(journal):
        raise OSError(errno.ENOSPC, "full")
    with monkeypatch.context() as patch:
        patch.setattr(_journal.Journal, "save", full)
        services.start("job")
        assert kinds(services.poll()) == ["not-started", "state-not-kept"]
    assert services.status("job").error.errno == errno.ENOSPC
    assert not (tmp_path / "ran").exists()
    services.start("job")
    assert kinds(until(services, "ended"))[-1] == "ended"
    assert (tmp_path / "ran").exists()


def test_stop_with_grace_leaves_nothing_of_the_group(services, tmp_path):
    """C13, C27"""
    lock = str(tmp_path / "lock")
    services.add("deaf", ["sh", "-c", "trap '' TERM; flock -n -F %s sleep 1000"
                          " & touch %s; while :; do sleep 1000; done"
                          % (lock, tmp_path / "up")],
                 ready=("file", tmp_path / "up"), stop_grace=0.05)
    services.start("deaf")
    assert services.wait_ready("deaf", PATIENCE)
    group = services.status("deaf").pid
    services.stop("deaf")
    end = services.status("deaf").last_end
    assert (str(end), end.cause) == ("signal SIGKILL", "told")
    assert is_free(lock)
    assert _processes.in_group(group, "")[:2] == ([], 0)


def test_runs_of_a_service_never_overlap(services, tmp_path):
    """B13 Neither by restart() nor by its policy."""
    one = ["flock", "-F", "-n", "-E", "99", str(tmp_path / "one"), "sh", "-c"]
    services.add("web", one + ["sleep 1000 & wait"],
                 backoff=Backoff(first=0))
    services.start("web")
    for _ in range(8):
        services.restart("web")
    for _ in range(8):
        assert services.wait_ready("web", PATIENCE)
        services.poll()
        os.kill(services.status("web").pid, signal.SIGKILL)
        ends = [str(event.end) for event in until(services, "ended")
                if event.end]
        assert ends[-1] == "signal SIGKILL"
        until(services, "ready")


def test_remove_frees_the_name(services):
    services.add("web", ["sleep", "1000"])
    services.start("web")
    services.remove("web")
    services.add("web", ["true"])
    assert services.status("web").last_end is None


def test_one_that_ends_before_it_is_looked_at_was_started(services,
                                                          monkeypatch):
    """B13 The program is executed and ends after the wait, before the look."""
    see = _turn.Turns._see
    monkeypatch.setattr(_turn.Turns, "_see", lambda turns, ready, now:
                        see(turns, set(), now))
    services.add("job", ["true"], restart="never")
    services.start("job")
    os.waitid(os.P_PID, services.status("job").pid, os.WEXITED | os.WNOWAIT)
    assert kinds(until(services, "ended")) == ["started", "ready", "ended"]


# ---- policies --------------------------------------------------------------

def test_a_failing_one_is_given_up(services):
    services.add("job", ["sh", "-c", "exit 1"],
                 backoff=Backoff(first=0.001, factor=2, most=0.003,
                                 restarts=3))
    services.start("job")
    events = until(services, "given-up")
    assert [e.delay for e in events if e.kind == "restarting"] \
        == [0.001, 0.002, 0.003]
    assert kinds(events).count("started") == 4
    assert services.status("job").state == "failed"
    services.start("job")
    assert "restarting" in kinds(until(services, "given-up"))


@pytest.mark.parametrize("restart, script, wanted", [
    ("never", "exit 1", "failed"), ("never", "exit 0", "stopped"),
    ("on-failure", "exit 0", "stopped"), ("on-failure", "exit 1", "waiting"),
    ("always", "exit 0", "waiting"), ("on-failure", "kill $$", "waiting")])
def test_policies(services, restart, script, wanted):
    services.add("job", ["sh", "-c", script], restart=restart,
                 backoff=Backoff(first=1000, most=1000))
    services.start("job")
    until(services, "ended")
    assert services.status("job").state == wanted


def test_one_that_is_late_is_stopped(services, tmp_path):
    services.add("job", ["sleep", "1000"], ready=("file", tmp_path / "never"),
                 ready_within=0.01, restart="never")
    services.start("job")
    assert services.wait_ready("job", PATIENCE) is False
    events = until(services, "ended")
    assert kinds(events) == ["started", "late", "ended"]
    assert events[-1].end.cause == "unready"


# ---- readiness -------------------------------------------------------------

def test_ready_by_a_line_of_its_own(services, tmp_path):
    """Not of what the log had before."""
    log = tmp_path / "log"
    log.write_text("up 1\n")
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    services.add("web", ["sh", "-c", "read x <%s; echo up 2; exec sleep 1000"
                         % fifo], ready=("line", r"^up \d$"), log=log)
    services.start("web")
    with pytest.raises(TimeoutError):
        services.wait_ready("web", 0.05)
    with open(fifo, "w"):
        pass
    assert services.wait_ready("web", PATIENCE)


def test_ready_by_notify(services):
    program = ("import os, socket, time; s = socket.socket(socket.AF_UNIX, "
               "socket.SOCK_DGRAM); s.connect(os.environ['NOTIFY_SOCKET']); "
               "s.send(b'STATUS=x'); s.send(b'A=b\\nREADY=1\\n'); "
               "time.sleep(1000)")
    services.add("web", [sys.executable, "-S", "-c", program],
                 ready=("notify",))
    services.start("web")
    assert services.wait_ready("web", PATIENCE)


def test_a_socket_that_cannot_be_is_refused(tmp_path):
    deep = tmp_path / ("x" * 90)
    with Services(deep) as services:
        with pytest.raises(xlchild.InvalidArgumentError, match="ready"):
            services.add("web", ["true"], ready=("notify",))
        with pytest.raises(xlchild.InvalidArgumentError, match="ready"):
            services.add("web", ["true"], ready=("notify",), user=12345)


# ---- loops -----------------------------------------------------------------

def test_quit_from_a_signal_handler_and_a_thread(services):
    services.add("web", ["sleep", "1000"])
    services.start("web")
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: services.quit())
    try:
        services.run_forever(lambda event: event.kind == "ready" and
                             os.kill(os.getpid(), signal.SIGUSR1))
        thread = threading.Thread(target=services.quit)
        thread.start()
        services.run_forever(heard.append)
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == []


def test_asyncio_hears_and_goes_on(services, tmp_path):
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    services.add("web", ["sh", "-c", "read x <%s; exit 3" % fifo],
                 restart="never")

    async def main():
        services.start("web")
        found = []
        async for event in services.stream():
            found.append(event.kind)
            if event.kind == "ready":
                loop = asyncio.get_running_loop()
                loop.call_later(0.001, lambda: open(fifo, "w").close())
            if event.kind == "ended":
                services.quit()
        return found
    assert asyncio.run(main()) == ["started", "ready", "ended"]


def test_b3_b10_what_was_not_heard_is_told_again(services):
    """B3 B10 By run_forever() when on_event raises, stream() when it is left."""
    services.add("job", ["true"], restart="never")
    services.start("job")
    os.waitid(os.P_PID, services.status("job").pid, os.WEXITED | os.WNOWAIT)
    heard = []

    def raising(event):
        heard.append(event.kind)
        if len(heard) == 2:
            raise Interrupted
        if event.kind == "ended":
            services.quit()
    with pytest.raises(Interrupted):
        services.run_forever(raising)
    services.run_forever(raising)
    assert heard == ["started", "ready", "ready", "ended"]

    async def first():
        stream = services.stream()
        async for event in stream:
            break
        await stream.aclose()
        return event.kind
    services.start("job")
    os.waitid(os.P_PID, services.status("job").pid, os.WEXITED | os.WNOWAIT)
    seen = [asyncio.run(first())]
    while seen[-1] != "ended":
        assert len(seen) < 9
        seen.append(asyncio.run(first()))
    assert seen == ["started", "ready", "ended"]
    assert services.poll() == []


class Interrupted(Exception):
    pass


def test_the_keeper_s_socket_is_the_user_s(services, tmp_path):
    mode = os.stat(tmp_path / "state" / "keeper").st_mode
    assert mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
        made.connect(str(tmp_path / "state" / "keeper"))
        made.send(b"nonsense")
    services.add("web", ["sleep", "1000"])
    services.start("web")
    assert services.kept_by == "keeper"
