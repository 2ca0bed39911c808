"""An exception of a signal handler, in every step of a start in trio.

As test_interrupted_loops.py, in this package's frames: what trio makes of one
between two steps of its own is trio's. What is started by subprocess
(preexec_fn) is lost by it where it is interrupted.
"""
from subprocess import PIPE

import pytest
from conftest import CHILD, children
from raising import Raised
from test_interrupted_loops import NEVER_AWAITED, disturbed_by, swept

trio = pytest.importorskip("trio", reason="needs python3-trio")
xtrio = pytest.importorskip("xlchild.trio")

LONG = [CHILD, "pause"]


def trio_swept(make, judge, least):
    """swept() in runs of trio, each with a hub of its own."""
    living = set(children())

    async def main(make, number, step):
        disturbed = await disturbed_by(make, number, step)
        if disturbed.result is not None:
            with trio.fail_after(20):
                await judge(disturbed.result)
        hub = xtrio._hub_here()
        for _ in range(2000):
            if set(children()) == living and not (
                    hub.context.child_count or hub.waiting or hub.starting):
                break
            await trio.sleep(0.001)
        else:
            assert 0, (step, number, disturbed.fired, set(children()) - living)
        assert not hub.context.events(0), (step, number)
        return disturbed

    swept(make, lambda _: None,
          lambda *point: trio.run(main, *point), least)


async def killed(process):
    process.kill()
    assert await process.wait() == -9


@NEVER_AWAITED
@pytest.mark.parametrize("options", [
    {}, {"stdin": PIPE, "stdout": PIPE}], ids=["plain", "pipes"])
def test_B11_a_process_of_trio(options):
    """B11 It is the caller's, or nobody's and ended."""
    async def judge(process):
        await killed(process)
        await process.aclose()

    trio_swept(lambda: xtrio.open_process(LONG, **options), judge, 30)


def test_B11_a_command_that_nobody_looks_after(monkeypatch, clean):
    """B11 Where it comes between the start and the nursery."""
    def raising(*_):
        raise Raised
    monkeypatch.setattr(xtrio, "_looked_after", raising)

    async def main():
        with pytest.raises(Raised):
            await xtrio.run_process(LONG, capture_stdout=True)
        hub = xtrio._hub_here()
        with trio.fail_after(20):
            while hub.context.child_count or hub.waiting or hub.starting:
                await trio.sleep(0.001)

    trio.run(main)
    assert not clean()
