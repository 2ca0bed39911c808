"""xlchild.pool: what starts when, what becomes of it, where output goes."""
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from conftest import CHILD, TINY

from xlchild import Context, KillPolicy, KillScope, SigchldOwner, SpawnError
from xlchild.pool import Halt, Pool, Result, _spool, run_many


def codes(results):
    """The returncodes, in the order of the results."""
    return [r.returncode for r in results]


def command(*verbs):
    """The helper with verbs."""
    return [CHILD] + [str(v) for v in verbs]


def script(text, *arguments):
    """A shell command."""
    return ["sh", "-c", text, "sh"] + [str(a) for a in arguments]


def test_map_keeps_order_and_as_completed_reports_each_once():
    jobs = [command("say", n, "exit", n) for n in range(100)]
    with Pool(8, starters=2) as pool:
        done = list(pool.map(jobs))
        assert codes(done) == list(range(100))
        assert [r.stdout for r in done] == [b"%d\n" % n for n in range(100)]
        assert [r.index for r in done] == list(range(100))
        free = list(pool.as_completed(jobs))
    assert sorted(codes(free)) == list(range(100))


def test_never_more_than_jobs_at_a_time():
    with Pool(3) as pool:
        most = 0
        for _ in pool.as_completed(command("exit", 0) for _ in range(30)):
            most = max(most, pool.running)
        assert 0 < most <= 3


def test_map_starts_nothing_beyond_its_window():
    """While the first runs, no more than window others are started."""
    taken = []
    inner, outer = os.pipe()

    def jobs():
        for n in range(40):
            taken.append(n)
            yield command("cat") if n == 0 else [TINY]

    with Pool(2, capture=False, stdin=inner) as pool:
        seen = []

        def look():
            while len(taken) < 8:
                time.sleep(0.001)
            os.close(outer)

        thread = threading.Thread(target=look)
        thread.start()
        for result in pool.map(jobs(), window=8):
            if result.index == 0:
                seen.append(len(taken))
        thread.join()
    os.close(inner)
    assert seen[0] <= 9 and len(taken) == 40


def test_a_start_that_fails_is_a_result():
    done = run_many([["/nonexistent"], [TINY], ["a\0b"], [], 7], starters=2)
    assert isinstance(done[0].error, FileNotFoundError)
    assert isinstance(done[0].error, SpawnError)
    assert done[0].error.stage == "exec"
    assert done[0].returncode is None and not done[0].success
    assert done[1].success
    assert isinstance(done[2].error, ValueError)
    assert done[3].error is not None and done[3].status is None
    assert isinstance(done[4].error, TypeError)


@pytest.mark.parametrize("argument", [
    {"jobs": 0}, {"attempts": 0}, {"timeout": -1}, {"backoff": -0.5},
    {"delay": -1}, {"capture_limit": -1}, {"total_timeout": -2},
    {"starters": -1}, {"halt": "sometimes"}])
def test_bad_arguments_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        Pool(**argument)


def test_bad_kinds_of_arguments(tmp_path):
    with pytest.raises(TypeError, match="on_output"):
        Pool(on_output=3)
    with pytest.raises(TypeError, match="executor"):
        Pool(executor=3)
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(ValueError, match="stdin"):
            Pool(executor=threads, stdin=0)
        with pytest.raises(ValueError, match="on_output"):
            Pool(executor=threads, on_output=print)
        with pytest.raises(ValueError, match="childproc_exited_callback"):
            Pool(executor=threads, childproc_exited_callback=print)
    with pytest.raises(TypeError, match="'colour'"):
        Pool(colour="red")


@pytest.mark.own_process
def test_c1_a_pool_that_owns_sigchld():
    """The program's own child is reaped by the pool, which tells of it."""
    told = []

    def exited(pid, status):
        told.append((pid, status.returncode))
        return True

    def until_told():
        for _ in range(10000):
            if told:
                return
            yield [TINY]

    before = signal.getsignal(signal.SIGCHLD)
    with Pool(2, owner=SigchldOwner.LIBXL,
              childproc_exited_callback=exited) as pool:
        own = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], {})
        assert all(r.success for r in pool.as_completed(until_told()))
    assert told == [(own, 9)]
    assert signal.getsignal(signal.SIGCHLD) == before


def test_input_and_timeout():
    done = run_many([(command("cat"), b"hello"), command("pause")],
                    timeout=0.5)
    assert done[0].stdout == b"hello" and not done[0].timed_out
    assert done[1].timed_out and done[1].returncode == -signal.SIGTERM
    large = os.urandom(3_000_000)
    assert run_many([(command("cat"), large)])[0].stdout == large


def test_a_timeout_that_the_command_survives_is_a_failure():
    """SIGTERM is ignored: SIGKILL comes; or answered with exit 0: late."""
    deaf = script("trap '' TERM; echo on; while :; do sleep 0.05; done")
    polite = script("trap 'exit 0' TERM; while :; do sleep 0.01; done")
    done = run_many([deaf, polite], timeout=0.3,
                    kill=KillPolicy(signal.SIGTERM, 0.1, KillScope.GROUP),
                    new_group=True)
    assert done[0].returncode == -signal.SIGKILL and done[0].timed_out
    assert done[0].stdout == b"on\n"
    assert done[1].timed_out and not done[1].success
    assert done[1].returncode == 0


def test_total_timeout():
    with Pool(2, total_timeout=0.2) as pool:
        done = list(pool.as_completed([command("pause")] * 10))
        assert pool.out_of_time
    assert len(done) == 2 and all(r.cancelled for r in done)


def test_attempts(tmp_path):
    flag = tmp_path / "flag"
    text = 'echo said; test -e "$1" && exit 0; touch "$1"; exit 1'
    with Pool(2, attempts=3, backoff=0.001) as pool:
        done = list(pool.map([script(text, flag), command("exit", 3)]))
    assert (done[0].success, done[0].attempts) == (True, 2)
    assert done[0].stdout == b"said\n"  # of the last attempt only
    assert (done[1].returncode, done[1].attempts) == (3, 3)


def test_attempts_wait_twice_as_long_each_time():
    with Pool(1, attempts=4, backoff=0.02) as pool:
        begun = time.monotonic()
        assert next(pool.as_completed([command("exit", 1)])).attempts == 4
        assert time.monotonic() - begun >= 0.02 + 0.04 + 0.08


def test_delay_between_starts():
    with Pool(8, delay=0.02) as pool:
        done = sorted(r.started for r in pool.map([[TINY]] * 4))
    assert all(b - a > 0.01 for a, b in zip(done, done[1:]))


def test_fail_fast_ends_the_others():
    with Pool(2, fail_fast=True) as pool:
        done = list(pool.as_completed([command("pause"),
                                       command("exit", 1)]
                                      + [command("pause")] * 5))
    assert 2 <= len(done) <= 3
    assert done[0].returncode == 1
    assert all(r.cancelled and r.status is not None for r in done[1:])


def test_halt_soon_lets_the_others_finish():
    inner, outer = os.pipe()
    with Pool(2, halt="soon,success=1", stdin=inner) as pool:
        done = []
        for result in pool.as_completed([command("cat"), [TINY], [TINY]]):
            done.append(result)
            if outer is not None:
                os.close(outer)
                outer = None
    os.close(inner)
    assert codes(done) == [0, 0] and not any(r.cancelled for r in done)
    assert {r.index for r in done} == {0, 1}


def test_halt_is_read_as_gnu_parallel_does():
    halt = Halt("now,fail=50%")
    assert [halt.after(ok) for ok in (False, False, True)] \
        == [None, None, "now"]
    for text in ("", "now", "now,fail", "now,fail=", "later,fail=1",
                 "now,fail=0", "now,fail=x", "now,lost=1", "now,fail=-1%"):
        with pytest.raises(ValueError, match="halt must be"):
            Halt(text)


def test_leaving_in_the_middle_ends_what_runs():
    with Pool(4) as pool:
        results = pool.as_completed([command("exit", 0)]
                                    + [command("pause")] * 3)
        assert next(results).success
        assert pool.running == 3
        results.close()
    assert pool.running == 0


def test_cancel_from_another_thread():
    with Pool(2) as pool:
        threading.Timer(0.05, pool.cancel).start()
        done = list(pool.as_completed([command("pause")] * 5))
    assert len(done) == 2 and all(r.cancelled for r in done)


def test_cancel_ends_the_wait_for_another_attempt():
    with Pool(1, attempts=5, backoff=1000) as pool:
        threading.Timer(0.05, pool.cancel).start()
        done = list(pool.as_completed([command("exit", 1)]))
    assert [r.cancelled for r in done] == [True] and done[0].attempts == 1


def test_starters_outlive_the_thread_that_called():
    """A child that is to die with the thread that started it."""
    with Context() as ctx:
        ctx.set_starters(1)
        inner, outer = os.pipe()
        started = []
        thread = threading.Thread(target=lambda: started.extend(
            ctx.spawn_many([command("cat")] * 3, event=False, stdin=inner,
                           pdeathsig=signal.SIGKILL)))
        thread.start()
        thread.join()
        os.close(inner)
        os.close(outer)
        assert [p.wait().returncode for p in started] == [0, 0, 0]


# ---- output ---------------------------------------------------------------


def test_output_is_kept_to_the_limit():
    done = run_many([script("printf 12345678; printf abcdefgh >&2")],
                    capture_limit=5)[0]
    assert (done.stdout, done.stderr) == (b"12345", b"abcde")
    done = run_many([script("seq 100000")])[0]
    assert done.stdout == b"".join(b"%d\n" % n for n in range(1, 100001))


def test_output_of_what_is_left_behind_goes_nowhere_else():
    """A background process holds stdout: its file is not used again."""
    inner, outer = os.pipe()
    late = script("(read line; echo late) <&9 & echo early")
    with Pool(1, fds={9: inner}) as pool:
        first = next(pool.as_completed([late]))
        assert first.stdout == b"early\n"
        os.write(outer, b"go\n")
        others = list(pool.as_completed([script("sleep 0.02; echo x")] * 5))
    os.close(outer)
    os.close(inner)
    assert [r.stdout for r in others] == [b"x\n"] * 5


def test_files_are_used_again_and_bounded(tmp_path):
    spool = _spool.Spool(str(tmp_path))
    out, err = spool.take(None)
    for file in (out, err):
        file.close()
    again, other = spool.take(None)
    assert {again, other} == {out, err}
    writer = again.writer()
    os.write(writer, b"abc")
    assert again.finish(2, keep_large=True) is None
    assert again.finish(2) == b"ab"  # somebody still writes
    third, fourth = spool.take(None)
    assert again not in (third, fourth)
    os.close(writer)
    writer = third.writer()
    os.write(writer, b"y" * (1 << 20))
    os.close(writer)
    for file in (other, third, fourth):
        file.close()
    assert third not in spool.idle  # worn out
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_shared_for_a_moment_is_asked_again(tmp_path):
    """As by a child that is just being started: no new file is made, and
    what was written meanwhile is nobody's output."""
    spool = _spool.Spool(str(tmp_path))
    first, second = spool.take(None)
    writer = first.writer()
    for file in (first, second):
        file.close()
    assert spool.idle == [second]
    os.write(writer, b"late")
    third, fourth = spool.take(None)  # it is still shared
    assert third is second and fourth is not first
    os.close(writer)
    fifth, sixth = spool.take(None)
    assert fifth is first and sixth not in (second, fourth)
    writer = fifth.writer()
    os.write(writer, b"new")
    os.close(writer)
    assert fifth.finish() == b"new"
    # worn out while somebody had it: not used again
    writer = sixth.writer()
    sixth.close()
    os.write(writer, bytes(1 << 20))
    os.close(writer)
    spool.idle.clear()
    assert sixth not in spool.take(None)
    spool.close()


def test_shared_files_are_bounded_and_spared(tmp_path):
    spool = _spool.Spool(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    writers = []
    for _ in range(50):  # a hundred files, each in a daemon's hands
        for file in spool.take(None):
            writers.append(file.writer())
            file.close()
    held = len(os.listdir("/proc/self/fd")) - before - len(writers)
    assert held <= 66
    spool.spare()
    assert len(os.listdir("/proc/self/fd")) - before - len(writers) <= 1
    for fd in writers:
        os.close(fd)
    spool.close()


def test_large_output_stays_in_its_file(tmp_path):
    with Pool(1, spool=_spool.Spool(str(tmp_path))) as pool:
        for result in pool.as_completed([script("seq 100000; echo e >&2")]):
            assert result.stdout is None and result.stderr == b"e\n"
            assert result.files[1] is None
            text = b"".join(result.files[0].pieces())
            _spool.close(result.files)
    assert text.endswith(b"\n99999\n100000\n") and len(text) == 588895


def test_no_place_for_output_is_said_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        _spool.Spool(str(tmp_path / "none"))


def test_output_as_it_comes():
    got = {}
    order = []

    def on_output(result, stream, data):
        assert isinstance(result, Result)
        got[result.index, stream] = got.get((result.index, stream), b"") \
            + data
        order.append(result.index)

    with Pool(4, on_output=on_output) as pool:
        done = list(pool.map([script("echo $1; echo $1 >&2; seq 50000", n)
                              for n in range(3)]
                             + [(command("cat"), b"in")]))
    assert codes(done) == [0] * 4
    numbers = b"".join(b"%d\n" % n for n in range(1, 50001))
    for n in range(3):
        assert got[n, 1] == b"%d\n" % n + numbers
        assert got[n, 2] == b"%d\n" % n
    assert got[3, 1] == b"in"


def test_an_exception_of_on_output_comes_out():
    def on_output(result, stream, data):
        raise ValueError("no")

    with Pool(2, on_output=on_output) as pool:
        with pytest.raises(ValueError, match="no"):
            list(pool.map([command("say", "x")] * 3))


def test_an_exception_of_on_output_while_the_pool_closes(tmp_path):
    """It comes out of close(), which has ended and closed everything."""
    os.mkfifo(tmp_path / "go")
    go = os.open(tmp_path / "go", os.O_RDWR)
    inner, outer = os.pipe()
    heard = []

    def on_output(result, stream, data):
        heard.append(data)
        if data != b"ready\n":
            raise ValueError("no")
        if len(heard) == 2:
            os.write(go, b"\n")

    pool = Pool(3, on_output=on_output, stdin=inner)
    running = pool.as_completed(
        [script("trap '' TERM; echo ready; read x; echo $x")] * 2
        + [script("read x <$1", tmp_path / "go")])
    assert next(running).index == 2
    os.write(outer, b"a\nb\n")
    with pytest.raises(ValueError, match="no"):
        pool.close()
    assert len(heard) == 3 and pool.running == 0
    for fd in (go, inner, outer):
        os.close(fd)


def test_timeout_and_failures_with_output_as_it_comes():
    with Pool(2, on_output=lambda *_: None, timeout=0.2) as pool:
        done = list(pool.map([command("pause"), ["/nonexistent"]]))
    assert done[0].timed_out and done[0].returncode == -signal.SIGTERM
    assert done[1].error.stage == "exec"


# ---- a list that comes slowly ----------------------------------------------


class FromPipe:
    """Commands for the lines of a pipe, as xlchild.cli has them."""

    def __init__(self, fd):
        from xlchild.cli._sources import Lines
        self._lines = Lines(fd)
        self.ready, self.fileno = self._lines.ready, self._lines.fileno

    def __iter__(self):
        return self

    def __next__(self):
        return command("say", *next(self._lines))


def test_a_command_does_not_wait_for_the_next():
    inner, outer = os.pipe()
    with Pool(4) as pool:
        os.write(outer, b"1\n2")
        results = pool.as_completed(FromPipe(inner))
        assert next(results).stdout == b"1\n"
        os.write(outer, b"\n3\n")
        assert {next(results).stdout, next(results).stdout} \
            == {b"2\n", b"3\n"}
        os.close(outer)
        assert list(results) == []
    os.close(inner)


# ---- executors -------------------------------------------------------------


@pytest.mark.own_process
@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_executors(kind):
    jobs = [command("say", n, "exit", n % 7) for n in range(30)]
    jobs += [["/nonexistent"], (command("cat"), b"in")]
    with kind(2) as executor:
        with Pool(8, executor=executor, attempts=2, backoff=0) as pool:
            done = list(pool.map(jobs))
        with Pool(8, executor=executor, timeout=0.1) as pool:
            late = next(pool.map([command("pause")]))
        with Pool(1, executor=executor, timeout=0.1,
                  kill=(signal.SIGINT, 5)) as pool:
            gently = next(pool.map([command("pause")]))
    assert codes(done[:30]) == [n % 7 for n in range(30)]
    assert [r.stdout for r in done[:30]] == [b"%d\n" % n for n in range(30)]
    assert [r.attempts for r in done[:30]] \
        == [1 if n % 7 == 0 else 2 for n in range(30)]
    assert isinstance(done[30].error, FileNotFoundError)
    assert done[31].stdout == b"in"
    assert late.timed_out and late.returncode == -signal.SIGTERM
    assert gently.timed_out and gently.returncode == -signal.SIGINT
    assert {r.host for r in done} == {os.uname().nodename}


@pytest.mark.own_process
def test_a_broken_executor_loses_nothing():
    """Its worker is killed: every command is reported, once, with why."""
    with ProcessPoolExecutor(1) as executor, \
            Pool(3, executor=executor) as pool:
        killer = script('kill -9 "$PPID"; sleep 100')
        done = list(pool.as_completed([killer, [TINY], [TINY], [TINY]]))
    assert sorted(r.index for r in done) == [0, 1, 2, 3]
    assert all(r.error is not None and r.status is None for r in done)


@pytest.mark.own_process
def test_cancelling_an_executor():
    with ThreadPoolExecutor(1) as executor, \
            Pool(4, executor=executor, timeout=0.2, fail_fast=True) as pool:
        done = list(pool.as_completed([command("pause")] * 4))
    assert len(done) == 4
    assert [r.timed_out for r in done].count(True) >= 1
    assert all(r.timed_out or r.cancelled for r in done)


def test_a_closed_pool_refuses():
    pool = Pool(2)
    pool.close()
    for call in pool.map, pool.as_completed, pool.batches:
        with pytest.raises(ValueError, match="the Pool is closed"):
            list(call([["true"]]))
    pool.cancel()
    pool.close()


@pytest.mark.parametrize("pipes", [False, True])
def test_what_another_thread_has_cancelled_says_so(pipes):
    """However its end and the marking meet; and close() beside cancel()."""
    options = {"on_output": lambda *_: None} if pipes else {}
    for turn in range(12):
        results = []
        with Pool(64, **options) as pool:
            thread = threading.Timer(turn * 0.01, pool.cancel)
            thread.start()
            results += pool.as_completed(["sleep", "5"] for _ in range(500))
            second = threading.Thread(target=pool.cancel, args=(True,))
            second.start()
        thread.join()
        second.join()
        assert [r for r in results if not r.cancelled] == []


def test_a_string_is_no_command():
    done, = run_many(["echo hi"])
    assert "['sh', '-c', command]" in str(done.error)
