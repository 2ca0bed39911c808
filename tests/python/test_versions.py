"""The binding and the package in every other CPython at hand."""
import os
import subprocess
import sys

import pytest
from conftest import CHILD, ROOT
from pythons import VERSIONS, build

pytestmark = pytest.mark.own_process


@pytest.mark.parametrize("version", VERSIONS)
def test_smoke(version, tmp_path):
    """Compile against this Python's headers, then run smoke.py in it."""
    python = build(version, tmp_path)
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run([python, str(ROOT / "tests/python/smoke.py"),
                           CHILD], env=environment, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    assert done.stdout == "fine\n"
    if tuple(map(int, version.split("."))) < (3, 12):
        return
    for debug in "", "debug":  # no Python before has eager tasks
        done = subprocess.run(
            [python, "-X", "dev", "-W", "error",
             str(ROOT / "tests/python/eager.py"), debug], timeout=100,
            env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


def test_smoke_in_this_one():
    """The same script here, so that it is known to be right."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/python/smoke.py"), CHILD],
        timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    assert done.stdout == "fine\n"
