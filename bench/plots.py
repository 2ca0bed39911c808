"""SVG plots of cost against live children, mapped memory and open fds.

Used by run.py; needs matplotlib. At most eight lines a plot, each with a
colour of Okabe and Ito's (told apart by colour-blind eyes, and by their
lightness in grey) and a marker of its own; the legend stands outside.
"""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: small files
matplotlib.rcParams["svg.hashsalt"] = "xlchild"  # the same ids each time

from matplotlib import pyplot, ticker  # noqa: E402

from plan_c import EVERY_ROW  # noqa: E402
from report import middle, version  # noqa: E402

AT_MOST = 8

# file, axis text, (column key, value on the axis), and whose lines
PLOTS = [
    ("live.svg", "idle children alive",
     [("0", 0), ("live1000", 1000), ("live10000", 10000)],
     ("xlchild", "libxl", "vfork", "clone_files", "libuv", "libuv13", "glib",
      "libev")),
    ("memory.svg", "MiB mapped in the parent",
     [("0", 0), ("map512", 512), ("map2048", 2048)],
     ("xlchild", "posix_spawn", "vfork", "fork", "libuv", "libuv13", "glib",
      "libev")),
    ("fds.svg", "unrelated fds open in the parent",
     [("0", 0), ("fds1000", 1000), ("fds10000", 10000)],
     ("xlchild", "libxl", "vfork", "clone_files", "libuv", "sdevent", "glib",
      "libev")),
]

# colour and marker; two who share one never meet in a plot
STYLES = {
    "xlchild": ("#D55E00", "o"),
    "vfork": ("#000000", "s"),
    "libuv": ("#0072B2", "^"),
    "glib": ("#CC79A7", "D"),
    "libev": ("#E69F00", "P"),
    "libxl": ("#8A8A8A", "v"), "posix_spawn": ("#8A8A8A", "v"),
    "clone_files": ("#009E73", "X"), "fork": ("#009E73", "X"),
    "libuv13": ("#56B4E9", "*"), "sdevent": ("#56B4E9", "*"),
}


def lines_of(results, points, keys):
    """[(row, [(x, µs)])] of those who were measured."""
    by_key = {row.key: row for row in EVERY_ROW}
    lines = []
    for key in keys:
        measured = [(value, middle(results, f"{key}/{column}",
                                   "us_per_child"))
                    for column, value in points]
        measured = [point for point in measured if point[1] is not None]
        if measured:
            lines.append((by_key[key], measured))
    return lines


def lay_out(axes, lines, text):
    """Both axes go from the first of the data to the last."""
    across = sorted({x for _, line in lines for x, _ in line})
    up = [y for _, line in lines for _, y in line]
    # linear to the first value over 0: there is nothing in between to show
    axes.set_xscale("symlog", linthresh=next((x for x in across if x), 1))
    axes.set_xlim(across[0], max(across[-1], 1))
    axes.set_xticks(across)
    axes.set_yscale("log")
    axes.set_ylim(min(up) * 0.9, max(up) * 1.1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:,g}"))
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel(text)
    axes.set_ylabel("µs per child started and reaped")
    axes.grid(True, which="both", alpha=0.3)


def draw_one(results, path, text, points, keys):
    """One plot, or none where nothing was measured."""
    lines = lines_of(results, points, keys)
    if not lines:
        return
    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    lay_out(axes, lines, text)
    for row, measured in lines:
        colour, marker = STYLES[row.key]
        label = " ".join(filter(None, (row.text, version(results, row))))
        axes.plot(*zip(*measured), color=colour, marker=marker, label=label,
                  linewidth=2.4 if row.program == "xlchild" else 1.2,
                  markersize=7, clip_on=False)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1),
                borderaxespad=0, frameon=False)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def draw(results, out):
    for name, text, points, keys in PLOTS:
        draw_one(results, out / name, text, points, keys)
