"""Rows of the C table that are not of this system's C libraries.

Used by plan_c.py. The peers of Debian 13 are built by `make bench-peers`, with
the system's libraries beside them (bench/debian13); the other languages' by
`make bench-runtimes` (bench/runtimes). Who is not there is named.
"""

import shutil

from model import Cell, Row

NEWER = "build/bench/debian13/"
RUNTIMES = "build/bench/runtimes/"
MAKE_PEERS = "make bench-peers, as root"

NEWER_ROWS = [
    Row("libuv13", NEWER + "libuv", "libuv of Debian 13", (), MAKE_PEERS),
    Row("glib13", NEWER + "glib", "GLib of Debian 13", (), MAKE_PEERS),
    Row("sdevent13", NEWER + "sdevent", "sd-event of Debian 13", (),
        MAKE_PEERS),
]

# What the newer ones are measured beside: the same as the older, as far as
# it may differ.
NEWER_COLUMNS = {
    "libuv13": ("0", "live1000", "live10000", "map512", "map2048"),
    "glib13": ("0", "live1000"),
    "sdevent13": ("0", "live1000"),
}

RUNTIME_ROWS = [
    Row("go", RUNTIMES + "starts-go", "Go, os.StartProcess", (),
        "Debian's golang-go"),
    Row("rust1", RUNTIMES + "starts-rust", "Rust std, one thread",
        ("--threads", "1"), "Debian's rustc"),
    Row("rust16", RUNTIMES + "starts-rust", "Rust std, 16 threads",
        ("--threads", "16"), "Debian's rustc"),
    Row("node", "bench/runtimes/starts.js", "Node, child_process.spawn", (),
        "Debian's nodejs"),
    Row("jvm", RUNTIMES + "Starts.class", "JVM, ProcessBuilder", (),
        "Debian's default-jdk-headless"),
    Row("erlang", RUNTIMES + "starts.beam", "Erlang, open_port", (),
        "Debian's erlang-base"),
]

# How the program of a row is run, where it does not run by itself.
RUN_BY = {
    "node": ("node", "bench/runtimes/starts.js"),
    "jvm": ("java", "-cp", RUNTIMES, "Starts"),
    "erlang": ("erl", "-noinput", "-pa", RUNTIMES, "-eval",
               "starts:main(init:get_plain_arguments()), halt().", "-extra"),
}


def runtime_cells(rounds, sizes, figures):
    """Nothing else beside them: they know no --live, --map or --fds."""
    cells = []
    for row in RUNTIME_ROWS:
        run = RUN_BY.get(row.key, (row.program,))
        # node needs no building: there it is the interpreter that must exist
        program = row.program if row.key != "node" else (
            shutil.which("node") or "node")
        args = ("--child", "build/bench/child",
                "--children", str(sizes["children"]),
                "--for-ms", str(5 * sizes["for_ms"]),
                "--warmup", str(sizes["children"] // 10))
        cells.append(Cell(f"{row.key}/0", program, (*run, *args, *row.args),
                          rounds, figures, f"{row.text}: {row.needs}"))
    return cells
