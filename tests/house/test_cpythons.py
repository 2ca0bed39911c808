"""scripts/cpythons.py: which Pythons at hand get a wheel and are tested.

With stand-ins that answer as the Pythons would.
"""
import importlib
import sys
import types

import pytest

import tree


@pytest.fixture(name="found")
def found_fixture(tmp_path, monkeypatch):
    """What is found of these answers, by version."""
    monkeypatch.syspath_prepend(str(tree.ROOT / "scripts"))
    (tmp_path / "Python.h").write_text("")

    def found(*answers):
        paths = []
        for number, answer in enumerate(answers):
            path = tmp_path / ("python%d" % number)
            path.write_text("#!/bin/sh\necho %s\n" % answer.format(
                have=tmp_path, none=tmp_path / "none"))
            path.chmod(0o755)
            paths.append(str(path))
        monkeypatch.setenv("XLCHILD_PYTHONS", ":".join(paths))
        return {version: suffix for version, (_, _, suffix)
                in importlib.import_module("cpythons").others().items()}
    return found


def test_those_with_headers_and_a_gil(found):
    assert found("3 8 {have} .a.so cpython False",
                 "3 19 {have} .b.so cpython False",
                 "3 19 {have} .t.so cpython True",  # no GIL
                 "3 18 {none} .c.so cpython False",  # no headers
                 "3 17 {have} .d.so pypy False",
                 "3 7 {have} .e.so cpython False",
                 "%d %d {have} .f.so cpython False" % sys.version_info[:2],
                 "broken") == {(3, 8): ".a.so", (3, 19): ".b.so"}


def test_a_python_answers_as_it_should(found, monkeypatch):
    """The real one: left out for being this one, and for nothing else."""
    import cpythons
    monkeypatch.setenv("XLCHILD_PYTHONS", sys.executable)
    assert cpythons.others() == {}
    monkeypatch.setattr(cpythons, "sys",
                        types.SimpleNamespace(version_info=(3, 0, 0)))
    assert list(cpythons.others()) == [tuple(map(int, cpythons.subprocess.run(
        [sys.executable, "-c", cpythons.SCRIPT], check=True,
        stdout=cpythons.subprocess.PIPE, text=True).stdout.split()[:2]))]
