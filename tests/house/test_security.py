"""docs/security.md says what the tests hold: its tables are those of
tests/vectors, and each test that it names is there. C16 C28."""
import re

import pytest

import tree

PAGE = "docs/security.md"


def rows(name):
    """The rows of a table of tests/vectors, as dicts."""
    head, found = None, []
    for line in tree.text(f"tests/vectors/{name}").splitlines():
        if head is None and line.startswith("# id"):
            head = line[2:].split("\t")
        elif line and not line.startswith("#"):
            found.append(dict(zip(head, line.split("\t"))))
    return found


def facts():
    for row in rows("witness.tsv"):
        value = "as the host's" if row["default"] == "=" else row["default"]
        yield f"| {row['id']} | {value} | {row['words']} |"


def options():
    for row in rows("witness_options.tsv")[1:]:  # the first has none
        changes = "nothing" if row["changes"] == "-" else ", ".join(
            f"`{change}`" for change in row["changes"].split(";"))
        yield f"| `{row['settings']}` | {changes} | {row['words']} |"


@pytest.mark.parametrize("table", [facts, options])
def test_C16_C28_the_tables_are_the_tests(table):
    found = re.search(rf"<!-- {table.__name__} -->\n(.*?)<!-- end -->",
                      tree.text(PAGE), flags=re.S)[1]
    assert found.splitlines()[2:] == list(table())


def test_every_promise_has_its_test():
    promises = re.findall(r"^\| .* \| `?([^|`]+)`? in (tests/\S+) \|$",
                          tree.text(PAGE), flags=re.M)
    lines = re.search(r"## Line by line\n(.*?)\n## ",
                      tree.text(PAGE).replace("\n### ", "\n## "),
                      flags=re.S)[1]
    assert len(promises) == lines.count("\n| ") - 2 > 20
    assert [(name, path) for name, path in promises
            if not re.search(rf'(def |\(|"){re.escape(name)}\b',
                             tree.text(path))] == []


def test_how_to_report():
    assert "docs/security.md" in tree.text("SECURITY.md")
    assert "(../SECURITY.md)" in tree.text(PAGE)
