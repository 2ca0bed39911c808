"""The stubs say what is there: every name, with that signature.

mypy's stubtest compares the public modules with their .pyi files; what SWIG
generated has no signature that Python could tell, and is compared by its
docstring. A user's program (typed_program.py) is read by mypy --strict.
"""
import ast
import importlib
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
PUBLIC = {"xlchild": "__init__", "xlchild.aio": "aio",
          "xlchild.anyio": "anyio", "xlchild.cli": "cli/__init__",
          "xlchild.pool": "pool/__init__",
          "xlchild.services": "services/__init__",
          "xlchild.trio": "trio",
          "xlchild.under": "under"}
PROGRAM = Path(__file__).parent / "typed_program.py"
# a module without a stub is the package's own
OWN = re.compile(r"error: xlchild(\.\w+)*\.(?!_libxl\b)_\w+\.")
# stubtest on what a stub cannot say otherwise: a named tuple with defaults in
# __new__, members of an enum as members of a class, an object of a class that
# is private; and the extension's numbers, which its stub has by __getattr__
SET_ASIDE = re.compile(
    r"error: xlchild\.(KillPolicy\.__new__|Status\.(EXITED|SIGNALED|LOST)"
    r"|route_unknown_children|_libxl\.\w+ is not present in stub)\b")
needs_mypy = pytest.mark.skipif(not shutil.which("stubtest"),
                                reason="no mypy")



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


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_stub(name):
    tree = ast.parse((STUBS / (PUBLIC[name] + ".pyi")).read_text())
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef,
                             ast.ClassDef)):
            named.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            named.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            named |= {alias.asname for alias in node.names}
    assert set(importlib.import_module(name).__all__) <= named


def run_mypy(tmp_path, module, *arguments):
    """What it prints of the package that is tested here."""
    package = str(Path(xlchild.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, timeout=200,
        env=dict(os.environ, MYPYPATH=package, PYTHONPATH=package))


@needs_mypy
@pytest.mark.long
def test_the_package_is_as_its_stubs_say(tmp_path):
    configuration = tmp_path / "mypy.ini"
    configuration.write_text("[mypy]\nignore_errors = True\n")
    done = run_mypy(tmp_path, "mypy.stubtest", "xlchild",
                    "--mypy-config-file", str(configuration))
    assert "modules" in done.stdout, done.stdout
    wrong = [line for line in done.stdout.splitlines()
             if line.startswith("error:") and not OWN.match(line)
             and not SET_ASIDE.match(line)]
    assert wrong == []


@needs_mypy
def test_a_strict_program_is_typed(tmp_path):
    done = run_mypy(tmp_path, "mypy", "--strict", str(PROGRAM))
    assert done.returncode == 0, done.stdout


def test_the_strict_program_runs():
    subprocess.run([sys.executable, "-W", "error", str(PROGRAM)], check=True,
                   timeout=120)
