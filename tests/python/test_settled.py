"""Who has a Popen's pid may look into /proc: the program is there.

The kernel lets the parent go on before it fills cmdline, comm and environ; the
first look at .pid waits for that.
"""
import os
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
from conftest import TINY

import xlchild
from xlchild import _settled

STARTS = 60  # nearly all of them are empty without it


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """This machine may be as busy as it likes."""
    monkeypatch.setattr(_settled, "_LIMIT", 60)


@pytest.fixture
def installed():
    assert xlchild.install()
    yield
    assert xlchild.uninstall()


def look(popen):
    """How many of the starts showed something else than the program."""
    wrong = []
    for _ in range(STARTS):
        with popen(["sleep", "1000"], env={"PATH": os.environ["PATH"],
                                           "WORD": "told"}) as process:
            folder = "/proc/%d/" % process.pid
            told = [Path(folder + name).read_bytes()
                    for name in ("cmdline", "comm", "environ")]
            process.kill()
        if not told[0] == b"sleep\0" b"1000\0" or told[1] != b"sleep\n" \
                or b"WORD=told\0" not in told[2]:
            wrong.append(told)
    return wrong


def test_of_popen():
    assert look(xlchild.Popen) == []


def test_of_subprocess(installed):
    assert look(subprocess.Popen) == []


def test_of_psutil(installed):
    for _ in range(STARTS):
        with psutil.Popen(["sleep", "1000"]) as process:
            told = process.cmdline(), process.name()
            process.kill()
        assert told == (["sleep", "1000"], "sleep")


@pytest.mark.parametrize("argv", [[TINY], [""]])
def test_one_that_has_ended_is_not_waited_for(argv, monkeypatch):
    monkeypatch.setattr(_settled, "_LIMIT", 1e9)
    with xlchild.Popen(argv, executable=TINY) as process:
        os.waitid(os.P_PID, vars(process)["pid"], os.WEXITED | os.WNOWAIT)
        assert process.pid == vars(process)["pid"]
    assert _settled.settle(process.pid) is None  # nor one that is gone


def test_it_gives_up(monkeypatch):
    """As long as nothing is told it looks, but for a moment only."""
    looks = []
    monkeypatch.setattr(_settled, "_LIMIT", 0.001)
    monkeypatch.setattr(_settled, "_first_byte",
                        lambda path: looks.append(path) or b"")
    _settled.settle(os.getpid())
    assert len(looks) > 1
    assert set(looks) == {"/proc/%d/cmdline" % os.getpid()}


def test_only_the_first_look_waits(monkeypatch):
    asked = []
    monkeypatch.setattr("xlchild._popen.settle", asked.append)
    with xlchild.Popen([TINY]) as process:
        assert process.wait() == 0
        assert process.pid > 1
        assert not asked  # whoever never looks pays nothing
    with xlchild.Popen(["sleep", "1000"]) as process:
        assert asked == [] and process.pid == process.pid
        assert asked == [process.pid]
        process.kill()


def test_a_pid_can_be_set_as_ever(installed):
    process = subprocess.Popen.__new__(subprocess.Popen)
    process.returncode = 0
    process.pid = 5
    assert (process.pid, vars(process)["pid"]) == (5, 5)
    del process
    with pytest.raises(FileNotFoundError):
        subprocess.Popen(["/no/such/program"])


def test_it_is_gone_with_uninstall():
    before = dict(vars(subprocess.Popen))
    xlchild.install()
    with subprocess.Popen(["sleep", "1000"]) as process:
        xlchild.uninstall()
        pid = process.pid
        process.kill()
    assert process.pid == pid > 1 and process.returncode == -9
    assert "pid" not in vars(subprocess.Popen)
    assert vars(subprocess.Popen)["wait"] is before["wait"]


def test_from_many_threads(installed):
    wrong = []
    threads = [threading.Thread(
        target=lambda: wrong.extend(look(subprocess.Popen)))
        for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
