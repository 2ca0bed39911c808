"""The C table: what is measured, and the ratios that are wanted.

Used by run.py; see model.py for the words.
"""

import plan_others
from model import Cell, Column, Plan, Row, Table, Target

PROGRAMS = "build/bench/"

OURS = "xlchild"

ROWS = [
    Row("vfork", "vfork", "bare loop: vfork + waitpid(-1)"),
    Row("fork", "fork", "bare loop: fork + waitpid(-1)"),
    Row("posix_spawn", "posix_spawn", "posix_spawn + waitpid(-1)"),
    Row("clone_pidfd", "clone_pidfd", "bare: clone(VM,VFORK,PIDFD) + epoll"),
    Row("clone_files", "clone_files", "bare: the same + FILES, close_range"),
    Row("libuv", "libuv", "libuv", (), "Debian's libuv1-dev"),
    Row("glib", "glib", "GLib", (), "Debian's libglib2.0-dev"),
    Row("libev", "libev", "libev (with fork)", (), "Debian's libev-dev"),
    Row("sdevent", "sdevent", "sd-event (with fork)", (),
        "Debian's libsystemd-dev"),
    Row(OURS, "xlchild", "xlchild, pidfd mode, events"),
    Row("callback", "xlchild", "xlchild, pidfd mode, callbacks in a loop",
        ("--report", "callback")),
    Row("libxl", "xlchild", "xlchild, RFC default mode", ("--mode", "libxl")),
    Row("selective", "xlchild", "xlchild, selective reap",
        ("--mode", "selective")),
    Row("mainloop", "xlchild", "xlchild, mainloop mode, statuses passed",
        ("--mode", "mainloop")),
    Row("occurred", "xlchild", "xlchild, mainloop mode, SIGCHLD passed",
        ("--mode", "mainloop-occurred")),
    Row("nowait", "xlchild", "xlchild, pidfd mode, starts not waited for",
        ("--nowait", "1")),
]
PEERS = ROWS[:9]
EVERY_ROW = ROWS[:9] + plan_others.NEWER_ROWS + ROWS[9:]

COLUMNS = [
    Column("0", "0 live"),
    Column("live1000", "1,000 live", ("--live", "1000")),
    Column("live10000", "10,000 live", ("--live", "10000")),
    Column("map512", "512 MiB", ("--map", "512")),
    Column("map2048", "2 GiB", ("--map", "2048")),
    Column("fds1000", "1,000 fds", ("--fds", "1000")),
    Column("fds10000", "10,000 fds", ("--fds", "10000")),
]

BATCHES = [
    Row("batch0", "xlchild", "xlchild, batch of 64, no starter thread",
        ("--batch", "64", "--concurrency", "128")),
    Row("batch1", "xlchild", "xlchild, batch of 64, 1 starter thread",
        ("--batch", "64", "--concurrency", "128", "--starters", "1")),
    Row("batch2", "xlchild", "xlchild, batch of 64, 2 starter threads",
        ("--batch", "64", "--concurrency", "128", "--starters", "2")),
    Row("bare2", "clone_files", "bare clone + FILES loop on 2 threads",
        ("--starters", "2", "--children", "1600")),  # knows no --for-ms
]

# Each child with one, which has to be empty before it is freed.
FAMILIES = [
    Row("account", "xlchild", "xlchild, an account of each child",
        ("--account", "1")),
    Row("family-group", "xlchild", "xlchild, a family each, by its group",
        ("--mode", "family-group")),
    Row("family-keeper", "xlchild", "xlchild, a family each, by a keeper",
        ("--mode", "family-keeper")),
    Row("family-cgroup", "xlchild", "xlchild, a family each, by its own cgroup",
        ("--mode", "family-cgroup")),
]

# Who starts how fast, against our single starts; the children are alone.
STARTERS = [row for row in EVERY_ROW if row.key not in (
    "callback", "selective", "mainloop", "occurred")] + BATCHES + \
    plan_others.RUNTIME_ROWS

ABLATIONS = [
    Row("without-nothing", "xlchild", "nothing refused (filter loaded)",
        ("--without", "nothing")),
    Row("without-shared-files", "xlchild", "no shared fd table",
        ("--without", "shared-files")),
    Row("without-close-range", "xlchild", "no close_range at all",
        ("--without", "close-range")),
    Row("without-pidfd", "xlchild", "no pidfds", ("--without", "pidfd")),
    Row("without-vfork", "xlchild", "no vfork-style start",
        ("--without", "vfork")),
]
ABLATION_COLUMNS = ("0", "live1000", "map512", "fds10000")

RATE = ("us_per_child", "cpu_us")
LATENCY = ("latency_us_median", "latency_us_p999")
BURST = ("burst_us_per_report", "drain_us_per_report") + LATENCY
MEMORY = ("heap_bytes_per_child", "resident_bytes_per_child")

# The cells that a target divides are run in every round, interleaved; the
# others, there for the tables and plots, once. Either way a figure has at
# least five values: a cell that is run less often is measured in more slices,
# for what takes long is making the parent as it is asked for.
IN_EVERY_ROUND = {
    "vfork/0", "libuv/0", "glib/0", "libev/0", "sdevent/0", "xlchild/0",
    "posix_spawn/0", "clone_files/0", "xlchild/live1000", "libxl/live1000",
    "xlchild/fds10000", "nowait/0", "batch0/0", "batch2/0", "bare2/0",
    "libuv13/0", "glib13/0", "sdevent13/0", "account/0", "family-group/0",
    "family-keeper/0", "family-cgroup/0",
}
SLICES = 5
# A target divides these, too, but they take long: run in two rounds.
TWICE = {"xlchild/live10000", "vfork/live10000", "xlchild/map2048"}

# Cells that are ready at once are run in more and shorter turns, for the same
# time: what else the machine does then hits them alike.
TURNS = 3

# Left out of the slow cells, for they would only repeat what a neighbour of
# theirs shows: how they start or wait is the same.
REPEATS = {"posix_spawn": "vfork", "fork": "libev", "clone_pidfd": "vfork",
           "callback": OURS, "selective": "libxl", "occurred": "mainloop"}
SLOW_COLUMNS = ("live10000", "map512", "map2048", "fds10000")
NOT_AT_2_GIB = ("libev", "sdevent")  # as fork
# They take half a minute to have 10,000 children: see their 1,000.
NOT_AT_10000 = ("glib", "sdevent")


def wanted(row, column):
    if row.key in plan_others.NEWER_COLUMNS:
        return column.key in plan_others.NEWER_COLUMNS[row.key]
    if column.key == "map2048" and row.key in NOT_AT_2_GIB:
        return False
    if column.key == "live10000" and row.key in NOT_AT_10000:
        return False
    if column.key in ("map512", "map2048") and row.key in ("fork",
                                                           "posix_spawn"):
        return True
    return column.key not in SLOW_COLUMNS or row.key not in REPEATS


def cell(key, row, args, rounds, figures):
    path = row.program if "/" in row.program else PROGRAMS + row.program
    # those of another release have a loader, which is what /proc calls them
    child = ("--child", PROGRAMS + "child") if path != PROGRAMS + row.program \
        else ()
    return Cell(key, path, (path, *args, *child), rounds, figures,
                f"{row.text}: {row.needs}" if row.needs else "")


def rate_cell(row, column, rounds, sizes):
    key = f"{row.key}/{column.key}"
    for_ms, slices = sizes["for_ms"], 1
    if key not in IN_EVERY_ROUND:
        rounds, slices = min(rounds, 2 if key in TWICE else 1), SLICES
        for_ms = sizes["slice_ms"]
    elif column.key == "0":
        rounds *= TURNS
    args = ("--measure", "rate", "--children", str(sizes["children"]),
            "--for-ms", str(for_ms), "--warmup", "16",
            "--slices", str(slices))
    return cell(key, row, args + row.args + column.args, rounds, RATE)


def table_cells(rounds, sizes, rows):
    cells = [rate_cell(row, column, rounds, sizes)
             for row in rows for column in COLUMNS if wanted(row, column)]
    cells += [rate_cell(row, COLUMNS[0], rounds, sizes)
              for row in BATCHES + FAMILIES]
    by_key = {column.key: column for column in COLUMNS}
    cells += [rate_cell(row, by_key[key], rounds, sizes)
              for row in ABLATIONS for key in ABLATION_COLUMNS]
    return cells


def latency_cells(sizes):
    cells = []
    for live in (0, sizes["latency_live"]):
        for row in PEERS + [ROWS[9], ROWS[11]]:
            if live and row.key in REPEATS:
                continue
            args = ("--measure", "latency", "--live", str(live),
                    "--children", str(sizes["latency_children"])) + row.args
            cells.append(cell(f"latency/{row.key}/{live}", row, args, 1,
                              LATENCY))
    return cells


def burst_cells(rounds, sizes):
    cells = []
    few, many = sizes["burst"]
    for row in PEERS + [ROWS[9], ROWS[11]]:
        ours = row.key == OURS
        for n, bursts in ((few, sizes["bursts"]), (many, 1)):
            if n == many and row.key in {*REPEATS, *NOT_AT_10000}:
                continue
            args = ("--measure", "burst", "--children", str(n),
                    "--bursts", str(bursts),
                    "--drains", str(bursts if ours else 0)) + row.args
            cells.append(cell(f"burst/{row.key}/{n}", row, args,
                              min(rounds, 3 if n == many else rounds)
                              if ours else 1,
                              BURST if ours else BURST[:1] + LATENCY))
    return cells


def memory_cells(sizes):
    return [cell(f"memory/{OURS}", ROWS[9],
                 ("--measure", "memory", "--warmup", "64",
                  "--children", str(sizes["memory_children"])), 3, MEMORY)]


def rate(key):
    return (key, "us_per_child")


def targets(sizes):
    few, many = sizes["burst"]
    ours = rate("xlchild/0")

    def burst(n, figure):
        return (f"burst/{OURS}/{n}", figure)

    def peer(name, bound):
        return Target(f"{name} ÷ ours", rate(f"{name}/0"), ours, False, bound)

    return [
        Target("ours ÷ bare vfork loop, 0 live", ours, rate("vfork/0"),
               True, 1.15),
        Target("ours at 10,000 live ÷ at 0", rate("xlchild/live10000"), ours,
               True, 1.20),
        Target("bare vfork loop ÷ ours, 10,000 live", rate("vfork/live10000"),
               rate("xlchild/live10000"), False, 3.3),
        peer("libuv", 2.7),
        Target("libuv ÷ ours, 10,000 live", rate("libuv/live10000"),
               rate("xlchild/live10000"), False, 18),
        peer("glib", 1.5),
        peer("sdevent", 1.3),
        peer("libev", 1.2),
        Target("ours with 2 GiB mapped ÷ with 0", rate("xlchild/map2048"),
               ours, True, 1.30),
        Target("ours with 10,000 fds ÷ with 0", rate("xlchild/fds10000"),
               ours, True, 1.15),
        Target(f"exit burst: {many:,} at once ÷ {few}, a report",
               burst(many, "burst_us_per_report"),
               burst(few, "burst_us_per_report"), True, 1.5),
        Target("the same, all dead before the loop runs",
               burst(many, "drain_us_per_report"),
               burst(few, "drain_us_per_report"), True, 1.5),
        Target("bytes of heap for a live child",
               (f"memory/{OURS}", "heap_bytes_per_child"), None, True, 512),
        Target("resident bytes for a live child",
               (f"memory/{OURS}", "resident_bytes_per_child"), None, True,
               512),
        Target("RFC default mode ÷ pidfd mode, 1,000 live",
               rate("libxl/live1000"), rate("xlchild/live1000"), True, 1.5),
        Target("ours without waiting ÷ ours", rate("nowait/0"), ours, True,
               0.80),
        Target("bare vfork loop ÷ ours, batch, 2 starters", rate("vfork/0"),
               rate("batch2/0"), False, 1.6),
        Target("a family by its group ÷ ours", rate("family-group/0"), ours,
               True, 1.3),
        Target("a family by a keeper ÷ ours", rate("family-keeper/0"), ours,
               True, 2),
        Target("a family by its own cgroup ÷ ours", rate("family-cgroup/0"),
               ours, True, 2),
    ]


FULL = {"children": 5000, "for_ms": 100, "slice_ms": 60, "latency_live": 5000,
        "latency_children": 1000, "burst": (100, 10000), "bursts": 10,
        "memory_children": 10000}

# Small enough for every `make check`: it shows that each figure still comes
# out, not how large it is.
QUICK = {"children": 60, "for_ms": 30, "slice_ms": 20, "latency_live": 50,
         "latency_children": 20, "burst": (20, 100), "bursts": 1,
         "memory_children": 300}
QUICK_ARGS = {"--live": {"1000": "50", "10000": "100"},
              "--map": {"512": "8", "2048": "16"},
              "--fds": {"1000": "100", "10000": "200"}}


def smaller(cell):
    """The same cell with the parent's load scaled down for --quick."""
    command = list(cell.command)
    for i, name in enumerate(command[:-1]):
        command[i + 1] = QUICK_ARGS.get(name, {}).get(command[i + 1],
                                                      command[i + 1])
    return Cell(cell.key, cell.program, tuple(command), 1, cell.figures,
                cell.missing)


def make(rounds, quick, everybody=None):
    """everybody: Debian 13's and other languages', too; else not if quick."""
    sizes = QUICK if quick else FULL
    everybody = not quick if everybody is None else everybody
    cells = (table_cells(rounds, sizes, EVERY_ROW if everybody else ROWS) +
             latency_cells(sizes) + burst_cells(rounds, sizes) +
             memory_cells(sizes))
    if everybody:
        cells += plan_others.runtime_cells(rounds, sizes, RATE)
    if quick:
        cells = [smaller(cell) for cell in cells]
    tables = [
        Table("µs per child", "us_per_child", EVERY_ROW, COLUMNS),
        Table("µs of the parent's processor time", "cpu_us", EVERY_ROW,
              COLUMNS),
        Table("µs per child", "us_per_child", BATCHES, COLUMNS[:1]),
        Table("µs per child", "us_per_child", ABLATIONS,
              [c for c in COLUMNS if c.key in ABLATION_COLUMNS]),
        Table("µs of the parent's processor time", "cpu_us", ABLATIONS,
              [c for c in COLUMNS if c.key in ABLATION_COLUMNS]),
        Table("µs per child", "us_per_child", [ROWS[9]] + FAMILIES,
              COLUMNS[:1]),
    ]
    groups = [("latency/", LATENCY), ("burst/", BURST), ("memory/", MEMORY)]
    return Plan(cells, tables, groups, targets(sizes))
