"""scripts/check.py: adds up what the areas say, and believes nothing else."""
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import threading

import pytest

import tree

SPEC = importlib.util.spec_from_file_location(
    "check", tree.ROOT / "scripts/check.py")
check = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check)


@pytest.fixture(name="make")
def make_fixture(tmp_path, monkeypatch):
    """A stand-in for make that runs the shell text given."""
    monkeypatch.setattr(check, "LOGS", tmp_path / "logs")

    def stand_in(body):
        path = tmp_path / "make"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)
    return stand_in


@pytest.mark.parametrize("body,counts", [
    ("echo 3 passed, 0 failed, 1 skipped", (3, 0, 1)),
    ("echo 1 passed, 0 failed, 0 skipped; "
     "echo 3 passed, 0 failed, 1 skipped", (3, 0, 1)),
    ("echo 3 passed, 2 failed, 0 skipped; exit 1", (3, 2, 0)),
    ("echo 3 passed, 2 failed, 0 skipped; exit 0", (3, 2, 0)),
    ("echo 3 passed, 0 failed, 0 skipped; exit 2", (3, 1, 0)),
    ("echo nothing", (0, 1, 0)),
    ("echo about 3 passed, 0 failed, 0 skipped", (0, 1, 0)),
    ("exit 1", (0, 1, 0)),
    ("kill -9 $$", (0, 1, 0)),
])
def test_counts(make, body, counts, capfd):
    outcome = check.run_area("area", "target", make(body))
    assert (outcome.passed, outcome.failed, outcome.skipped) == counts
    capfd.readouterr()


def test_area_that_hangs_is_ended_with_all_it_started(make, tmp_path, capfd):
    """The grandchild holds a FIFO open: its end of file proves that it is
    gone."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    outcome = check.run_area(
        "area", "target",
        make(f"exec 3>{fifo}; echo up >&3; cat /dev/zero >/dev/null & wait"),
        seconds=1)
    assert outcome.failed == 1 and "ended after" in outcome.note
    os.set_blocking(reader, True)
    data = b""
    while True:
        piece = os.read(reader, 100)
        if not piece:
            break
        data += piece
    os.close(reader)
    assert data == b"up\n"
    capfd.readouterr()


def test_main_sums_and_tells_by_its_status(make, monkeypatch, capfd):
    monkeypatch.setattr(check, "AREAS", [("a", "one"), ("b", "two")])
    monkeypatch.setenv("MAKE", make(
        'case "$3" in one) echo 3 passed, 0 failed, 1 skipped;;'
        ' *) echo 4 passed, 0 failed, 0 skipped;; esac'))
    assert check.main([]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == \
        "7 passed, 0 failed, 1 skipped"
    monkeypatch.setenv("MAKE", make(
        'case "$3" in one) echo 3 passed, 0 failed, 1 skipped;;'
        ' *) exit 1;; esac'))
    assert check.main([]) == 1
    assert capfd.readouterr().out.splitlines()[-1] == \
        "3 passed, 1 failed, 1 skipped"


def test_all_runs_the_long_areas_after_the_others(make, monkeypatch, capfd):
    monkeypatch.setattr(check, "AREAS", [("a", "one")])
    monkeypatch.setattr(check, "LONG_AREAS", [("b", "two")])
    monkeypatch.setenv("MAKE", make(
        'case "$3" in one) echo 3 passed, 0 failed, 1 skipped;;'
        ' *) echo 4 passed, 1 failed, 0 skipped; exit 1;; esac'))
    assert check.main([]) == 0
    assert check.main(["--all"]) == 1
    assert capfd.readouterr().out.splitlines()[-1] == \
        "7 passed, 1 failed, 1 skipped"
    assert check.main(["two"]) == 2
    assert check.main(["--all", "two"]) == 1


def test_two_at_a_time_once_what_both_need_is_built(
        make, tmp_path, monkeypatch, capfd):
    """Each waits for the other on a FIFO, and the third has both behind it."""
    for name in ("here", "there"):
        os.mkfifo(tmp_path / name)
    monkeypatch.setattr(check, "AREAS", [("a", "one"), ("b", "two"),
                                         ("c", "three")])
    monkeypatch.setattr(check, "BESIDE", (("two",),))
    monkeypatch.setattr(check, "ALONE", ("three",))
    monkeypatch.setenv("MAKE", make(
        f'cd {tmp_path}; passed() {{ echo $3 >> done; '
        'echo $1 passed, 0 failed, 0 skipped; }; case "$3" in '
        'lib) echo lib >> done;; '
        'one) echo x > here; read y < there; passed 1 - one;; '
        'two) read x < here; echo y > there; passed 2 - two;; '
        'three) passed 4 - three;; esac'))
    assert check.main([]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == \
        "7 passed, 0 failed, 0 skipped"
    done = (tmp_path / "done").read_text().split()
    assert done[0] == "lib" and done[-1] == "three" and len(done) == 4


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_ends_those_beside_too(
        make, tmp_path, monkeypatch, capfd, late):
    """Both hold a FIFO open: its end of file proves that they are gone. Late:
    those that start them have not come back from it when it comes."""
    start = subprocess.Popen

    def start_late(command, **options):
        process = start(command, **options)
        if command[-1] in ("one", "two"):
            check.over.wait()
        return process
    if late:
        monkeypatch.setattr(check.subprocess, "Popen", start_late)
    os.mkfifo(tmp_path / "up")
    monkeypatch.setattr(check, "AREAS", [("a", "one"), ("b", "two")])
    monkeypatch.setattr(check, "BESIDE", (("two",),))
    monkeypatch.setenv("MAKE", make(
        f'test "$3" = lib && exit; exec 3>{tmp_path}/up; echo up >&3; '
        "cat /dev/zero > /dev/null"))
    reader = os.open(tmp_path / "up", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    main = threading.main_thread().ident

    def interrupt():
        data = b""
        while data.count(b"up") < 2:
            data += os.read(reader, 100)
        signal.pthread_kill(main, signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    # an end of file before the first has opened it is no news
    writer = os.open(tmp_path / "up", os.O_WRONLY)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        check.main([])
    thread.join()
    os.close(writer)
    assert os.read(reader, 100) == b""
    os.close(reader)
    capfd.readouterr()


@pytest.mark.parametrize("target", sorted(
    target for _, target in check.AREAS + check.LONG_AREAS))
def test_every_area_is_a_target_of_make(target):
    answer = subprocess.run(["make", "-n", target], cwd=tree.ROOT,
                            stdout=subprocess.DEVNULL)
    assert answer.returncode == 0


def test_areas_do_not_inherit_an_ignored_interrupt(make, monkeypatch, capfd):
    monkeypatch.setattr(check, "AREAS", [("a", "one")])
    monkeypatch.setenv("MAKE", make(
        "kill -INT $$; echo 0 passed, 1 failed, 0 skipped"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert check.main([]) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert "no summary line" in capfd.readouterr().out


def test_unknown_area_is_refused(capfd):
    assert check.main(["nonsense"]) == 2
    assert "nonsense" in capfd.readouterr().err


def test_ci_run_ends_with_the_sum_and_keeps_the_status(tmp_path):
    """A copy of the script beside a Makefile that only says so."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(tree.ROOT / ".ci/run", tmp_path / ".ci/run")
    environment = {n: v for n, v in os.environ.items()
                   if n not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    for recipe, status, last in (
            ("@echo 5 passed, 0 failed, 0 skipped", 0,
             "5 passed, 0 failed, 0 skipped"),
            ("@echo 5 passed, 1 failed, 0 skipped; exit 1", 2,
             "5 passed, 1 failed, 0 skipped"),
            ("@exit 1", 2, "0 passed, 1 failed, 0 skipped")):
        (tmp_path / "Makefile").write_text(f"check:\n\t{recipe}\n")
        answer = subprocess.run([str(tmp_path / ".ci/run")],
                                stdout=subprocess.PIPE, text=True,
                                env=environment, stdin=subprocess.DEVNULL)
        assert answer.stdout.splitlines()[-1] == last
        assert answer.returncode == status
