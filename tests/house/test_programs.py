"""tests/programs/run.py: what counts as a difference, and what does not."""
import importlib.util
import json
import sys

import pytest

import tree

FOLDER = tree.ROOT / "tests" / "programs"


@pytest.fixture(name="run", scope="module")
def run_fixture():
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("run",
                                                      FOLDER / "run.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(FOLDER))


def told(through=0, note="", **verdicts):
    return {"verdicts": verdicts, "through": through, "past": {},
            "note": note}


def compared(run, plain, under, again=None, reasons=None, lucky=None,
             part=False):
    asked = []

    def second(kind):
        asked.append(kind)
        return again if kind == "plain" else lucky
    one = run.compare(run.Outcome("name", "1"), plain, under, second,
                      reasons or {}, part)
    assert asked == ["plain"] * (again is not None) \
        + ["under"] * (lucky is not None)
    return one


def test_the_same_is_right(run):
    one = compared(run, told(a="passed", b="failed"),
                   told(5, a="passed", b="failed"))
    assert (one.tests, one.alike, one.through, one.wrong) == (2, 2, 5, [])


@pytest.mark.parametrize("under", [{"a": "failed"}, {"a": "skipped"}, {}])
def test_a_difference_is_wrong_unless_it_is_listed(run, under):
    plain = told(a="passed", b="passed")
    under = told(5, b="passed", **under)
    one = compared(run, plain, under, again=plain)
    assert len(one.wrong) == 1 and one.wrong[0].startswith("a: passed plain")
    one = compared(run, plain, under, again=plain, reasons={"a": "since"})
    assert (one.wrong, one.known, one.alike) == ([], {"a": "since"}, 1)


def test_what_is_listed_and_the_same_is_wrong(run):
    one = compared(run, told(a="passed"), told(5, a="passed"),
                   reasons={"a": "since"})
    assert one.wrong == ["a: is listed, and the same"]
    one = compared(run, told(a="passed"), told(5, a="passed"),
                   reasons={"a": "sometimes: since"})
    assert one.wrong == []


@pytest.mark.parametrize("reason", ["since", "sometimes: since"])
def test_what_is_listed_and_not_there_any_more_is_wrong(run, reason):
    one = compared(run, told(a="passed"), told(5, a="passed"),
                   reasons={"gone": reason})
    assert one.wrong == ["gone: is listed, and not there"]
    one = compared(run, told(a="passed"), told(5, a="passed"),
                   reasons={"gone": reason}, part=True)
    assert one.wrong == []


def test_what_differs_from_itself_says_nothing(run):
    one = compared(run, told(a="passed"), told(5, a="failed"),
                   again=told(a="failed"))
    assert (one.wrong, one.unsteady, one.alike) == ([], ["a"], 0)


def test_what_passes_under_xlchild_alone_has_to_do_so_twice(run):
    plain, under = told(a="failed"), told(5, a="passed")
    one = compared(run, plain, under, again=plain, lucky=plain)
    assert (one.wrong, one.unsteady) == ([], ["a"])
    one = compared(run, plain, under, again=plain, lucky=under)
    assert len(one.wrong) == 1 and one.unsteady == []


@pytest.mark.parametrize("plain, under, said", [
    (told(a="passed"), told(a="passed"),
     "nothing was started through xlchild"),
    (told(), told(5), "no test was run"),
    (told(note="ended after 5 s", a="passed"), told(5, a="passed"),
     "plain: ended after 5 s"),
    (told(a="passed"), told(5, note="no verdicts", a="passed"),
     "under xlchild: no verdicts"),
])
def test_a_run_that_proves_nothing_is_wrong(run, plain, under, said):
    assert said in compared(run, plain, under).wrong


def test_results_are_kept_until_something_changes(run, tmp_path):
    path, made = tmp_path / "kept", []

    def make():
        made.append(1)
        return told(a="passed")
    for key in "x", "x", "y":
        assert run.kept(path, key, make) == told(a="passed")
    assert len(made) == 2
    path.unlink()
    for _ in range(2):  # a run that was ended is not
        run.kept(path, "x", lambda: made.append(1) or told(note="ended"))
    assert len(made) == 4


def test_the_verdicts_are_read(run, tmp_path):
    programs = sys.modules["programs"]
    (tmp_path / "junit.xml").write_text(
        '<testsuites><testsuite>'
        '<testcase classname="m" name="a"/>'
        '<testcase classname="m" name="b"><failure/></testcase>'
        '<testcase classname="m" name="c"><skipped/></testcase>'
        '<testcase classname="m" name="d"><error/></testcase>'
        '</testsuite></testsuites>')
    assert programs.junit(tmp_path) == {
        "m.a": "passed", "m.b": "failed", "m.c": "skipped", "m.d": "failed"}
    (tmp_path / "report.json").write_text("testreport =" + json.dumps({
        "test-a.t": {"result": "success"}, "test-b.t": {"result": "skip"},
        "test-c.t": {"result": "failure"}}))
    assert programs.mercurial_json(tmp_path) == {
        "test-a.t": "passed", "test-b.t": "skipped", "test-c.t": "failed"}
    (tmp_path / "stdout").write_text(
        "Running common tests.\n [SUCCESS]   common: 1 trivial\n"
        " [FAILED]    common: 4 shared\n [SKIPPED]   common: 5 (why)\n")
    assert programs.meson_log(tmp_path) == {
        "common: 1 trivial": "passed", "common: 4 shared": "failed",
        "common: 5": "skipped"}


def test_the_list_has_programs_that_there_are(run):
    names = {program.name for program in run.PROGRAMS}
    for line in (FOLDER / "differences.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, test, reason = line.split("\t")
            assert name in names and test and reason
    assert any(program.quick for program in run.PROGRAMS)
