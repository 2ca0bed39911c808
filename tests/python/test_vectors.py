"""B8: the rows of tests/vectors, in Python."""
import os
import pathlib
import subprocess
import tempfile

import pytest
import tables
from conftest import CHILD

import xlchild
from xlchild import _libxl

# Settings that the Python surface cannot express, by row: the binding raises
# a Python error of its own before the library sees them.
SET_ASIDE = {}


@pytest.fixture(scope="module")
def where():
    """The placeholders; the fixture folder is made by the helper itself.

    Rows with other ids run a program in it, so all may search the folders
    above: not pytest's own, which every session makes private again.
    """
    with tempfile.TemporaryDirectory(prefix="xlchild-vectors-") as folder:
        os.chmod(folder, 0o755)
        subprocess.run([CHILD, "fixtures", folder], check=True)
        yield tables.places(pathlib.Path(folder))


@pytest.fixture(autouse=True)
def stdin_is_null():
    """The tables are run with /dev/null as stdin."""
    saved = os.dup(0)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    yield
    os.dup2(saved, 0)
    os.close(saved)


def of(name):
    """A table's rows as parameters."""
    return [pytest.param(row, id=row["id"]) for row in tables.rows(name)]


def needs(row):
    """Skip, and say so, what this user cannot do."""
    root = os.geteuid() == 0
    if row["needs"] == "root" and not root:
        pytest.skip("needs root")
    if row["needs"] == "user" and root:
        pytest.skip("is only meaningful when not root")


def hold(ctx, argv, options):
    """The bare binding's spawn, so that every setting gets through."""
    process = xlchild.Process(ctx, argv)
    process.id, process.pid = ctx._spawn(argv, options, 0, 0)
    process._held = True
    return process


@pytest.mark.parametrize("row", of("status.tsv"))
def test_status(ctx, where, row):
    """B4 C6: the status is what the child did."""
    child = ctx.spawn([CHILD] + tables.words(row["verbs"], where))
    wanted = tables.wanted_code(row["kind"], row["value"])
    status = child.wait()
    assert status.returncode == wanted
    assert status.lost is None
    if row["kind"] == "exit":
        assert (status.kind, status.exitcode, status.signal) \
            == (xlchild.Status.EXITED, wanted, None)
    else:
        assert (status.kind, status.exitcode, status.signal) \
            == (xlchild.Status.SIGNALED, None, -wanted)


@pytest.mark.parametrize("row", of("failure.tsv"))
def test_failure(ctx, where, row):
    """B5 C15: a failed start is SpawnError with stage and errno."""
    needs(row)
    argv, options = tables.options(row["settings"], where)
    with pytest.raises(xlchild.SpawnError) as caught:
        ctx._spawn([CHILD] if argv is None else argv, options, 0, 0)
    assert caught.value.stage == row["stage"]
    assert caught.value.errno == tables.errno_of(row["errno"])
    assert isinstance(caught.value, OSError)
    assert caught.value.code == -128
    assert ctx.child_count == 0


@pytest.mark.parametrize("row", of("invalid.tsv"))
def test_invalid(ctx, where, row):
    """X5 B5: a refused argument is named."""
    if row["id"] in SET_ASIDE:
        pytest.skip(SET_ASIDE[row["id"]])
    argv, options = tables.options(row["settings"], where)
    with pytest.raises(ValueError) as caught:
        ctx._spawn([CHILD] if argv is None else argv, options, 0, 0)
    if isinstance(caught.value, xlchild.InvalidArgumentError):
        assert caught.value.argument == row["argument"]
        assert caught.value.stage == "argument"
    else:
        # what does not fit the C type never gets to the library
        assert row["argument"].split("[")[0] in str(caught.value)
    assert ctx.child_count == 0


@pytest.mark.parametrize("row", of("kill.tsv"))
def test_kill(ctx, where, row):
    """C13: signals, scopes and escalation."""
    argv, options = tables.options(row["settings"], where)
    argv = [CHILD] + tables.words(row["verbs"], where)
    inner, outer = os.pipe()
    try:
        options["fds"] = options.get("fds", []) + [(1, outer)]
        child = hold(ctx, argv, options)
        os.close(outer)
        outer = -1
        assert len(os.read(inner, 1)) == 1
        action = row["action"].split(" ")
        if action[0] == "kill":
            child.send_signal(tables.number_of_signal(action[1]),
                              scope=tables.scope_of(action[2]))
        elif action[1] == "-":
            _libxl.libxl_childproc_terminate(ctx, child.id, None)
        else:
            _libxl.libxl_childproc_terminate(ctx, child.id,
                                             tables.policy(action[1:]))
        assert child.wait(30).returncode \
            == tables.wanted_code(row["kind"], row["value"])
    finally:
        os.close(inner)
        if outer >= 0:
            os.close(outer)


@pytest.mark.parametrize("row", of("stream.tsv"))
def test_stream(ctx, where, row):
    """C18: run to completion with a stdin and both outputs captured."""
    given = {} if row["stdin"] == "-" else {
        "input": tables.text(row["stdin"], where)}
    if not given:
        given = {"stdin": subprocess.DEVNULL}
    done = ctx.run([CHILD] + tables.words(row["verbs"], where),
                   capture_output=True, timeout=60, **given)
    for name in ("stdout", "stderr"):
        wanted = b"" if row[name] == "-" else tables.text(row[name], where)
        assert (getattr(done, name) or b"") == wanted
    assert done.returncode == tables.wanted_code(row["kind"], row["value"])


@pytest.mark.parametrize("row", of("child.tsv"))
def test_child(ctx, where, row):
    """C16: the child gets what was asked and no more."""
    needs(row)
    argv, options = tables.options(row["settings"], where)
    if argv is None:
        argv = [CHILD] + tables.words(row["verbs"], where)
    options.setdefault("kill", (0, 0, 0))
    outcome = ctx._run(argv, options, (0, None), (6, None), (0, None), 60000,
                       1, None)
    assert (outcome[5] or b"") == (
        b"" if row["stdout"] == "-" else tables.text(row["stdout"], where))
    assert xlchild.Status(outcome[1]).returncode == 0


@pytest.mark.parametrize("row", of("codes.tsv"))
def test_codes(row):
    """The texts of codes."""
    number = int(row["number"])
    function = {"error": _libxl.libxl_strerror,
                "stage": _libxl.libxl_childproc_stage_name,
                "owner": _libxl.libxl_childproc_owner_name,
                "lost": _libxl.libxl_childproc_lost_text}[row["kind"]]
    assert function(number) == tables.text(row["text"], {}).decode()
    if row["kind"] == "error" and not row["id"][0].islower():
        assert _libxl.libxl_error_name(number) == row["id"]
        from xlchild._errors import ERROR_NAMES
        assert ERROR_NAMES[number] == row["id"]
