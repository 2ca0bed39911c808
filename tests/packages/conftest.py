"""New Debian systems to install into: scripts/chroot, as the tests use it."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))
SUITES = os.environ.get("XLCHILD_SUITES_OF_DEBIAN", "bookworm trixie").split()
SECONDS = 3000


def inside(system, script, folder):
    """What the sh script prints, run as root in a new system.

    The folder is /out there; a script that fails is shown with its output.
    """
    path = folder / "script"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [str(ROOT / "scripts/chroot"), system, "--keep", str(folder),
         "sh", "-eu", "/out/script"], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=SECONDS)
    assert done.returncode == 0, "%s\n%s" % (script, done.stdout[-12000:])
    return done.stdout


@pytest.fixture(scope="session")
def packages():
    """build/dist/SUITE with its .debs, built now if they are not there."""
    for suite in SUITES:
        if not list((ROOT / "build/dist" / suite).glob("*.deb")):
            subprocess.run([str(ROOT / "scripts/debs"), suite], cwd=ROOT,
                           check=True)
    return ROOT / "build/dist"
