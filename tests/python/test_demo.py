"""What `make demo` shows in Python, with fewer files."""
import os
import pathlib
import subprocess
import sys

DEMO = pathlib.Path(__file__).parents[2] / "python/demo/checksums.py"


def test_c1_c4_c6_the_demo_finds_every_number_right():
    done = subprocess.run(
        [sys.executable, str(DEMO)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, universal_newlines=True, timeout=120,
        env=dict(os.environ, XLCHILD_DEMO_FILES="300"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "300 files, 16 at a time"
    assert sum("reaped   300  failed 0  lost 0" in line
               for line in lines) == 3
    assert lines[-1].endswith("everything agrees")
