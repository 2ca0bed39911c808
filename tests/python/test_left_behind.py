"""Who is left of a child's group or cgroup when it has ended (C27)."""
import gc
import os
import signal

import pytest

import xlchild
from xlchild import KillScope

LEAVES = ["sh", "-c", "sleep 1000 & :"]


def opened():
    return len(os.listdir("/proc/self/fd"))


class Family:
    """A child whose standard output its relatives hold, too."""

    def __init__(self, start, argv=LEAVES, **options):
        self.end, out = os.pipe()
        try:
            self.child = start(argv, stdout=out, **options)
        finally:
            os.close(out)

    def all_gone(self):
        assert os.read(self.end, 1) == b""
        os.close(self.end)


def one(ctx):
    return ctx.spawn


def of_many(ctx):
    return lambda argv, **options: ctx.spawn_many(
        [argv], event=False, **options)[0]


@pytest.mark.parametrize("start", [one, of_many])
@pytest.mark.parametrize("leads", [
    {"new_group": True}, {"new_session": True}, {"process_group": 0}])
def test_a_group_is_reached_after_its_leader_s_end(start, leads):
    with xlchild.Context() as ctx:
        family = Family(start(ctx), **leads)
        child = family.child
        assert child.wait().exitcode == 0
        assert not child.kill()  # itself, it has ended
        assert child.kill(0, scope=KillScope.GROUP)
        assert child.kill(scope=KillScope.GROUP)
        family.all_gone()
        assert child.wait().exitcode == 0


def test_it_is_terminated_with_a_grace():
    with xlchild.Context() as ctx:
        family = Family(ctx.spawn, ["sh", "-c",
                                    "trap '' TERM; sleep 1000 & :"],
                        new_group=True)
        assert family.child.wait().exitcode == 0
        assert family.child.terminate(grace=0.01, scope=KillScope.GROUP)
        while family.child.kill(0, scope=KillScope.GROUP):
            ctx.events(0.01)  # the grace passes while it is pumped
        family.all_gone()


def test_nobody_is_left():
    with xlchild.Context() as ctx:
        child = ctx.spawn(["true"], new_group=True)
        child.wait()
        assert not child.kill(scope=KillScope.GROUP)
        with pytest.raises(xlchild.NotFoundError):
            child.send_signal(signal.SIGTERM, scope=KillScope.GROUP)
        assert not child.terminate(grace=1, scope=KillScope.GROUP)


def test_after_detach_nobody_is_reached():
    with xlchild.Context() as ctx:
        family = Family(ctx.spawn, new_group=True)
        child = family.child
        child.wait()
        assert child.kill(scope=KillScope.GROUP)
        family.all_gone()
        child.detach()
        assert not child.kill(scope=KillScope.GROUP)
        assert child.wait().exitcode == 0


def test_the_object_is_all_that_it_costs(recwarn):
    with xlchild.Context() as ctx:
        ctx.run(["true"])
        before = opened()
        children = [ctx.spawn(["true"], new_group=True) for _ in range(20)]
        for child in children:
            child.wait()
        del child
        children.clear()
        gc.collect()
        ctx.run(["true"])
        assert opened() == before
        assert ctx.child_count == 0
    assert not recwarn.list


def test_a_child_without_a_group_costs_nothing():
    with xlchild.Context() as ctx:
        ctx.run(["true"])
        before = opened()
        children = [ctx.spawn(["true"]) for _ in range(20)]
        for child in children:
            child.wait()
        assert opened() == before
        assert not children[0].kill(scope=KillScope.GROUP)
