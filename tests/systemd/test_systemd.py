"""Services of a script that systemd starts again: their ends are in its FD store
while no script lives, and none is lost (B13)."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build/python"))
sys.path.insert(0, str(ROOT / "tests/python"))

import soak_services  # noqa: E402
import while_away  # noqa: E402

ENDS = int(os.environ.get("XLCHILD_ENDS", "600"))
SEED = int(os.environ.get("XLCHILD_SEED", "1"))
SECONDS = 1500

SCRIPT = """
mkdir /tmp/source
tar -C /source --exclude=./build --exclude=./.git --exclude=__pycache__ \
    -cf - . | tar -C /tmp/source --no-same-owner -xf -
make -s -C /tmp/source python ocaml-life >/out/build.log 2>&1
/tmp/source/tests/systemd/boot /tmp/source /out %d %d >/out/boot.log 2>&1
"""


def shown(folder):
    return "\n".join(
        "%s:\n%s" % (path.name, path.read_text(errors="replace")[-3000:])
        for path in sorted(folder.glob("*.log")))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a system that has come to its end."""
    folder = tmp_path_factory.mktemp("systemd")
    (folder / "script").write_text(SCRIPT % (ENDS, SEED))
    done = subprocess.run(
        [str(ROOT / "scripts/chroot"), "trixie+systemd", "--keep", str(folder),
         "sh", "-eu", "/out/script"], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=SECONDS)
    assert done.returncode == 0, done.stdout[-3000:] + shown(folder)
    return folder


def test_no_end_is_lost_in_the_fd_store(ran):
    told = soak_services.Told()
    for line in (ran / "told").read_text().splitlines(True):
        if line.endswith("\n"):  # else its life died there, and tells it again
            told.hear(json.loads(line))
    runs = [line.strip().partition("/")[2]
            for line in (ran / "ran").read_text().splitlines()]
    assert len(set(runs)) == len(runs), "a run ran twice"
    assert set(runs) - set(told.ends) == set()
    assert told.lost == 0 or not soak_services.exit_info(), told.lost
    assert told.away > 0
    assert len(told.ends) >= ENDS


def test_a_daemon_s_services_end_while_it_is_away(ran):
    """B12"""
    said = (ran / "daemon.log").read_text().splitlines()
    for number, name in enumerate(while_away.NAMES):
        ends = [line for line in said if line.startswith(name + " ended")]
        how = ("exit code %d" % (while_away.FIRST_CODE + number)
               if soak_services.exit_info() else "lost: ")
        # the later ones are of the system's own end
        assert ends[0].startswith(name + " ended by itself, pid "), said
        assert ends[0].partition(": ")[2].startswith(how), said


def test_the_fd_store_is_used_and_emptied(ran):
    figures = json.loads((ran / "figures").read_text())
    assert figures["lives"] >= figures["kills"] > 0
    assert figures["most_in_store"] > 0
    assert figures["left_in_store"] == 0
    print(figures)
