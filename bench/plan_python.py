"""The Python table. Used by run.py; see model.py for the words."""

import sys

from model import Cell, Column, Plan, Row, Table, Target

PROGRAM = "bench/python/peer.py"
COMMANDS = "bench/python/commands.py"
FLOOR = "build/bench/vfork"  # what nobody's Popen can do without
COLUMN = Column("0", "wall time")

ROWS = [
    Row("posix_spawn", PROGRAM, "os.posix_spawn + waitpid, 16 at a time"),
    Row("popen", PROGRAM, "subprocess.Popen().wait(), serial"),
    Row("floor", FLOOR, "bare vfork + waitpid in C, serial",
        ("--concurrency", "1")),
    Row("asyncio-pidfd", PROGRAM, "asyncio, PidfdChildWatcher"),
    Row("asyncio-threads", PROGRAM, "asyncio, ThreadedChildWatcher"),
    Row("uvloop", PROGRAM, "uvloop"),
    Row("xlchild", PROGRAM, "xlchild: Context.spawn + events"),
    Row("xlchild-batch", PROGRAM, "xlchild: spawn_many, 2 starter threads"),
    Row("xlchild-popen", PROGRAM, "xlchild.Popen().wait(), serial"),
    Row("xlchild-aio", PROGRAM, "xlchild.aio on asyncio"),
    Row("xlchild-aio-uvloop", PROGRAM, "xlchild.aio on uvloop"),
    Row("xargs", COMMANDS, "xargs -P16 -n1, whole process"),
    Row("parallel", COMMANDS, "GNU parallel -j16, whole process"),
    Row("xlchild-command", COMMANDS, "python -m xlchild -j16"),
    Row("xlchild-ungrouped", COMMANDS, "python -m xlchild -j16 --ungroup"),
]
CALLBACK = Row("xlchild-callback", PROGRAM, "one callback into a closure")


def cell(row, rounds, sizes, figures):
    program = (row.program,) if row.program == FLOOR else (
        sys.executable, "-B", row.program, "--peer", row.key)
    command = (*program, *row.args, "--child", "build/bench/child", *sizes)
    return Cell(f"{row.key}/{COLUMN.key}", row.program, command, rounds,
                figures)


def ratio(text, above, below, bound):
    return Target(text, (f"{above}/0", "us_per_child"),
                  (f"{below}/0", "us_per_child"), False, bound)


TARGETS = [
    ratio("os.posix_spawn + waitpid ÷ Context.spawn + events", "posix_spawn",
          "xlchild", 1.4),
    ratio("the same ÷ the batch call, 2 starters", "posix_spawn",
          "xlchild-batch", 2.5),
    ratio("subprocess.Popen().wait() ÷ xlchild.Popen().wait()", "popen",
          "xlchild-popen", 1.25),
    ratio("asyncio (pidfd) ÷ xlchild.aio, same loop", "asyncio-pidfd",
          "xlchild-aio", 1.3),
    ratio("uvloop's own ÷ xlchild.aio on uvloop", "uvloop",
          "xlchild-aio-uvloop", 6),
    ratio("xargs -P16 -n1 ÷ python -m xlchild", "xargs", "xlchild-command",
          2),
    ratio("the same ÷ python -m xlchild --ungroup", "xargs",
          "xlchild-ungrouped", 2),
    ratio("GNU parallel -j16 ÷ python -m xlchild", "parallel",
          "xlchild-command", 20),
    Target("one callback into a Python closure, µs",
           ("xlchild-callback/0", "callback_us"), None, True, 2),
]


def make(rounds, quick):
    sizes = (("--children", "40") if quick else
             ("--children", "5000", "--for-ms", "500"))
    cells = [cell(row, rounds, sizes, ("us_per_child",)) for row in ROWS]
    cells.append(cell(CALLBACK, rounds, (), ("callback_us",)))
    return Plan(cells, [Table("µs per child", "us_per_child", ROWS,
                              [COLUMN])],
                [("xlchild-callback/", ("callback_us",))], TARGETS)
