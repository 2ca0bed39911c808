"""The performance page's machinery: versions, who is missing, the plots.

What bench/report.py, plots.py and docs.py make of figures that are made up here.
"""
import sys

import pytest

import tree

sys.path.insert(0, str(tree.ROOT / "bench"))

import docs  # noqa: E402
import model  # noqa: E402
import plan_c  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402


def figures(keys):
    """Something for each cell; the n-th is n times as slow."""
    return {key: [{"us_per_child": float(n), "cpu_us": 2.0 * n,
                   "version": "1.%d" % n}] for n, key in enumerate(keys, 1)}


def test_each_row_has_the_version_of_its_program():
    keys = [cell.key for cell in plan_c.make(1, False).cells]
    table = report.cells_table(plan_c.make(1, False).tables[0], figures(keys))
    (head, _, *rows) = [[word.strip() for word in line.strip("| ").split("|")]
                        for line in table.splitlines()]
    assert head[1] == "version" and len(rows) == len(plan_c.EVERY_ROW)
    assert all(row[1].startswith("1.") for row in rows), rows


def test_the_starters_are_ordered_and_against_ours():
    rows = report.starters_table(
        plan_c.STARTERS, {"xlchild/0": [{"us_per_child": 100., "cpu_us": 20.}],
                          "go/0": [{"us_per_child": 150., "cpu_us": 50.,
                                    "version": "1.19"}],
                          "vfork/0": [{"us_per_child": 90., "cpu_us": 20.}]})
    cells = [[word.strip() for word in line.strip("| ").split("|")]
             for line in rows.splitlines()[2:]]
    assert [(line[2], line[3], line[5]) for line in cells] \
        == [("90", "0.9", "1"), ("100", "1", "1"), ("150", "1.5", "2.5")]
    assert cells[2][:2] == ["Go, os.StartProcess", "1.19"]


def test_who_is_not_there_is_named():
    cell = model.Cell("go/0", "/nonexistent/go", ("/nonexistent/go",), 1, (),
                      "Go: Debian's golang-go")
    _, failures, skips = run.run_all([cell], lambda cells: None)
    assert failures == {} and skips == {"not here: Go: Debian's golang-go"}
    about = docs.about({"kernel": "6.18.1", "date": "2026-11-27",
                        "seconds": 5, "cpus": 2, "system": "Debian 12",
                        "missing": sorted(skips)}, "bench")
    assert about.endswith("they were not there: Go: Debian's golang-go.\n")


def test_the_plan_has_everybody_that_the_page_speaks_of():
    full = {cell.key for cell in plan_c.make(5, False).cells}
    assert {"go/0", "rust1/0", "rust16/0", "node/0", "jvm/0", "erlang/0",
            "libuv13/live10000", "glib13/0", "sdevent13/0"} <= full
    quick = {cell.key for cell in plan_c.make(1, True).cells}
    assert not any(key.startswith(("go/", "libuv13/")) for key in quick)


def test_plots_have_few_lines_that_are_told_apart():
    plots = pytest.importorskip("plots", reason="there is no matplotlib")
    for name, _, points, keys in plots.PLOTS:
        assert len(keys) <= plots.AT_MOST == 8, name
        styles = [plots.STYLES[key] for key in keys]
        assert len({colour for colour, _ in styles}) == len(keys), name
        assert len({marker for _, marker in styles}) == len(keys), name
        results = figures("%s/%s" % (key, column) for key in keys
                          for column, _ in points)
        lines = plots.lines_of(results, points, keys)
        assert [row.key for row, _ in lines] == list(keys)
        figure, axes = plots.pyplot.subplots()
        plots.lay_out(axes, lines, "x")
        values = [y for _, line in lines for _, y in line]
        assert axes.get_xlim() == (0, points[-1][1]), name
        assert axes.get_ylim() == pytest.approx(
            (0.9 * min(values), 1.1 * max(values)))
        plots.pyplot.close(figure)
