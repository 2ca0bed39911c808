"""tox and nox at work, without an index of packages.

Run by run.py, plain and under xlchild; both are Debian's. tox makes its
environments from the wheels of Debian's.
"""
import os
import signal
import subprocess
import sys

import pytest

NOX = [sys.executable, "-m", "nox", "--non-interactive", "-f", "noxfile.py"]
TOX = [sys.executable, "-m", "tox"]


class Place:
    """A folder that either is run in."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def run(self, words, status=0):
        done = subprocess.run(
            words, cwd=str(self.folder), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture(name="place")
def place_fixture(tmp_path):
    return Place(tmp_path)


def sessions(place, text):
    place.write("noxfile.py", "import nox\nimport sys\n"
                "nox.options.default_venv_backend = 'none'\n"
                "nox.options.error_on_external_run = False\n" + text)


def test_nox_runs_and_reports(place):
    sessions(place, "@nox.session(venv_backend='none')\n"
             "@nox.parametrize('n', [1, 2, 3])\n"
             "def one(session, n):\n"
             "    session.run('sh', '-c', 'echo told %d' % n)\n"
             "    said = session.run('echo', 'silent', silent=True)\n"
             "    assert said.strip() == 'silent'\n")
    told = place.run(NOX)
    for number in 1, 2, 3:
        assert "told %d" % number in told
    assert told.count("success") == 6  # each, and the list at the end


def test_nox_stops_at_a_failure(place):
    sessions(place, "@nox.session(venv_backend='none')\n"
             "def fails(session):\n"
             "    session.run('sh', '-c', 'exit 3')\n"
             "@nox.session(venv_backend='none')\n"
             "def other(session):\n"
             "    session.run('sh', '-c', 'exit 3', success_codes=[3])\n")
    told = place.run(NOX, status=1)
    assert "failed with exit code 3" in told
    assert "* fails: failed" in told and "* other: success" in told


def test_nox_in_its_own_venv(place):
    sessions(place, "@nox.session(venv_backend='venv')\n"
             "def inside(session):\n"
             "    session.run('python', '-c', 'import sys; "
             "print(sys.prefix != sys.base_prefix)')\n")
    assert "True" in place.run(NOX).splitlines()


def test_nox_is_interrupted(place):
    sessions(place, "@nox.session(venv_backend='none')\n"
             "def waits(session):\n"
             "    session.run('sh', '-c', 'echo begun; exec sleep 60')\n")
    process = subprocess.Popen(
        NOX, cwd=str(place.folder), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True)
    said = ""
    while "begun\n" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line if line == "begun\n" else ""
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode in (1, 130, -2), rest
    assert "nterrupted" in rest


def environments(place, text):
    place.write("tox.ini", "[tox]\nskipsdist = true\n" + text)


def test_tox_makes_an_environment_and_runs(place):
    environments(place, "envlist = a,b\n[testenv]\n"
                 "allowlist_externals = sh\nsetenv = WORD = told\n"
                 "commands =\n    python -c 'import sys; "
                 "print(\"inside\", sys.prefix != sys.base_prefix)'\n"
                 "    sh -c 'echo $WORD {envname}'\n")
    told = place.run(TOX)
    assert told.count("inside True") >= 2
    assert "told a" in told and "told b" in told
    assert "congratulations" in told


def test_tox_stops_at_a_failure(place):
    environments(place, "envlist = a\n[testenv]\nallowlist_externals = sh\n"
                 "commands =\n    sh -c 'exit 4'\n    sh -c 'echo never'\n")
    told = place.run(TOX, status=1)
    assert "exited with code 4" in told and "never" not in \
        told.replace("echo never", "")


def test_tox_in_parallel(place):
    environments(place, "envlist = a,b,c\n[testenv]\nallowlist_externals = sh"
                 "\ncommands = sh -c 'echo {envname} > {envname}.out'\n")
    place.run(TOX + ["-p", "3"])
    for name in "abc":
        assert (place.folder / (name + ".out")).read_text() == name + "\n"
