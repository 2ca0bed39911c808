"""docs/loops: each program is idle when its 1,000 children have ended.

Run by `make check-loops`, under strace, which takes too long for every check;
that the programs work is test_docs.py's.
"""
import re

import pytest

from test_docs import BLOCKS, PYTHON, RUNNERS, installed, run

__all__ = ["installed"]

# Calls that may sleep, as strace prints them: not those with a time of 0.
WAITS = re.compile(r"^\d+ +(epoll_p?wait2?|p?poll|p?select6?)\(")
LOOKS = re.compile(r", 0(, NULL, \d+|, \{tv_sec=0, tv_nsec=0\}.*)?\)"
                   r"|\{tv_sec=0, tv_u?n?sec=0\}")
LOOPS = [b for b in BLOCKS if b.path.parts[:2] == ("docs", "loops")
         and b.reason is None and b.output is not None]


def test_every_loop_has_one_short_program():
    assert len({b.path for b in LOOPS}) == len(LOOPS) >= 11
    for block in LOOPS:
        lines = [line for line in block.body.splitlines() if line.strip()]
        assert len(lines) <= 44, f"{block}: {len(lines)} lines"


@pytest.mark.parametrize("block", LOOPS, ids=repr)
def test_a_loop_is_idle_when_its_children_have_ended(block, installed,
                                                     tmp_path):
    """1,000 children, and then half a second.

    It waits for that half second, once; what stops the loop, and a program's end,
    may wait, too. A library that looked every 50 ms would be seen.
    """
    trace = tmp_path / "trace"
    RUNNERS[block.language](block.body, installed, tmp_path)
    program = [str(tmp_path / "example")] if block.language != "python" \
        else [PYTHON, "-W", "ignore", str(tmp_path / "example.py")]
    calls = ("waitid,epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,select,"
             "pselect6")
    printed = run(["strace", "-f", "-qq", "--seccomp-bpf", "-o", str(trace),
                   "-e", f"trace={calls}", *program], installed, tmp_path)
    assert printed == block.output
    lines = trace.read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if "waitid(" in line)
    waits = [line for line in lines[last:]
             if WAITS.match(line) and not LOOKS.search(line)]
    assert 1 <= len(waits) <= 4, "\n".join(waits)
