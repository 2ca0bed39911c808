"""A family for each command of a pool, and of the command line (F1 to F3)."""
import concurrent.futures
import errno
import os
import signal
import subprocess
import threading

import pytest
from clitools import PROGRAM, cli, out as printed
from conftest import CHILD, fds
from test_family import cgroups
from test_family_async import STRAY, WAYS, holds, left, mark  # noqa: F401

import xlchild
from xlchild.pool import Pool, run_many

KINDS = [{}, {"capture": False}, {"on_output": lambda *_: None},
         {"starters": 2}]
STUBBORN = ("trap '' TERM; (trap '' TERM; exec %s pause) & "
            "trap - TERM; exec %s pause" % (CHILD, CHILD))


@pytest.fixture(autouse=True)
def no_cgroup_is_left():
    yield
    assert cgroups() == []


def ways():
    """Those that a family here holds."""
    return WAYS if "cgroup" in holds() else WAYS[:2]


@pytest.mark.parametrize("options", KINDS)
def test_F3_every_command_leaves_nobody(options, mark):  # noqa: F811
    commands = [[STRAY, way, mark, code] for way in ways()
                for code in ("0", "3")]
    with Pool(3, family="always", account=True, **options) as pool:
        for result in pool.as_completed(commands):
            assert result.returncode == int(result.args[3])
            assert result.account.ended_by is xlchild.EndedBy.ITSELF
            assert pool.running < 3 or left(mark)
        assert left(mark) == []


def test_F3_on_failure_those_that_succeed_keep_theirs():
    inner, outer = os.pipe()
    end, out = os.pipe()
    try:
        done = run_many([["sh", "-c", "read x <&3 & exit %d" % code]
                         for code in (0, 1)], capture=False, stdout=out,
                        family="failure", fds={3: inner})
        os.close(out)
        out = -1
        assert [one.returncode for one in done] == [0, 1]
        os.set_blocking(end, False)
        with pytest.raises(BlockingIOError):  # the first has somebody left
            os.read(end, 1)
        os.set_blocking(end, True)
        os.close(outer)
        outer = -1
        assert os.read(end, 1) == b""
    finally:
        for fd in (end, out, inner, outer):
            if fd >= 0:
                os.close(fd)
    with xlchild.Context() as ctx, ctx.family() as family:
        for name in cgroups():  # left to who lived in it
            folder = os.path.join(os.path.dirname(family.cgroup), name)
            while True:
                try:
                    os.rmdir(folder)
                    break
                except OSError as error:  # it has closed its files first
                    assert error.errno == errno.EBUSY


@pytest.mark.parametrize("options", KINDS)
def test_F3_a_timeout_ends_all_after_the_grace(options):
    end, out = os.pipe()
    try:
        [done] = run_many([["sh", "-c", STUBBORN]], family="timeout",
                          timeout=0.1, kill=(15, 0.1, 0), pass_fds=[out],
                          **options)
        os.close(out)
        out = -1
        assert done.timed_out and os.read(end, 1) == b""
    finally:
        os.close(end)
        if out >= 0:
            os.close(out)


@pytest.mark.parametrize("options", KINDS)
def test_F3_a_pool_that_is_cancelled_leaves_nobody(options):
    end, out = os.pipe()
    with Pool(2, family="timeout", pass_fds=[out], kill=(15, 60.0, 0),
              **options) as pool:
        def cancel():
            while pool.running < 2:
                pass
            pool.cancel()
            pool.cancel(at_once=True)  # nor does it wait for the grace
        thread = threading.Thread(target=cancel)
        thread.start()
        results = list(pool.as_completed([["sh", "-c", STUBBORN]] * 2))
        thread.join()
    os.close(out)
    assert [one.cancelled for one in results] == [True, True]
    assert os.read(end, 1) == b""
    os.close(end)


@pytest.mark.parametrize("options", KINDS)
def test_F1_what_does_not_start_costs_nothing(options):
    run_many([["true"]], family="always", **options)
    before = fds()
    done = run_many([["/nonexistent"], ["true"], 7], family="always",
                    attempts=2, backoff=0, **options)
    assert done[0].error.stage == "exec" and done[1].returncode == 0
    assert done[2].status is None and done[2].error is not None
    assert fds() == before


@pytest.mark.parametrize("executor", [False, True])
def test_F1_what_is_wrong_is_said_at_once(executor):
    pool = concurrent.futures.ThreadPoolExecutor(1) if executor else None
    with xlchild.Context() as ctx, ctx.family() as family:
        with pytest.raises(TypeError, match="family: .*the name of a policy"):
            Pool(family=family, executor=pool)
    if not executor:
        with pytest.raises(xlchild.InvalidArgumentError, match="when"):
            Pool(family="now and then")
        assert Pool(family="never").close() is None
    else:
        pool.shutdown()


def test_F3_by_an_executor_too(mark):  # noqa: F811
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        with Pool(2, executor=executor, family="always",
                  account=True) as pool:
            done = list(pool.map([[STRAY, way, mark] for way in ways()]))
            assert [one.returncode for one in done] == [0] * len(done)
            assert done[0].account.ended_by is xlchild.EndedBy.ITSELF
            assert left(mark) == []
        with Pool(1, executor=executor, family="timeout",
                  timeout=0.1) as pool:
            [late] = pool.map([["sh", "-c", "%s pause & wait" % CHILD]])
            assert late.timed_out


@pytest.mark.parametrize("options", KINDS)
def test_F3_who_does_not_obey_is_waited_for_and_can_be_hurried(options):
    with Pool(1, family="always", kill=(15, 600.0, 0), **options) as pool:
        def hurry():
            families = pool._runner._families
            while not families._leaving:
                pass
            told.append(pool.running)
            pool.cancel(at_once=True)
        told = []
        thread = threading.Thread(target=hurry)
        thread.start()
        [done] = pool.as_completed([
            ["sh", "-c", "trap '' TERM; %s pause &" % CHILD]])
        thread.join()
    assert told == [1] and done.success and not done.cancelled


# ---- the command line --------------------------------------------------------

@pytest.mark.parametrize("style", ["--group", "-u", "--lb"])
def test_F3_the_command_line_leaves_nobody(style, mark):  # noqa: F811
    shell = ["", "nohup ", "setsid ", "setsid nohup "]
    if "cgroup" not in holds():
        shell = shell[:2]
    text = "".join("%s%s and %s 0 >/dev/null 2>&1 & echo %d\n"
                   % (before, STRAY, mark, n)
                   for n, before in enumerate(shell))
    done = cli("--family=always", "--shell", style, "-j3", text=text.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(done.stdout.split()) == [b"%d" % n
                                           for n in range(len(shell))]
    assert left(mark) == []
    assert printed("--family", "always", STRAY, "{}", mark, ":::",
                   *ways()) == b""
    assert left(mark) == []


def test_F3_the_command_line_s_policies(mark):  # noqa: F811
    stays = "%s pause & echo; " % CHILD
    end, write = os.pipe()
    for when, rest, code in (("on-failure", "exit 1", 1),
                             ("on-timeout", "wait", 1),
                             ("on-failure", "wait", 1)):
        done = cli("--family", when, "--timeout", "0.2", "--kill-after", "0.1",
                   "--shell", "-u", ":::", stays + rest, pass_fds=[write])
        assert (done.returncode, done.stdout) == (code, b"\n")
    os.close(write)
    assert os.read(end, 1) == b""  # nobody has it open
    os.close(end)


def test_F3_a_ctrl_c_leaves_nobody():
    end, write = os.pipe()
    process = subprocess.Popen(
        PROGRAM + ["--family=on-timeout", "--lb", "--shell", ":::",
                   "setsid %s pause & echo; wait" % CHILD
                   if "cgroup" in holds() else "%s pause & echo; wait" % CHILD],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[write],
        start_new_session=True)
    os.close(write)
    assert process.stdout.read(1) == b"\n"
    assert process.pid > 1
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert os.read(end, 1) == b""
    os.close(end)


def test_X5_the_command_line_says_what_is_wrong_and_shows_it():
    done = cli("--family=sometimes", "true", ":::", "a")
    assert done.returncode == 255 and done.stderr == (
        b"xlchild: --family: needs always, on-failure, on-timeout or never, "
        b"not 'sometimes'\n")
    done = cli("--tty", "--family=always", "true", ":::", "a")
    assert done.returncode == 255 and done.stderr == (
        b"xlchild: --tty and --family contradict each other\n")
    assert printed("--family=never", "echo", ":::", "a") == b"a\n"
    assert b"--family WHEN" in printed("--help")
    for shell in "bash", "zsh", "fish":
        assert b"family" in printed("--completion", shell)
