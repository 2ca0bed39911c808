"""C16 C28 B8: what a child inherits, held against tests/vectors/witness.tsv.

The host is a process of its own (witness_host.py) that was made odd before its
main; C (tests/c/witness.c) and OCaml do the same.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tables
from conftest import HELPERS, ROOT

pytestmark = pytest.mark.own_process

FACTS = tables.rows("witness.tsv")
ROWS = {row["id"]: row for row in tables.rows("witness_options.tsv")}

# The ways of the package, by the row that they are like.
LIKE = {
    "default": ["spawn", "Context.spawn", "Context.run"],
    "as-subprocess": ["Popen", "run", "run, timeout", "call", "aio",
                      "aio.run", "subprocess"],
}


@pytest.fixture(scope="module")
def told():
    """{how: {fact: value}}, of one host."""
    with tempfile.TemporaryDirectory(prefix="xlchild-witness-") as folder:
        os.chmod(folder, 0o755)  # other users execute it, too
        witness = Path(folder) / "witness"
        shutil.copy(HELPERS / "witness", witness)
        done = subprocess.run(
            [sys.executable, ROOT / "tests/python/witness_host.py", witness,
             Path(folder) / "report"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, check=True, cwd="/", timeout=100,
            env={"A": "1", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                 "PYTHONPATH": os.environ["PYTHONPATH"],
                 "LD_PRELOAD": str(HELPERS / "dirty.so")})
    return {how: dict(line.split(" ", 1) for line in report.splitlines())
            for how, report in json.loads(done.stdout).items()}


def expected(bare, row):
    """The facts that the row's child is to tell."""
    facts = {fact["id"]: bare[fact["id"]] if fact["default"] == "="
             else fact["default"] for fact in FACTS}
    if row["changes"] != "-":
        for change in row["changes"].split(";"):
            name, value = change.split("=", 1)
            assert name in facts
            facts[name] = value
    return facts


def test_the_host_is_odd(told):
    """Or it would prove nothing; and no fact lacks a row."""
    bare = told["bare"]
    assert {fact["id"] for fact in FACTS} == set(bare)
    assert {fact["id"]: bare[fact["id"]] for fact in FACTS
            if fact["bare"] != "?"} \
        == {fact["id"]: fact["bare"] for fact in FACTS if fact["bare"] != "?"}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_C16_C28_an_option_changes_what_it_says(told, row):
    if row["needs"] == "root" and os.geteuid():
        pytest.skip("needs root")
    assert told["row " + row["id"]] == expected(told["bare"], row)


@pytest.mark.parametrize("row, way", [(row, way) for row in LIKE
                                      for way in LIKE[row]])
def test_C16_each_way_of_starting(told, row, way):
    """What goes through subprocess's names is as subprocess does it."""
    assert told[way] == expected(told["bare"], ROWS[row])


def test_C16_a_pool_gives_its_own_three_streams(told):
    assert told["pool"] == dict(expected(told["bare"], ROWS["default"]),
                                fds="0 1 2")
