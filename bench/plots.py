"""SVG plots of cost against live children, mapped memory and open fds.

Used by run.py; needs matplotlib.
"""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: small files
matplotlib.rcParams["svg.hashsalt"] = "xlchild"  # the same ids each time

from matplotlib import pyplot  # noqa: E402

from plan_c import ROWS  # noqa: E402
from report import middle  # noqa: E402

# file, axis text, and (column key, value on the axis)
PLOTS = [
    ("live.svg", "idle children alive",
     [("0", 0), ("live1000", 1000), ("live10000", 10000)]),
    ("memory.svg", "MiB mapped in the parent",
     [("0", 0), ("map512", 512), ("map2048", 2048)]),
    ("fds.svg", "unrelated fds open in the parent",
     [("0", 0), ("fds1000", 1000), ("fds10000", 10000)]),
]


def draw_one(results, path, text, points):
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for row in ROWS:
        measured = [(value, middle(results, f"{row.key}/{column}",
                                   "us_per_child"))
                    for column, value in points]
        measured = [point for point in measured if point[1] is not None]
        if measured:
            ours = row.program == "xlchild"
            axes.plot(*zip(*measured), marker="o", label=row.text,
                      linewidth=2.2 if ours else 1.0,
                      linestyle="-" if ours else "--")
    axes.set_yscale("log")
    axes.set_xscale("symlog", linthresh=100)
    axes.set_xlabel(text)
    axes.set_ylabel("µs per child started and reaped")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def draw(results, out):
    for name, text, points in PLOTS:
        draw_one(results, out / name, text, points)
