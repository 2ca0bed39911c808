"""The Python table. Used by run.py; see model.py for the words."""

import sys

from model import Cell, Column, Plan, Row, Table, Target

PROGRAM = "bench/python/peer.py"
COMMANDS = "bench/python/commands.py"
HELD = "bench/python/held.py"
FLOOR = "build/bench/vfork"  # what nobody's Popen can do without
COLUMN = Column("0", "wall time")

ROWS = [
    Row("posix_spawn", PROGRAM, "os.posix_spawn + waitpid, 16 at a time"),
    Row("popen", PROGRAM, "subprocess.Popen().wait(), serial"),
    Row("floor", FLOOR, "bare vfork + waitpid in C, serial",
        ("--concurrency", "1")),
    Row("run", PROGRAM, "subprocess.run()"),
    Row("xlchild-run", PROGRAM, "xlchild.run()"),
    Row("run-captured", PROGRAM, "subprocess.run(), captured"),
    Row("xlchild-run-captured", PROGRAM, "xlchild.run(), captured"),
    Row("run-timeout", PROGRAM, "subprocess.run(timeout=60)"),
    Row("xlchild-run-timeout", PROGRAM, "xlchild.run(timeout=60)"),
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
HELD_ROWS = [
    Row("asyncio", HELD, "asyncio"),
    Row("xlchild-aio", HELD, "xlchild.aio"),
    Row("xlchild-spawn-async", HELD, "xlchild: Context.spawn_async"),
    Row("xlchild-trio", HELD, "xlchild.trio"),
]
LINES_ROWS = [row for row in ROWS if row.program == COMMANDS
              and row.key != "parallel"]
GROUP_ROWS = HELD_ROWS + LINES_ROWS  # those that have a table of their own
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


def run_ratio(kind, words, bound):
    return ratio(f"subprocess.run() ÷ xlchild.run(), {words}", kind,
                 f"xlchild-{kind}", bound)


def at_most(text, cell, figure, bound):
    return Target(text, (cell, figure), None, True, bound)


TARGETS = [
    ratio("os.posix_spawn + waitpid ÷ Context.spawn + events", "posix_spawn",
          "xlchild", 1.4),
    ratio("the same ÷ the batch call, 2 starters", "posix_spawn",
          "xlchild-batch", 2.5),
    ratio("subprocess.Popen().wait() ÷ xlchild.Popen().wait()", "popen",
          "xlchild-popen", 1.25),
    Target("xlchild.Popen().wait() ÷ bare vfork + waitpid in C",
           ("xlchild-popen/0", "us_per_child"), ("floor/0", "us_per_child"),
           True, 1.15),
    run_ratio("run", "plain", 1.15),
    run_ratio("run-captured", "captured", 1.2),
    run_ratio("run-timeout", "with a time-out", 2),
    ratio("asyncio (pidfd) ÷ xlchild.aio, same loop", "asyncio-pidfd",
          "xlchild-aio", 1.6),
    ratio("uvloop's own ÷ xlchild.aio on uvloop", "uvloop",
          "xlchild-aio-uvloop", 6),
    ratio("xargs -P16 -n1 ÷ python -m xlchild", "xargs", "xlchild-command",
          2.5),
    ratio("the same ÷ python -m xlchild --ungroup", "xargs",
          "xlchild-ungrouped", 2.5),
    ratio("GNU parallel -j16 ÷ python -m xlchild", "parallel",
          "xlchild-command", 20),
    ratio("the same ÷ python -m xlchild --ungroup", "parallel",
          "xlchild-ungrouped", 25),
    at_most("1,000,000 lines, python -m xlchild: memory, MB",
            "lines/xlchild-command", "peak_mb", 20),
    at_most("the same with --ungroup", "lines/xlchild-ungrouped", "peak_mb",
            20),
    at_most("one callback into a Python closure, µs", "xlchild-callback/0",
            "callback_us", 2),
    *(at_most(f"longest block of a loop, execve held 500 ms: {row.text}, ms",
              f"held/{row.key}", "block_ms", 1)
      for row in HELD_ROWS if row.key != "asyncio"),
]


def own_cells(prefix, rows, args, figure):
    """Rows that have a table of their own; twice is enough for them."""
    return [Cell(f"{prefix}/{row.key}", row.program,
                 (sys.executable, "-B", row.program, "--peer", row.key,
                  "--child", "build/bench/child", *args), 2, (figure,))
            for row in rows]


def make(rounds, quick):
    sizes = (("--children", "40") if quick else
             ("--children", "5000", "--for-ms", "500"))
    cells = [cell(row, rounds, sizes, ("us_per_child",)) for row in ROWS]
    cells.append(cell(CALLBACK, rounds, (), ("callback_us",)))
    cells += own_cells("held", HELD_ROWS,
                       ("--starts", "1", "--held-ms", "50") if quick else (),
                       "block_ms")
    cells += own_cells("lines", LINES_ROWS,
                       ("--lines", "2000" if quick else "1000000"), "peak_mb")
    return Plan(cells, [Table("µs per child", "us_per_child", ROWS,
                              [COLUMN])],
                [("xlchild-callback/", ("callback_us",)),
                 ("held/", ("block_ms",)), ("lines/", ("peak_mb",))],
                TARGETS)
