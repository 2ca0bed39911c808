"""docs/security.md, line by line: what other users and values cannot do."""
import os
import stat
import subprocess

import pytest
from clitools import PROGRAM, cli, out
from conftest import CHILD, fds

import xlchild
from xlchild.pool import Pool, _spool

pytestmark = pytest.mark.own_process


@pytest.fixture
def open_to_all(tmp_path):
    """A folder in which everybody may make and remove files."""
    tmp_path.chmod(0o777)
    return tmp_path


def outputs(*arguments, **more):
    """What the fds of a running command are: it prints them."""
    done = out(*arguments, "sh", "-c",
               "for n in 1 2; do stat -L -c '%a %h %F' /proc/$$/fd/$n; "
               "readlink /proc/$$/fd/$n; done", ":::", "-", **more)
    lines = done.decode().splitlines()
    return list(zip(lines[::2], lines[1::2]))


@pytest.mark.parametrize("where", ["TMPDIR", "--tmpdir"])
def test_output_waits_in_files_without_a_name(open_to_all, where):
    """Nobody can open what is not there; nor is it theirs to read."""
    options = ["-k"]
    environment = dict(os.environ)
    if where == "TMPDIR":
        environment["TMPDIR"] = str(open_to_all)
    else:
        options += [where, open_to_all]
    found = outputs(*options, env=environment)
    assert found
    for state, target in found:
        assert state.startswith("600 0 regular")
        assert target.startswith(str(open_to_all) + "/")
        assert target.endswith("(deleted)")
    assert list(open_to_all.iterdir()) == []


def test_where_files_must_have_a_name(open_to_all, monkeypatch):
    """mkstemp's: a link that stands there is not followed, and it is gone."""
    seen = []
    unlink = os.unlink
    own_open = os.open

    def without_unnamed(path, flags, *more, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "Operation not supported", path)
        return own_open(path, flags, *more, **options)

    def looking(path, **options):
        seen.append((path, stat.S_IMODE(os.lstat(path).st_mode)))
        unlink(path, **options)
    monkeypatch.setattr(_spool.os, "open", without_unnamed)
    monkeypatch.setattr(_spool.os, "unlink", looking)
    with Pool(1, spool=_spool.Spool(str(open_to_all))) as pool:
        result, = pool.as_completed([[CHILD, "say", "x"]])
    assert result.stdout == b"x\n"
    names = [path for path, _ in seen]
    assert len(set(names)) == len(names) >= 2
    assert {mode for _, mode in seen} == {0o600}
    assert list(open_to_all.iterdir()) == []


def planted(kind, at, precious):
    """What somebody else has put where a result is to go."""
    if kind == "a link":
        at.symlink_to(precious)
    elif kind == "a second name":
        os.link(precious, at)
    elif kind == "a FIFO":
        os.mkfifo(at)
    elif kind == "a dangling link":
        at.symlink_to(precious.parent / "new")
    else:
        at.mkdir()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", ["a link", "a dangling link", "a FIFO",
                                  "a second name", "a folder"])
def test_results_go_into_no_other_file(tmp_path, kind, name):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    place = tmp_path / "r" / "1"
    place.mkdir(parents=True)
    planted(kind, place / name, precious)
    done = cli("--results", tmp_path / "r", "echo", ":::", "x")
    assert done.returncode != 0
    assert str(place / name) in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert precious.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def test_a_linked_folder_of_results_is_refused(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "r").mkdir()
    (tmp_path / "r/1").symlink_to(other)
    done = cli("--results", tmp_path / "r", "echo", ":::", "x")
    assert done.returncode != 0 and str(tmp_path / "r/1") \
        in done.stderr.decode()
    assert list(other.iterdir()) == []


def test_results_are_written_anew(tmp_path):
    """By the umask, over what an earlier run has left."""
    for text, umask in (("long before", 0o022), ("x", 0o077)):
        assert out("--results", tmp_path / "r", "echo", ":::", text,
                   preexec_fn=lambda: os.umask(umask)) \
            == text.encode() + b"\n"
        assert (tmp_path / "r/1/stdout").read_text() == text + "\n"
    assert stat.S_IMODE((tmp_path / "r/1/stdout").stat().st_mode) == 0o644


def test_a_value_is_no_path(tmp_path):
    values = ["../x", "/etc/passwd", "a/b", ".", ""]
    assert out("-k", "--results", tmp_path / "r", "printf", "%s.", ":::",
               *values) == "".join(v + "." for v in values).encode()
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) \
        == ["1", "2", "3", "4", "5"]
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_the_job_servers_folder_is_private(open_to_all):
    done = out("--jobserver=fifo", "-j2", "sh", "-c",
               'fifo=${MAKEFLAGS##*fifo:}; fifo=${fifo%% *}; '
               'stat -c "%a %F" "$fifo" "$(dirname "$fifo")"', ":::", "-",
               env=dict(os.environ, TMPDIR=str(open_to_all)))
    assert done.splitlines() == [b"600 fifo", b"700 directory"]
    assert list(open_to_all.iterdir()) == []


def test_input_is_in_no_file(open_to_all, monkeypatch):
    """It is a pipe, or memory."""
    monkeypatch.setenv("TMPDIR", str(open_to_all))
    with xlchild.Context() as ctx:
        done = ctx.run(["readlink", "/proc/self/fd/0"], input=b"secret",
                       capture_output=True)
    assert done.stdout.split(b":")[0] in (b"pipe", b"socket")
    fd = _spool.holding(b"secret")
    try:
        assert fds()[fd].startswith("/memfd:")
    finally:
        os.close(fd)
    assert list(open_to_all.iterdir()) == []


HOSTILE = ["; id", "$(id)", "`id`", "' '", '"', "a\nb", "*", "-n", "~", "$HOME"]


def test_without_a_shell_a_value_is_a_word():
    """On the command line, as an argument of its own and inside of one."""
    done = out("-k", "printf", "<%s|%s>", "{}", "x{}y", ":::", *HOSTILE)
    assert done.decode() == "".join("<%s|x%sy>" % (v, v) for v in HOSTILE)


def test_a_null_byte_is_refused():
    with pytest.raises(ValueError):
        xlchild.run(["echo", "a\0b"])
    done = subprocess.run(PROGRAM + ["echo"], input=b"a\0b\n",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=100)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"null byte" in done.stderr
