"""xlchild.aio: asyncio, and uvloop where it is installed."""
import array
import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading

import pytest
from conftest import CHILD, TINY, children, fds, sigchld

import xlchild
from xlchild import _popen, aio


def loops():
    """The loops at hand."""
    found = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        return found
    uvloop.new_event_loop().close()  # libuv keeps a pipe a process
    return found + [pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.fixture(params=loops())
def play(request):
    """Runs a coroutine on a loop of its own."""
    loop = request.param()

    def run(coroutine):
        return loop.run_until_complete(asyncio.wait_for(coroutine, 100))

    yield run
    loop.close()
    aio._sweep()


def test_statuses_and_streams(play):
    async def main():
        async def one(code):
            p = await aio.create_subprocess_exec(
                CHILD, "cat", "say-err", "e", "exit", str(code), stdin=-1,
                stdout=-1, stderr=-1)
            out, err = await p.communicate(b"%d" % code)
            assert (out, err) == (b"%d" % code, b"e\n")
            assert p.returncode == await p.wait()
            return p.returncode
        return await asyncio.gather(*map(one, range(50)))

    before = sigchld()
    assert play(main()) == list(range(50))
    assert sigchld()[0][:8] == before[0][:8]


def test_signals_and_shell(play):
    async def main():
        p = await aio.create_subprocess_exec(CHILD, "ready", "1", "pause",
                                             stdout=-1)
        assert await p.stdout.read(1)
        p.terminate()
        assert await p.wait() == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            p.send_signal(signal.SIGTERM)
        p = await aio.create_subprocess_shell("exit 9")
        assert await p.wait() == 9
        with pytest.raises(FileNotFoundError):
            await aio.create_subprocess_exec("/nonexistent")

    play(main())


def test_wait_does_not_wait_for_a_grandchild_that_holds_the_pipe(play):
    inner, outer = os.pipe()

    async def main():
        p = await aio.create_subprocess_exec(
            CHILD, "grandchild", str(inner), stdout=-1, pass_fds=[inner])
        assert await p.wait() == 0
        os.close(outer)  # now the grandchild ends, and the pipe too
        assert await p.stdout.read() == b""

    play(main())
    os.close(inner)


def test_run(play):
    async def main():
        done = await aio.run([CHILD, "cat"], input=b"abc",
                             capture_output=True)
        assert (done.stdout, done.returncode) == (b"abc", 0)
        assert done.status.success
        with pytest.raises(subprocess.TimeoutExpired):
            await aio.run([CHILD, "pause"], timeout=0.1)
        with pytest.raises(subprocess.CalledProcessError):
            await aio.run([CHILD, "exit", "1"], check=True)
        assert (await aio.run("exit 5", shell=True)).returncode == 5

    play(main())


def test_cancelled_run_ends_its_child(play):
    inner, outer = os.pipe()

    async def main():
        task = asyncio.ensure_future(aio.run(
            [CHILD, "ready", str(outer), "pause"], pass_fds=[outer]))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, os.read, inner, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await loop.shutdown_default_executor()

    play(main())
    os.close(inner)
    os.close(outer)


def test_loops_in_several_threads():
    wrong = []

    def work(n):
        async def main():
            for turn in range(20):
                code = (n * 20 + turn) % 256
                done = await aio.run([CHILD, "exit", str(code)])
                if done.returncode != code:
                    wrong.append(code)
        asyncio.run(main())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    aio._sweep()
    assert wrong == []


def test_beside_the_loops_own_children(play):
    async def main():
        async def theirs(code):
            p = await asyncio.create_subprocess_exec(CHILD, "exit",
                                                     str(code))
            return await p.wait()

        async def ours(code):
            return (await aio.run([CHILD, "exit", str(code)])).returncode

        found = await asyncio.gather(*[f(n) for n in range(30)
                                       for f in (ours, theirs)])
        assert found == [n for n in range(30) for _ in range(2)]

    play(main())


@pytest.mark.own_process
@pytest.mark.skipif(not hasattr(asyncio, "AbstractChildWatcher"),
                    reason="this Python has no child watchers")
def test_child_watcher():
    program = """
import asyncio, sys
from xlchild import aio
aio.install_child_watcher()
async def main():
    async def one(n):
        p = await asyncio.create_subprocess_exec(
            sys.argv[1], "exit", str(n), stdout=-1)
        await p.communicate()
        return p.returncode
    return await asyncio.gather(*map(one, range(40)))
print(asyncio.run(main()) == list(range(40)))
"""
    done = subprocess.run([sys.executable, "-c", program, CHILD],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout == "True\n"


def test_tiny_ones_in_a_row(play):
    async def main():
        for _ in range(30):
            p = await aio.create_subprocess_exec(TINY)
            assert await p.wait() == 0

    play(main())


# ---- what Context.run has --------------------------------------------------

def test_run_has_the_options_of_the_context(play):
    seen = []

    async def main():
        done = await aio.run(["cat"], input="h\u00e9\r\n", text=True,
                             capture_output=True)
        assert done.stdout == "h\u00e9\n"
        done = await aio.run(["echo", "0123456789"], capture_output=True,
                             capture_limit=4)
        assert (done.stdout, done.dropped) == (b"0123", (7, 0))
        await aio.run(["sh", "-c", "echo a; echo b >&2"],
                      on_output=lambda *what: seen.append(what))
        done = await aio.run(["sh", "-c", "ulimit -n; umask"],
                             rlimits=[(resource.RLIMIT_NOFILE, 33, 33)],
                             umask=0o27, capture_output=True)
        assert done.stdout == b"33\n0027\n"
        done = await aio.run(["sh", "-c", "echo $$; cut -d ' ' -f5 /proc/$$/stat"],
                             new_group=True, capture_output=True)
        assert len(set(done.stdout.split())) == 1
        for name in "new_session", "start_new_session":
            done = await aio.run(["sh", "-c", "echo $$; cut -d ' ' -f6 /proc/$$/stat"],
                                 capture_output=True, **{name: True})
            assert len(set(done.stdout.split())) == 1
        with pytest.raises(TypeError, match="cwdd"):
            await aio.run(["true"], cwdd="/")

    play(main())
    assert {(1, b"a\n"), (2, b"b\n"), (1, b""), (2, b"")} == set(seen)


def test_run_ends_by_the_kill_policy(play):
    policy = xlchild.KillPolicy(signal.SIGTERM, 60, xlchild.KillScope.GROUP)
    script = "trap 'kill $!; echo tidy; exit' TERM; echo on; sleep 1000 & wait"

    async def main():
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            await aio.run(["sh", "-c", script], timeout=0.3, kill=policy,
                          new_group=True, capture_output=True, text=True)
        assert caught.value.stdout.split() == ["on", "tidy"]

    play(main())


def test_what_on_output_raises_comes_out(play):
    class Enough(Exception):
        pass

    def stop(stream, data):
        raise Enough

    async def main():
        with pytest.raises(Enough):
            await aio.run(["sh", "-c", "echo x; exec sleep 1000"],
                          on_output=stop)

    play(main())


def test_timeout_expired_has_the_output_so_far(play):
    async def main():
        for text, out in (None, b"h\xc3\xa9"), (True, "h\u00e9"):
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                await aio.run(["sh", "-c", "printf 'h\\303\\251'; "
                               "exec sleep 1000"], capture_output=True,
                              timeout=0.3, text=text)
            assert caught.value.stdout == out

    play(main())


@pytest.mark.parametrize("shape", ["array", "view", "2d", "stride"])
def test_input_of_any_items(play, shape):
    items = array.array("d", range(44100))
    given = {"array": items, "view": memoryview(items),
             "2d": memoryview(items.tobytes()).cast("B", (44100, 8)),
             "stride": memoryview(items)[::2]}[shape]
    wanted = memoryview(given).tobytes()

    async def main():
        done = await aio.run(["cat"], input=given, capture_output=True)
        assert done.stdout == wanted
        p = await aio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert (await p.communicate(given))[0] == wanted

    play(main())
    done = xlchild.run(["cat"], input=given, stdout=subprocess.PIPE)
    assert done.stdout == wanted
    with xlchild.Context() as ctx:
        done = ctx.run(["cat"], input=given, capture_output=True)
        assert done.stdout == wanted


def test_input_that_nobody_reads(play):
    async def main():
        for code in range(40):
            done = await aio.run([CHILD, "exit", str(code)],
                                 input=b"x" * 200000)
            assert done.returncode == code

    play(main())


# ---- however it ends, nothing is left ---------------------------------------

HOLDER = "sh -c 'sleep 0.5; exec cat >/dev/null' & wait"


@pytest.mark.parametrize("given", [None, b"x" * 300000],
                         ids=["none", "input"])
@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_a_grandchild_that_holds_the_pipes_keeps_nothing_open(play, how,
                                                              given):
    living = children()

    async def main():
        await aio.run(["cat"], input=b"x", capture_output=True, timeout=9)
        before = fds()
        run = aio.run(["sh", "-c", HOLDER], input=given, stdin=None if given
                      else subprocess.DEVNULL, capture_output=True,
                      timeout=0.2 if how == "timeout" else None)
        task = asyncio.ensure_future(run)
        await asyncio.sleep(0.1)
        if how == "cancel":
            task.cancel()
        with pytest.raises((subprocess.TimeoutExpired,
                            asyncio.CancelledError)):
            await task
        assert set(fds().items()) ^ set(before.items()) == set()

    play(main())
    assert children() == living


async def _one_run():
    done = await aio.run(["cat"], input=b"abc", capture_output=True)
    assert done.stdout == b"abc"


async def _one_forked_run():
    done = await aio.run(["cat"], input=b"abc", capture_output=True,
                         preexec_fn=int)
    assert done.stdout == b"abc"


async def _one_process():
    p = await aio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    try:
        assert (await p.communicate(b"abc"))[0] == b"abc"
        assert await p.wait() == 0
    finally:
        await p._transport.end()


@pytest.mark.parametrize("work", [_one_run, _one_forked_run, _one_process])
def test_cancelled_at_every_await(play, work):
    living = children()

    async def main():
        await work()  # what the hub opens once
        await asyncio.sleep(0.01)
        tasks = asyncio.all_tasks()
        for steps in range(1000):
            before = fds()
            task = asyncio.ensure_future(work())
            for _ in range(steps):
                await asyncio.sleep(0)
                if task.done():
                    break
            task.cancel()
            try:
                await task
                break
            except asyncio.CancelledError:
                pass
            assert children() == living, steps
            for _ in range(3):  # transports close a turn later
                await asyncio.sleep(0)
            assert set(fds().items()) ^ set(before.items()) == set(), steps
        assert steps > 3
        assert asyncio.all_tasks() == tasks

    play(main())


def _alone(program, *options, limit=None, timeout=60):
    """Run a program of its own; what it wrote to stdout and stderr."""
    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    done = subprocess.run(
        [sys.executable, *options, "-c", program, CHILD], timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=limited if limit else None)
    return done.stdout, done.stderr


CLOSED = """
import asyncio, gc, os, sys, time
from xlchild import aio
async def main():
    return await aio.create_subprocess_exec(
        "sleep", "1000", stdin=-1, stdout=-1, stderr=-1)
p = asyncio.run(main())
pid = p.pid
print(p.returncode, os.path.exists("/proc/%d" % pid))
if "kept" in sys.argv:
    p.terminate()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            p.kill()
        except ProcessLookupError:
            break
    print(p.returncode)
del p
gc.collect()
until = time.monotonic() + 20
while os.path.exists("/proc/%d" % pid) and time.monotonic() < until:
    time.sleep(0.01)
print(os.path.exists("/proc/%d" % pid))
"""


@pytest.mark.own_process
@pytest.mark.parametrize("kept", ["", "kept"])
def test_a_loop_that_closes_before_its_child_ends(kept):
    out, err = _alone(CLOSED.replace('"kept" in sys.argv', str(bool(kept))))
    lines = out.split("\n")
    assert lines[0] == "None True"
    if kept:
        assert lines[1] in ("-15", "-9")
    assert lines[-2] == "False"
    assert err == ""


@pytest.mark.own_process
def test_a_run_that_its_loop_leaves_behind():
    out, err = _alone("""
import asyncio, os, time
from xlchild import aio
def once():
    loop = asyncio.new_event_loop()
    task = loop.create_task(aio.run(["sleep", "1000"]))
    loop.call_later(0.2, loop.stop)
    loop.run_forever()
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        pid, = file.read().split()
    task._log_destroy_pending = False
    loop.close()
    until = time.monotonic() + 20
    while os.path.exists("/proc/" + pid) and time.monotonic() < until:
        time.sleep(0.01)
    print(os.path.exists("/proc/" + pid))
once()
before = os.listdir("/proc/self/fd")
once()
print(set(os.listdir("/proc/self/fd")) - set(before))
""")
    assert (out, err) == ("False\nFalse\nset()\n", "")


@pytest.mark.own_process
def test_a_thousand_loops_and_no_collector():
    out, err = _alone("""
import asyncio, gc, os
from xlchild import aio
gc.disable()
most = 0
async def one():
    p = await aio.create_subprocess_exec("true", stdout=-1)
    await p.communicate()
    return (await aio.run(["true"])).returncode
for n in range(1000):
    assert asyncio.run(one()) == 0
    most = max(most, len(os.listdir("/proc/self/fd")))
print(most)
""", limit=64)
    assert err == ""
    assert int(out) < 12


INTERRUPTED = """
import asyncio, os, signal, sys, threading, xlchild
from xlchild import aio
os.setpgid(0, 0)
inner, outer = os.pipe()
command = ["sh", "-c", "trap 'sleep 0.05; kill $!; echo tidy; exit 3' INT; "
           "echo >&%d; sleep 1000 & wait; wait" % outer]
def ctrl_c():
    os.read(inner, 1)
    os.killpg(0, signal.SIGINT)
threading.Thread(target=ctrl_c).start()
try:
    if "aio" in MODE:
        asyncio.run(aio.run(command, pass_fds=[outer]))
    else:
        with xlchild.Context() as ctx:
            ctx.run(command, pass_fds=[outer])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.own_process
@pytest.mark.parametrize("mode", ["aio", "context"])
def test_time_to_tidy_up_at_a_ctrl_c(mode):
    out, err = _alone(INTERRUPTED.replace("MODE", repr(mode)))
    assert out == "tidy\ninterrupted\n", err


# ---- asyncio's own ways -----------------------------------------------------

@pytest.mark.parametrize("known", [True, False])
def test_children_that_subprocess_starts(play, monkeypatch, known):
    """preexec_fn, and Pythons whose Popen is not known here."""
    monkeypatch.setattr(_popen, "KNOWN", known)

    async def main():
        options = {"preexec_fn": int} if known else {}
        for code in range(20):
            p = await aio.create_subprocess_exec(CHILD, "exit", str(code),
                                                 **options)
            assert await p.wait() == code
        p = await aio.create_subprocess_exec("sleep", "1000", **options)
        p.terminate()
        assert await p.wait() == -15
        done = await aio.run(["cat"], input=b"abc", capture_output=True,
                             **options)
        assert (done.returncode, done.stdout) == (0, b"abc")
        with pytest.raises(subprocess.TimeoutExpired):
            await aio.run(["sleep", "1000"], timeout=0.05, **options)

    play(main())


def test_protocols(play):
    class Seen(asyncio.SubprocessProtocol):
        def __init__(self):
            self.calls = []
            self.over = asyncio.get_running_loop().create_future()

        def pipe_data_received(self, fd, data):
            self.calls.append((fd, data))

        def pipe_connection_lost(self, fd, error):
            self.calls.append(fd)

        def process_exited(self):
            self.calls.append("exited")

        def connection_lost(self, error):
            self.over.set_result(error)

    async def main():
        script = "cat; echo b >&2; exit 5"
        for start in (lambda: aio.subprocess_exec(Seen, "sh", "-c", script),
                      lambda: aio.subprocess_shell(Seen, script)):
            transport, seen = await start()
            transport.get_pipe_transport(0).write(b"a")
            transport.get_pipe_transport(0).close()
            assert await seen.over is None
            assert transport.get_returncode() == 5
            assert sorted(map(str, seen.calls)) == sorted(map(str, [
                (1, b"a"), (2, b"b\n"), 0, 1, 2, "exited"]))
            transport.close()

    play(main())


def test_lines_of_any_length_and_little_memory(play):
    async def main():
        p = await aio.create_subprocess_exec(
            "sh", "-c", "head -c 500000 /dev/zero; echo; head -c 3000000 "
            "/dev/zero", stdout=-1, limit=None)
        assert await p.stdout.readline() == bytes(500000) + b"\n"
        await asyncio.sleep(0.1)
        assert len(p.stdout._buffer) < 400000  # the writer waits
        assert len(await p.stdout.read()) == 3000000
        assert await p.wait() == 0

    play(main())


@pytest.mark.own_process
def test_debug_mode_is_quiet():
    out, err = _alone("""
import asyncio
from xlchild import aio
async def main():
    p = await aio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"x"))
    try:
        await aio.run(["sleep", "1000"], timeout=0.1)
    except Exception as error:
        print(type(error).__name__)
    p = await aio.create_subprocess_exec("sleep", "1000", stdin=-1)
    p.kill()
    await p.wait()
asyncio.run(main(), debug=True)
""", "-X", "dev", "-W", "error")
    assert out == "(b'x', None)\nTimeoutExpired\n"
    assert err == ""
