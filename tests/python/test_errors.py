"""Errors that say what is wrong, with what, and what it has to be (B5)."""
import errno
import logging
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CHILD

import xlchild
from xlchild import aio

NOWHERE = "/nonexistent/place"


def spawn(args, **options):
    """By a Context."""
    return xlchild.spawn(args, **options).wait()


def many(args, **options):
    """In a batch."""
    with xlchild.Context() as ctx:
        one, = ctx.spawn_many([args], event=False, **options)
        if isinstance(one, Exception):
            raise one
        return one.wait()


def run(args, **options):
    """By Context.run."""
    return xlchild.default_context().run(args, **options)


def popen(args, **options):
    """As subprocess."""
    return xlchild.Popen(args, **options).wait()


def awaited(args, **options):
    """In a loop."""
    import asyncio
    return asyncio.run(aio.run(args, **options))


NATIVE = [spawn, many, run, awaited]
EVERY = NATIVE + [popen, xlchild.run]


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("options, number, about, stage", [
    ({"cwd": NOWHERE}, errno.ENOENT, NOWHERE, "chdir"),
    ({"cwd": "/etc/passwd"}, errno.ENOTDIR, "/etc/passwd", "chdir"),
    ({"pass_fds": [777]}, errno.EBADF, "fd 777", "fds"),
])
def test_B5_the_error_names_what_it_is_about(way, options, number, about,
                                             stage):
    with pytest.raises(OSError) as caught:
        way(["true"], **options)
    error = caught.value
    assert (error.errno, error.filename, error.stage) == (number, about,
                                                          stage)
    assert about in str(error) and "None" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.filename) == (str(error), about)


@pytest.mark.parametrize("way", NATIVE)
def test_B5_also_with_what_subprocess_does_not_have(way):
    with pytest.raises(OSError) as caught:
        way(["true"], cgroup=NOWHERE)
    assert caught.value.filename == NOWHERE


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
@pytest.mark.parametrize("way", [run, awaited])
def test_B5_the_file_of_a_stream(way, stream, tmp_path):
    others = {name: str(tmp_path / name) for name in ("stdout", "stderr")}
    others[stream] = NOWHERE
    with pytest.raises(FileNotFoundError) as caught:
        way(["true"], **others)
    assert caught.value.filename == NOWHERE


def test_run_takes_a_path_as_context_run_does(tmp_path):
    xlchild.run(["echo", "x"], stdout=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "x\n"
    with pytest.raises(FileNotFoundError):
        xlchild.run(["true"], stdout=NOWHERE)
    with pytest.raises(TypeError, match="stdout: a path is for run"):
        spawn(["true"], stdout=NOWHERE)


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("args, options, kind, words", [
    (["echo", 5], {}, TypeError, r"args\[1\]: expected str.*int"),
    (["echo", "a\0b"], {}, ValueError, r"args\[1\]: embedded null"),
    (["env"], {"env": {"A": 1}}, TypeError, r"env\['A'\]: expected"),
    (["env"], {"env": {"A": "\0"}}, ValueError, r"env\['A'\]: embedded"),
    (["env"], {"env": {"A=B": ""}}, ValueError, r"env\['A=B'\]: illegal"),
    (["env"], {"cwd": "a\0"}, ValueError, "cwd: embedded null"),
])
def test_B5_a_bad_argument_is_named(way, args, options, kind, words):
    with pytest.raises(kind, match=words):
        way(args, **options)


@pytest.mark.parametrize("way", NATIVE)
@pytest.mark.parametrize("options, words", [
    ({"nice": 99}, "nice .it has to be -20 to 19"),
    ({"rlimits": [(99, 0, 0)]}, "rlimits .it has to be .resource, soft"),
    ({"cgroup": "relative"}, "cgroup .it has to be the absolute path"),
    ({"kill": (15, 1.0, xlchild.KillScope.GROUP)}, "GROUP needs new_group"),
    ({"fds": {-3: 1}}, "fds .it has to be"),
    ({"uid": 2 ** 33}, "uid: 8589934592 is out of range .0 to 4294967294"),
    ({"rlimits": [("nofiles", 1, 1)]}, "no resource is called 'nofiles'"),
])
def test_B5_what_it_has_to_be(way, options, words):
    with pytest.raises(ValueError, match=words):
        way(["true"], **options)


@pytest.mark.parametrize("call, kind, words", [
    (lambda: spawn("ls -l"), TypeError, "a sequence .* not one string.*shell"),
    (lambda: spawn(["true"], timeout=3), TypeError, "'timeout' here: Conte"),
    (lambda: spawn(["true"], preexec_fn=int), TypeError, "Popen and"),
    (lambda: spawn(["true"], cwdd="/"), TypeError, "did you mean 'cwd'"),
    (lambda: spawn(["true"], stdout=-1), ValueError, "PIPE is for Popen"),
    (lambda: run(["cat"], input="x"), TypeError, "say text=True"),
    (lambda: run(["cat"], input=5), TypeError, "bytes-like"),
    (lambda: xlchild.spawn(["true"]).kill("TERM"), TypeError, "SIGTERM, not"),
    (lambda: xlchild.spawn(["true"]).wait("5"), TypeError, "seconds, not '5'"),
    (lambda: xlchild.Context("libxl"), ValueError, "SigchldOwner.LIBXL, "),
    (lambda: xlchild.default_context().adopt(os.getpid()), ValueError,
     "not this one"),
    (lambda: popen([]), IndexError, "args is empty"),
])
@pytest.mark.filterwarnings("ignore:child")
@pytest.mark.filterwarnings("ignore:unclosed")
def test_B5_mistakes_of_newcomers(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.parametrize("args", [[""], ["", "-l"], [b""], ""])
def test_an_empty_program_is_an_oserror_as_with_subprocess(args, capfd):
    with pytest.raises(PermissionError) as theirs:
        subprocess.Popen(args)
    for way in popen, xlchild.run:
        with pytest.raises(PermissionError) as ours:
            way(args)
        assert ours.value.errno == theirs.value.errno
        assert ours.value.filename == theirs.value.filename
    if args != "":
        with pytest.raises(PermissionError) as ours:
            spawn(args)
        assert isinstance(ours.value, xlchild.InvalidArgumentError)
        assert ours.value.argument == "argv"
    assert capfd.readouterr() == ("", "")


@pytest.mark.own_process
def test_the_log_is_silent_unless_somebody_listens():
    program = """
import logging, sys, xlchild
try:
    xlchild.spawn(["true"], nice=99)
except ValueError:
    pass
ctx = xlchild.Context()
ctx.close()
if sys.argv[1:]:
    logging.basicConfig(format="%(levelname)s %(message)s")
    try:
        xlchild.spawn(["true"], nice=99)
    except ValueError:
        pass
"""
    for more in [], ["listen"]:
        done = subprocess.run([sys.executable, "-c", program, *more],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.stdout == b""
    assert logging.getLogger("xlchild").level == logging.NOTSET


def test_a_context_of_the_parent_says_so():
    with xlchild.Context() as ctx:
        child = ctx.spawn(["sleep", "1000"])
        inner, outer = os.pipe()
        pid = os.fork()
        if pid == 0:
            for call in (child.wait, child.kill, ctx.events,
                         lambda: ctx.spawn(["true"])):
                try:
                    call()
                except ValueError as error:
                    os.write(outer, str(error).encode() + b"\n")
            os._exit(0)
        os.close(outer)
        with open(inner) as said:
            lines = said.read().splitlines()
        os.waitpid(pid, 0)
        child.kill()
        child.wait()
    assert len(lines) == 4
    for line in lines:
        assert "is the parent process's: make another one here" in line


@pytest.mark.own_process
@pytest.mark.parametrize("what, words", [
    ("none", "has no extension module"),
    ("foreign", "was built for another Python"),
    ("broken", "cannot be loaded"),
])
def test_a_missing_extension_is_named_with_the_remedy(tmp_path, what, words):
    package = Path(xlchild.__file__).parent
    copy = tmp_path / "xlchild"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("*.so"))
    name = next(package.glob("_libxl*.so")).name
    if what == "foreign":
        (copy / "_libxl.cpython-27-none.so").write_text("")
    if what == "broken":
        (copy / name).write_text("no library")
    done = subprocess.run(
        [sys.executable, "-c", "import xlchild"], stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)), text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError") and words in last
    assert "circular" not in done.stderr


def test_what_only_looks_like_a_status():
    """The usual conditions of subprocess's users are right on a Status."""
    good, bad = spawn([CHILD, "exit", "0"]), spawn([CHILD, "exit", "3"])
    killed = spawn(["sh", "-c", "kill -9 $$"])
    assert good == 0 and not good and not good != 0
    assert bad == 3 and bad and bad != 0 and bad in (1, 3)
    assert killed == -9 and killed
    assert len({bad, 3}) == 1
    assert bad != spawn([CHILD, "exit", "3"])  # another child's
    assert bad is not None and bad != "3"


def test_run_and_its_kin_use_the_popen_of_the_package(monkeypatch):
    class Fake(xlchild.Popen):
        def __init__(self, args, **options):
            super().__init__(["echo", "fake"], **options)

    monkeypatch.setattr(xlchild, "Popen", Fake)
    assert xlchild.check_output(["echo", "real"]) == b"fake\n"
    assert xlchild.call(["false"], stdout=subprocess.DEVNULL) == 0
    monkeypatch.setattr(xlchild, "run", lambda *a, **k: subprocess
                        .CompletedProcess(a, 0, "mine"))
    assert xlchild.check_output(["echo"]) == "mine"


def test_every_public_name_of_subprocess_is_here():
    assert [name for name in subprocess.__all__
            if not hasattr(xlchild, name)] == []


@pytest.mark.parametrize("way", [xlchild.run, xlchild.call])
def test_a_refused_kill_at_a_timeout_says_both(way, monkeypatch):
    """The child has become another user's: soon back, and it is let go."""
    started = []

    class Foreign(xlchild.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self.pid)

        def send_signal(self, sig):
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(xlchild, "Popen", Foreign)
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        way([CHILD, "pause"], timeout=0.1)
    assert time.monotonic() - began < 30
    assert isinstance(caught.value.__cause__, PermissionError)
    os.kill(started[0], 9)
    deadline = time.monotonic() + 20
    while os.path.exists("/proc/%d" % started[0]):  # reaped in silence
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [-1, 65, 9999])
def test_B4_no_signal_is_an_error_of_both_kinds(number):
    """subprocess has the system's, EINVAL; a Context's child ours alone."""
    with xlchild.Popen(["cat"], stdin=xlchild.PIPE) as popen:
        with pytest.raises(xlchild.InvalidArgumentError) as caught:
            popen.send_signal(number)
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == errno.EINVAL
        assert "1 to 64" in str(caught.value)
        assert popen.poll() is None
