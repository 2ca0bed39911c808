"""Medians, ratios and the tables. Used by run.py."""

from statistics import median


def values(results, key, figure):
    """Of every slice of every round."""
    return [value for line in results.get(key, []) if figure in line
            for value in line.get(f"{figure}_each", [line[figure]])]


def middle(results, key, figure):
    """The median over the rounds, or None where nothing was measured."""
    found = values(results, key, figure)
    return median(found) if found else None


def ratios(targets, results):
    """One dict a target: the ratio of medians and how it was met."""
    out = []
    for target in targets:
        above = middle(results, *target.numerator)
        if target.less:
            less = middle(results, *target.less)
            above = above - less if None not in (above, less) else None
        below = (middle(results, *target.denominator)
                 if target.denominator else 1.0)
        ratio = above / below if above is not None and below else None
        sign = "≤" if target.at_most else "≥"
        verdict = "not measured"
        if ratio is not None:
            met = (ratio <= target.bound if target.at_most
                   else ratio >= target.bound)
            verdict = "pass" if met else "short"
        out.append({"text": target.text, "ratio": ratio,
                    "bound": f"{sign} {target.bound:g}", "verdict": verdict})
    return out


def number(value):
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def with_spread(results, key, figure, spread=True):
    found = values(results, key, figure)
    if not found:
        return "-"
    text = number(median(found))
    if spread and len(found) > 1:
        text += f" ({number(min(found))}..{number(max(found))})"
    return text


def table(head, lines):
    """The text of a Markdown table."""
    widths = [max(len(line[i]) for line in [head] + lines)
              for i in range(len(head))]

    def row(line):
        cells = [text.ljust(width) if i == 0 else text.rjust(width)
                 for i, (text, width) in enumerate(zip(line, widths))]
        return "| " + " | ".join(cells) + " |"

    rule = "| " + " | ".join(
        "-" * width if i == 0 else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)) + " |"
    return "\n".join([row(head), rule] + [row(line) for line in lines])


def version(results, row):
    """What the row's program said that it is, or nothing."""
    for key, lines in results.items():
        if key == row.key or key.startswith(row.key + "/"):
            for line in lines:
                if line.get("version"):
                    return line["version"]
    return ""


def cells_table(asked, results, spread=True):
    """Rows against columns; empty where nothing was measured."""
    lines = []
    for row in asked.rows:
        line = [row.text, version(results, row)]
        line += [with_spread(results, f"{row.key}/{c.key}",
                                         asked.figure, spread)
                             for c in asked.columns]
        if any(text != "-" for text in line[2:]):
            lines.append(line)
    return table([asked.head, "version"] + [c.text for c in asked.columns],
                 lines) if lines else ""


def group_table(results, prefix, figures):
    """Cells that share a prefix, with their figures as columns."""
    keys = [key for key in results if key.startswith(prefix) and results[key]]
    if not keys:
        return ""
    return table([prefix.rstrip("/")] + list(figures),
                 [[key[len(prefix):]] + [with_spread(results, key, figure)
                                         for figure in figures]
                  for key in keys])


def starters_table(rows, results):
    """Everybody's single starts against ours, the fastest first."""
    ours = [middle(results, "xlchild/0", figure)
            for figure in ("us_per_child", "cpu_us")]
    lines = []
    for row in rows:
        wall, cpu = (middle(results, f"{row.key}/0", figure)
                     for figure in ("us_per_child", "cpu_us"))
        if wall is not None:
            lines.append((wall, [
                row.text, version(results, row), number(wall),
                number(wall / ours[0]) if ours[0] else "-", number(cpu),
                number(cpu / ours[1]) if ours[1] and cpu else "-"]))
    return table(["16 at a time, nothing beside them", "version",
                  "µs per child", "÷ ours", "processor, µs", "÷ ours"],
                 [line for _, line in sorted(lines)]) if lines else ""


def ratio_table(ratio_rows):
    return table(["ratio", "measured", "wanted", "verdict"],
                 [[row["text"], number(row["ratio"]), row["bound"],
                   row["verdict"]] for row in ratio_rows])


def print_all(plan, results, ratio_rows, about):
    print(f"{about['processor']}, {about['cpus']} cpus, "
          f"Linux {about['kernel']}, load {about['load_before']:.2f} before, "
          f"{about['seconds']} s. Medians (least..most).\n")
    for asked in plan.tables:
        print(cells_table(asked, results) + "\n")
    for prefix, figures in plan.groups:
        print(group_table(results, prefix, figures) + "\n")
    print(ratio_table(ratio_rows) + "\n")
