"""Adoption: scripts that are killed at any moment, and their next lives.

Each scenario is a program (services_lives.py) under the helper reaper, which
reaps its orphans at once.
"""
import os
import subprocess
import sys

import lives
import pytest
import services_lives
from conftest import HELPERS

pytestmark = pytest.mark.own_process
LIVES = services_lives.__file__
NAMES = [one.__name__ for one in services_lives.SCENARIOS]


def run(name, folder):
    done = subprocess.run(
        [HELPERS / "reaper", sys.executable, "-W", "error", LIVES, name,
         folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout
    left = [line for line in subprocess.run(
        ["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True,
        check=True).stdout.splitlines()
        if str(folder) in line]
    assert left == []
    for pid, its in lives.keepers().items():
        if its.startswith(str(folder)):
            lives.is_gone(pid)


@pytest.mark.parametrize("name", NAMES)
def test_b13_scripts_that_are_killed(name, tmp_path):
    """B13"""
    run(name, tmp_path)


def test_what_is_left_would_be_seen(tmp_path):
    """The check of run() itself."""
    child = subprocess.Popen(["sh", "-c", "read x; : " + str(tmp_path)],
                             stdin=subprocess.PIPE)
    try:
        with pytest.raises(AssertionError):
            run("planted", tmp_path)
    finally:
        child.communicate()
    assert os.path.islink(tmp_path / "state/keeper") is False
