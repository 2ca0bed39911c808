"""The OCaml table. Used by run.py; see model.py for the words."""

from model import Cell, Column, Plan, Row, Table, Target

PROGRAMS = "build/bench/ocaml/"
COLUMNS = (Column("0", "no heap to speak of"),
           Column("heap2048", "2 GiB heap", ("--heap", "2048")))

LATE = ("late_p50_ms", "late_p99_ms", "late_max_ms")
ROWS = [
    Row("unix", "unix_peer", "Unix.create_process + waitpid"),
    Row("lwt", "lwt_peer", "Lwt_process.exec"),
    Row("xlchild", "ours_peer", "Xlchild.start + events"),
    Row("batch", "ours_peer", "Xlchild.start_many, 2 starter threads",
        ("--batch", "64")),
    Row("xlchild-lwt", "ours_lwt_peer", "Xlchild_lwt.exec"),
]


def cell(row, column, rounds, sizes, figures):
    path = PROGRAMS + row.program
    return Cell(f"{row.key}/{column.key}", path,
                (path, *row.args, *column.args, *sizes), rounds, figures)


def ratio(text, above, below, at_most, bound):
    return Target(text, (above, "us_per_child"), (below, "us_per_child"),
                  at_most, bound)


GROUP_ROWS = []  # no table beside the one of rates is on the page
TARGETS = [
    ratio("Unix.create_process + waitpid ÷ Xlchild.start + events", "unix/0",
          "xlchild/0", False, 1.2),
    ratio("Lwt_process.exec ÷ Xlchild_lwt.exec", "lwt/0", "xlchild-lwt/0",
          False, 1.8),
    ratio("ours with a heap of 2 GiB ÷ with none", "xlchild/heap2048",
          "xlchild/0", True, 1.15),
    Target("one callback into an OCaml closure, µs",
           ("callback/0", "callback_us"), None, True, 0.3),
    Target("the latest that another thread wakes while 1,000 start, ms",
           ("stall-xlchild/0", "late_max_ms"), None, True, 5),
]


def make(rounds, quick):
    sizes = (("--children", "40", "--heap", "16") if quick else
             ("--children", "5000", "--for-ms", "500"))
    cells = [cell(row, column, rounds, sizes, ("us_per_child",))
             for row in ROWS for column in COLUMNS]
    callback = Row("callback", "ours_peer", "", ("--callback",))
    cells.append(cell(callback, COLUMNS[0], rounds, (), ("callback_us",)))
    few = ("--children", "40" if quick else "1000")
    for row in (Row("stall-unix", "unix_peer", "", ("--stall",)),
                Row("stall-xlchild", "ours_peer", "", ("--stall",))):
        cells.append(cell(row, COLUMNS[0], rounds, few, LATE))
    return Plan(cells, [Table("µs per child", "us_per_child", ROWS, COLUMNS)],
                [("callback/", ("callback_us",)), ("stall-", LATE)], TARGETS)
