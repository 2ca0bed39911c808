"""The stubs say what is there: every name, with that signature.

mypy's stubtest compares the package with its .pyi files; what SWIG generated
has no signature that Python could tell, and is compared by its docstring.
"""
import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import xlchild
from xlchild import _libxl

pytestmark = pytest.mark.own_process
STUBS = ROOT / "python" / "xlchild"
OWN = re.compile(r"error: xlchild\.(_(?!libxl\b)\w+|aio|pool)\b")
# stubtest on what a stub cannot say otherwise: a named tuple with defaults in
# __new__, members of an enum as members of a class, an object of a class that
# is private
SET_ASIDE = re.compile(
    r"error: xlchild\.(KillPolicy\.__new__|Status\.(EXITED|SIGNALED|LOST)"
    r"|route_unknown_children)\b")


def parameters(function):
    """The names of a stub function's positional parameters."""
    every = function.args.posonlyargs + function.args.args
    return [a.arg for a in every if a.arg != "self"]


def test_the_extension_is_as_its_stub_says():
    tree = ast.parse((STUBS / "_libxl.pyi").read_text())
    functions = {n.name: n for n in tree.body
                 if isinstance(n, ast.FunctionDef)}
    del functions["__getattr__"]
    for name, function in functions.items():
        line = getattr(_libxl, name).__doc__.splitlines()[0]
        said = re.fullmatch(r"(\w+)\((.*)\).*", line)
        assert said.group(1) == name
        words = [w.split()[-1] for w in said.group(2).split(",") if w]
        named = parameters(function)
        assert len(words) == len(named), name
        # SWIG calls a parameter that has no name in the header by number
        assert all(w in (n, "arg%d" % at) for at, (w, n) in
                   enumerate(zip(words, named), 1)), name
    have = {n for n in dir(_libxl)
            if n.startswith("libxl_") and callable(getattr(_libxl, n))}
    assert have <= set(functions)
    methods = {m.name: m for n in tree.body if isinstance(n, ast.ClassDef)
               for m in n.body if isinstance(m, ast.FunctionDef)}
    del methods["__new__"]
    own = {n for n in vars(_libxl.Ctx) if not n.startswith("__")}
    assert own == set(methods)
    for name, function in methods.items():
        if name == "closed":
            continue
        signature = inspect.signature(getattr(_libxl.Ctx, name))
        assert [p for p in signature.parameters if p != "self"] \
            == parameters(function), name


def test_every_public_name_is_in_the_stub():
    tree = ast.parse((STUBS / "__init__.pyi").read_text())
    named = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            named.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            named.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            named |= {alias.asname for alias in node.names}
    assert set(xlchild.__all__) <= named


@pytest.mark.skipif(not shutil.which("stubtest"), reason="no mypy")
def test_the_package_is_as_its_stub_says(tmp_path):
    configuration = tmp_path / "mypy.ini"
    configuration.write_text("[mypy]\nignore_errors = True\n")
    package = str(Path(xlchild.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "xlchild",
         "--ignore-missing-stub", "--mypy-config-file", str(configuration)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, timeout=200,
        env=dict(os.environ, MYPYPATH=package, PYTHONPATH=package))
    assert "modules" in done.stdout, done.stdout
    # a module without a stub is its own
    wrong = [line for line in done.stdout.splitlines()
             if line.startswith("error:") and not OWN.match(line)
             and not SET_ASIDE.match(line)]
    assert wrong == []
