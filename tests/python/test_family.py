"""Families (F1 to F4): held before the child is, asked, ended by policy.

tests/c/family.c has what the library promises; here is what Python adds.
"""
import gc
import os
import signal
import threading

import pytest
from conftest import HELPERS

import xlchild

LEAVES = ["sh", "-c", "sleep 1000 & :"]
FAILS = ["sh", "-c", "sleep 1000 & exit 3"]
STAYS = ["sh", "-c", "sleep 1000 & wait"]


def families(ctx, **options):
    """One for each hold that is to be had here: the group always is."""
    for hold in "group", "keeper", "cgroup":
        try:
            family = ctx.family(holds=[hold], **options)
        except xlchild.UnavailableError as error:
            assert hold != "group" and "holds" in str(error)
            continue
        assert family.hold == hold
        assert (family.cgroup is None) == (hold != "cgroup")
        yield family


def cgroups():
    """The directories of this process's families."""
    with xlchild.Context() as ctx, ctx.family() as family:
        if family.cgroup is None:
            return []
        parent, own = os.path.split(family.cgroup)
        mark = own.rpartition("-")[0] + "-"
        return [name for name in os.listdir(parent)
                if name.startswith(mark) and name != own]


@pytest.fixture(autouse=True)
def no_cgroup_is_left():
    """What a test has made is gone when it is over."""
    yield
    assert cgroups() == []


def opened():
    return len(os.listdir("/proc/self/fd"))


# ---- F1: made before its child, and outliving it ---------------------------

def test_F1_a_family_is_there_before_its_child_and_after_it(ctx):
    for family in families(ctx):
        with family:
            assert family.empty and family.pid is None
            assert "not started" in repr(family)
            child = ctx.spawn(LEAVES, family=family)
            assert child.wait().exitcode == 0
            assert family.pid == child.pid and not family.empty
            assert "alive" in repr(family)
            assert family.cgroup is None or os.path.isdir(family.cgroup)
            assert family.end() and family.ending
            assert family.wait(30) is True
            assert family.empty and "empty" in repr(family)
            assert family.cgroup is None or not os.path.exists(family.cgroup)
        assert "closed" in repr(family)


def test_F1_the_best_hold_is_taken_and_why_says_why_there_is_no_better(ctx):
    with ctx.family() as family, ctx.family(holds="group") as group:
        assert (family.hold == "cgroup") == (family.why is None)
        assert group.hold == "group" and group.why


@pytest.mark.parametrize("argument, options", [
    ("when", {"when": "sometimes"}), ("when", {"when": 3}),
    ("first_signal", {"first_signal": 65}),
    ("first_signal", {"first_signal": -1}), ("grace", {"grace": -1}),
    ("grace", {"grace": None}), ("holds", {"holds": ["rope"]}),
    ("holds", {"holds": []}), ("holds", {"holds": "none"}),
    ("cgroup_parent", {"cgroup_parent": "relative"}),
    ("cgroup_parent", {"cgroup_parent": "a\0b"})])
def test_F1_a_wrong_argument_is_named_and_nothing_is_made(ctx, argument,
                                                          options):
    before = opened()
    with pytest.raises(ValueError, match=argument):
        ctx.family(**options)
    assert opened() == before


def test_F1_no_hold_is_an_error_that_names_holds(ctx, caplog):
    with pytest.raises(xlchild.UnavailableError, match="holds"):
        ctx.family(holds=["cgroup"], cgroup_parent="/proc")
    assert caplog.records


@pytest.mark.parametrize("start", [
    lambda ctx, family: ctx.spawn(["true"], family=family),
    lambda ctx, family: ctx.run(["true"], family=family),
    lambda ctx, family: ctx.start(["true"], family=family)])
def test_F1_one_family_a_start(ctx, start):
    with ctx.family() as family:
        ctx.spawn(["true"], family=family).wait()
        with pytest.raises(xlchild.InvalidArgumentError,
                           match="family .*no child yet") as raised:
            start(ctx, family)
        assert raised.value.argument == "family"


def test_F1_of_a_batch_one_gets_it(ctx):
    with ctx.family() as family:
        first, second = ctx.spawn_many([["true"], ["true"]], event=False,
                                       family=family)
        assert first.wait().success
        assert second.argument == "family"


def test_F1_a_closed_one_and_another_context_s_are_refused(ctx):
    family = ctx.family()
    with xlchild.Context() as other, other.family() as stranger:
        with pytest.raises(ValueError, match="family: .*another Context"):
            ctx.spawn(["true"], family=stranger)
    family.close()
    family.close()
    with pytest.raises(xlchild.InvalidArgumentError, match="family"):
        ctx.spawn(["true"], family=family)
    for use in (family.wait, lambda: family.empty, lambda: family.hold):
        with pytest.raises(xlchild.NotFoundError):
            use()
    assert family.signal(15) is family.end() is False
    for wrong in "always", 7:
        with pytest.raises(TypeError, match="family: a Family is needed"):
            ctx.spawn(["true"], family=wrong)


def test_F1_it_is_started_anew_after_a_start_that_failed(ctx):
    with ctx.family("always") as family:
        with pytest.raises(xlchild.SpawnError):
            ctx.spawn(["/nonexistent"], family=family)
        assert family.empty
        assert ctx.spawn(["true"], family=family).wait().success
        assert family.wait(30)


# ---- F2: asked, waited for, signalled, ended -------------------------------

def test_F2_everybody_is_signalled_and_the_wait_is_timed(ctx):
    for family in families(ctx):
        with family:
            child = ctx.spawn(STAYS, family=family)
            assert family.wait(0) is family.wait(0.01) is False
            assert family.signal(0) and family.signal(signal.SIGTERM)
            assert child.wait().signal == signal.SIGTERM
            assert family.wait(30) is True
            assert family.signal(signal.SIGTERM) is False


def test_F2_sigkill_comes_after_the_grace(ctx):
    for family in families(ctx):
        with family:
            ctx.spawn(["sh", "-c", "trap '' TERM; sleep 1000 & :"],
                      family=family).wait()
            assert family.end(signal.SIGTERM, grace=0.01)
            assert family.wait(30)
            for wrong in ({"first_signal": 99}, {"grace": -1}):
                with pytest.raises(xlchild.InvalidArgumentError,
                                   match=list(wrong)[0]):
                    family.end(**wrong)
            for wrong in 99, -1:
                with pytest.raises(ValueError):
                    family.signal(wrong)


def test_F2_any_number_of_threads_wait(ctx):
    with ctx.family() as family:
        ctx.spawn(LEAVES, family=family).wait()
        told = []
        threads = [threading.Thread(target=lambda: told.append(
            family.wait(60))) for _ in range(3)]
        for thread in threads:
            thread.start()
        family.end()
        for thread in threads:
            thread.join()
        assert told == [True] * 3


def test_F2_a_handler_that_raises_ends_the_wait_and_nothing_leaks(ctx):
    def handler(*_):
        raise KeyError("handler")

    ctx.run(["true"])
    before = opened()
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        for family in families(ctx):
            inner, outer = os.pipe()
            child = ctx.spawn(["sh", "-c", "read x; kill -USR1 %d; "
                               "exec sleep 1000" % os.getpid()], stdin=inner,
                              family=family)
            os.close(inner)
            with pytest.raises(KeyError, match="handler"):
                with family:
                    os.close(outer)  # it goes on
                    family.wait()
            assert "closed" in repr(family)
            assert child.kill()
            assert child.wait().signal == signal.SIGKILL
            del child
            if family.cgroup is not None:  # left to who lived in it
                os.rmdir(family.cgroup)
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert opened() == before


# ---- F4: the keeper --------------------------------------------------------

def kept(ctx, **options):
    try:
        return ctx.family(holds="keeper", **options)
    except xlchild.UnavailableError as error:
        pytest.skip("no keeper here: %s" % error)


def test_F4_a_keeper_s_child_is_not_this_process_s(ctx, capfd):
    with kept(ctx) as family:
        inner, outer = os.pipe()
        child = ctx.spawn(["sh", "-c", "echo $PPID; read x; exit 7"],
                          stdin=inner, family=family)
        os.close(inner)
        assert family.hold == "keeper" and family.pid == child.pid
        with pytest.raises(ChildProcessError):
            os.waitpid(child.pid, os.WNOHANG)
        os.close(outer)
        assert child.wait().exitcode == 7
        assert family.wait(30)
    assert int(capfd.readouterr().out) not in (os.getpid(), child.pid)


def test_F4_daemons_stay_and_go_with_it(ctx):
    daemon = ["sh", "-c", "setsid sh -c 'sleep 1000 & sleep 1000' & exit 3"]
    with kept(ctx, when="failure") as family:
        assert ctx.run(daemon, family=family).returncode == 3
        assert family.wait(30) and family.ending


@pytest.mark.parametrize("options", [
    {}, {"new_session": True}, {"umask": 0o77, "nice": 5}])
def test_F4_of_all_that_is_inherited_the_parent_alone_differs(ctx, tmp_path,
                                                              options):
    def told(family):
        facts = tmp_path / "facts"
        facts.write_text("")
        with family:
            child = ctx.spawn([str(HELPERS / "witness"), str(facts)],
                              family=family, **options)
            assert child.wait().exitcode == 0
        return dict(line.split(" ", 1) for line in
                    facts.read_text().splitlines() if " " in line)
    mine = told(ctx.family(holds="group"))
    theirs = told(kept(ctx))
    assert mine.pop("parent") == str(os.getpid()) != theirs.pop("parent")
    assert mine == theirs and len(mine) > 50


def test_F4_a_keeper_is_not_taken_unless_it_is_named(ctx):
    with ctx.family() as family:
        assert family.hold != "keeper"
    with kept(ctx) as family, pytest.raises(ValueError, match="family"):
        xlchild.Popen(["true"], family=family)


# ---- F3: the policy --------------------------------------------------------

@pytest.mark.parametrize("when, argv, ends", [
    ("never", FAILS, False), ("timeout", FAILS, False),
    ("failure", LEAVES, False), ("failure", FAILS, True),
    ("always", LEAVES, True)])
def test_F3_a_policy_says_when_it_ends(ctx, when, argv, ends):
    for family in families(ctx, when=when):
        with family:
            ctx.spawn(argv, family=family).wait()
            assert family.ending is ends
            if not ends:
                assert family.wait(0) is False
                family.end()
            assert family.wait(30)


def test_F3_a_timeout_of_run_takes_it_along(ctx):
    for family in families(ctx, when="timeout"):
        with family:
            with pytest.raises(xlchild.TimeoutExpired):
                ctx.run(STAYS, timeout=0.1, family=family)
            assert family.wait(30)


@pytest.mark.parametrize("run", [
    lambda *args, **options: xlchild.run(*args, **options),
    lambda *args, **options: xlchild.default_context().run(*args, **options)])
def test_F3_run_with_a_policy_s_name_leaves_nobody(run):
    end, out = os.pipe()
    try:
        assert run(LEAVES, family="always", stdout=out).returncode == 0
        os.close(out)
        out = -1
        assert os.read(end, 1) == b""  # nobody has it open
        with pytest.raises(xlchild.InvalidArgumentError, match="when"):
            run(["true"], family="now and then")
        with pytest.raises(xlchild.CalledProcessError):
            run(FAILS, family="failure", check=True)
        with pytest.raises(xlchild.TimeoutExpired):
            run(STAYS, family="timeout", timeout=0.05)
    finally:
        os.close(end)
        if out >= 0:
            os.close(out)


def test_F3_an_operation_has_one(ctx):
    with ctx.family("always") as family:
        ctx.start(LEAVES, family=family)
        assert ctx.wait_event(30).completed.returncode == 0
        assert family.wait(30)


# ---- the object ------------------------------------------------------------

def test_F1_one_that_is_forgotten_costs_nothing(ctx, recwarn):
    ctx.run(["true"])
    before = opened()
    for family in families(ctx):
        ctx.spawn(["true"], family=family).wait()
        assert family.wait(30)
        del family
    for family in families(ctx):
        del family
    gc.collect()
    assert opened() == before and not recwarn.list


def test_F3_one_that_is_forgotten_alive_warns_and_keeps_its_policy(ctx):
    inner, outer = os.pipe()
    end, out = os.pipe()
    with pytest.warns(ResourceWarning, match="family was not closed"):
        child = ctx.spawn(["sh", "-c", "sleep 1000 & read x"], stdin=inner,
                          stdout=out,
                          family=ctx.family("always", holds="group"))
        gc.collect()
    assert len(ctx._families) == 1
    for fd in inner, out, outer:  # it goes on
        os.close(fd)
    assert child.wait().exitcode == 1
    assert os.read(end, 1) == b""  # its relative is gone as well
    os.close(end)
    while ctx._families:  # let go of when another one is made
        ctx.family().close()


def test_F1_a_child_that_forked_does_not_touch_it(ctx):
    with ctx.family() as family:
        child = ctx.spawn(STAYS, family=family)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                family.close()
                del family
                gc.collect()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert not family.empty and family.end()
        assert family.wait(30) and child.wait().signal == signal.SIGKILL
