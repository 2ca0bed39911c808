"""docs/hosts.md is the page of the hosts that tests/hosts has, no more, no less."""
import re
import sys

import tree

sys.path.insert(0, str(tree.ROOT / "tests" / "hosts"))

import table  # noqa: E402


def names_of_the_page():
    text = tree.text("docs/hosts.md").replace("\\|", "|")
    return re.findall(r"^\| ([^|]+) \| .* \| .*$", text, re.M), text


def test_every_host_is_on_the_page_and_in_each_mode():
    found, text = names_of_the_page()
    found = [n for n in found if n not in ("host", "---")]
    skipped = re.findall(r"^- (.+?): .*\(Debian", text, re.M)
    assert sorted(found + skipped) == sorted(h.name for h in table.HOSTS)


def test_what_harms_nobody_is_right_on_the_page():
    """A host that is right alone, with nothing announced, is right beside us."""
    _, text = names_of_the_page()
    for host in table.HOSTS:
        for line in text.splitlines():
            cells = [c.strip() for c in line.strip("|").split(" | ")]
            if cells[0].strip("| ") != host.name or len(cells) != 8:
                continue
            for owner, cell in zip(table.OWNERS, cells[3:]):
                if host.announced(owner) is None:
                    assert set(cell.strip("| ").split(" / ")) <= {
                        "right", host.alone}, (host.name, owner)


def test_names_of_hosts_are_their_own():
    names = [h.name for h in table.HOSTS]
    assert len(set(names)) == len(names)
