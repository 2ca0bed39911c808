"""Why a child died, and what it cost: account=True (C32, C33, C34)."""
import asyncio
import os
import pickle
import resource
import signal
import subprocess
import threading

import pytest

import xlchild
from xlchild import Account, EndedBy, aio

SLEEP = ["sleep", "1000"]


@pytest.fixture
def ctx():
    with xlchild.Context() as context:
        yield context


def test_an_exit_is_its_own_and_the_costs_are_told(ctx):
    """C32"""
    child = ctx.spawn(["sh", "-c", "exit 3"], account=True)
    assert child.wait() == 3
    account = child.account
    assert isinstance(account, Account)
    assert account.ended_by is EndedBy.ITSELF and account.perhaps is False
    assert account.sent_by is None and account.sent_signal is None
    assert account.core_dumped is False
    assert 0 < account.exec_seconds <= account.end_seconds < 600
    assert isinstance(account.rusage, resource.struct_rusage)
    assert account.rusage == child.status.rusage
    for name in ("memory_kills", "cpu_seconds", "memory_peak", "pids_peak",
                 "memory_stall_seconds", "cpu_stall_seconds",
                 "io_stall_seconds"):  # it has no cgroup of its own
        assert getattr(account, name) is None, name
    assert pickle.loads(pickle.dumps(account)) == account


def test_who_sent_the_signal_is_not_guessed(ctx):
    """C33: ours, somebody else's, its own, and one of ours in vain."""
    ours = ctx.spawn(SLEEP, account=True)
    assert ours.kill() and ours.wait() == -9
    assert ours.account.ended_by is EndedBy.KILL and not ours.account.perhaps
    assert ours.account.sent_by is EndedBy.KILL
    assert ours.account.sent_signal == signal.SIGKILL

    theirs = ctx.spawn(SLEEP, account=True)
    assert theirs.pid > 1
    subprocess.run(["sh", "-c", "kill -TERM %d" % theirs.pid], check=True)
    assert theirs.wait() == -15
    assert theirs.account.ended_by is EndedBy.OTHERS
    assert theirs.account.perhaps is False and not theirs.account.sent_signal

    # nobody could be asked whether SIGKILL was the memory killer's
    own = ctx.spawn(["sh", "-c", "kill -KILL $$"], account=True)
    assert own.wait() == -9
    assert own.account.ended_by is EndedBy.OTHERS and own.account.perhaps

    reader, writer = os.pipe()
    vain = ctx.spawn(["sh", "-c", "trap 'exit 7' USR1; echo; "
                      "while :; do sleep 0.01; done"], account=True,
                     stdout=writer)
    os.close(writer)
    assert os.read(reader, 1) == b"\n"
    os.close(reader)
    vain.send_signal(signal.SIGUSR1)
    assert vain.wait() == 7
    assert vain.account.ended_by is EndedBy.ITSELF
    assert vain.account.sent_by is EndedBy.KILL
    assert vain.account.sent_signal == signal.SIGUSR1


def test_a_time_out_and_an_abort_are_told(ctx):
    """C33, of operations; the exception has what the result would have."""
    for run in ctx.run, xlchild.run:
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            run(SLEEP, timeout=0.05, account=True)
        account = caught.value.account
        assert account.ended_by is EndedBy.TIMEOUT and not account.perhaps
        assert account.sent_by is EndedBy.TIMEOUT
    number = ctx.start(SLEEP, account=True)
    assert ctx.abort(number)
    account = ctx.wait_event().completed.account
    assert account.ended_by is EndedBy.ABORT and account.sent_signal == 9
    with pytest.raises(subprocess.CalledProcessError) as caught:
        xlchild.run(["false"], check=True, account=True)
    assert caught.value.account.ended_by is EndedBy.ITSELF
    assert xlchild.run(["true"], account=True).account.rusage.ru_maxrss > 0


def test_a_core_is_told(ctx, tmp_path):
    """C32: as the status has it, whether this machine writes cores or not."""
    unlimited = resource.getrlimit(resource.RLIMIT_CORE)[1]
    child = ctx.spawn(["sh", "-c", "kill -QUIT $$"], cwd=str(tmp_path),
                      rlimits=[("core", unlimited, unlimited)], account=True)
    status = child.wait()
    assert status == -signal.SIGQUIT
    assert child.account.core_dumped is status.core_dumped


def test_nobody_asked(ctx):
    """C32: not asked for, there is none; and asking in vain takes none."""
    child = ctx.spawn(["true"])
    assert child.wait() == 0 and child.account is None
    assert ctx.run(["true"]).account is None
    assert xlchild.run(["true"]).account is None
    number = ctx.start(["true"])
    event = ctx.wait_event()
    assert event.user == number and event.completed.account is None
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        ctx.run(SLEEP, timeout=0.01)
    assert not hasattr(caught.value, "account")
    cell = []
    assert not ctx._account(child.id, cell) and not cell
    with pytest.raises(TypeError):
        ctx._account(child.id)


@pytest.mark.parametrize("way", ["hold", "event", "callback", "many"])
def test_however_its_end_is_told(ctx, way):
    """C32: it is there with the report; for ever the same (C34)."""
    seen = []
    if way == "many":
        child, = ctx.spawn_many([(["true"], {"account": True})])
    else:
        options = {"event": {"event": True}, "callback": {
            "on_exit": lambda process, status: seen.append(process.account)}}
        child = ctx.spawn(["true"], account=True, **options.get(way, {}))
    assert child.account is None
    if way == "hold":
        child.wait()
    elif way == "callback":
        while not seen:
            ctx.events(0.05)
        assert seen == [child.account]
    else:
        event, = ctx.events(None)
        assert event.process is child
    account = child.account
    assert account.ended_by is EndedBy.ITSELF
    assert child.account is account
    ctx.close()
    assert child.account is account and child.wait() == 0


def test_it_survives_the_context_though_nobody_looked(ctx):
    """C34: taken with the end; one that ended unnoticed has none."""
    seen = ctx.spawn(["true"], account=True)
    popen = xlchild.Popen(["sh", "-c", "exit 4"], context=ctx, account=True)
    let_go = ctx.spawn(["true"], account=True)
    seen.wait()
    assert popen.account is None and popen.wait() == 4
    identity = let_go.id
    let_go.detach()
    assert let_go.account is None and not ctx._account(identity, [])
    ctx.close()
    assert seen.account.ended_by is EndedBy.ITSELF
    assert popen.account.ended_by is EndedBy.ITSELF
    assert popen.account is popen.account


def test_threads_that_wait_for_the_same_child_all_have_it(ctx):
    """C32, C34: the library has it once, and every thread gets it."""
    for _ in range(20):
        child = ctx.spawn(["sh", "-c", "kill -TERM $$"], account=True)
        found = []

        def look():
            child.wait()
            found.append(child.account)

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4 and len(set(map(repr, found))) == 1
        assert found[0].ended_by is EndedBy.OTHERS


def test_a_hook_that_raises_meanwhile_loses_nothing(ctx):
    """C32: the exception of a report's callback comes out of the wait; the
    account is there."""
    def on_exit(process, status):
        raise RuntimeError("the host's")

    other = ctx.spawn(["true"], on_exit=on_exit, account=True)
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    child = ctx.spawn(["true"], account=True)
    raised = 0
    while child.status is None or not raised:
        try:
            child.poll()
            ctx.events(0)
        except RuntimeError:
            raised += 1
    assert raised == 1
    for one in child, other:
        assert one.account.ended_by is EndedBy.ITSELF


def test_in_tasks():
    """C32, of aio.run() and spawn_async()."""
    async def main():
        done = await aio.run(["true"], account=True)
        assert done.account.ended_by is EndedBy.ITSELF
        assert (await aio.run(["true"])).account is None
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            await aio.run(SLEEP, timeout=0.05, account=True)
        assert caught.value.account.ended_by is EndedBy.TIMEOUT
        with xlchild.Context() as ctx:
            child = await ctx.spawn_async(["true"], account=True)
            child.wait()
            assert child.account.ended_by is EndedBy.ITSELF

    asyncio.run(main())


def test_each_of_a_pool_has_its_own():
    """C32, C34: a result's account is that of its command, where asked for."""
    from xlchild import pool
    commands = [["true"], ["sh", "-c", "kill -9 $$"], ["false"]]
    results = list(pool.run_many(commands, account=True))
    assert [r.account.ended_by for r in sorted(results, key=lambda r: r.index)] \
        == [EndedBy.ITSELF, EndedBy.OTHERS, EndedBy.ITSELF]
    assert len({id(r.account) for r in results}) == 3
    assert [r.account for r in pool.run_many(commands)] == [None] * 3
