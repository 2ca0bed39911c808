"""The binding and the package in every other CPython at hand.

Looked for in XLCHILD_PYTHONS (paths, separated by colons) or, without that,
below ~/.pyenv. Required is none but the system's own, which runs everything
else. The core comes from the C library's archive.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHILD, ROOT

pytestmark = pytest.mark.own_process
SCRIPT = """
import sys, sysconfig
print(sys.version_info[0], sys.version_info[1],
      sysconfig.get_paths()["include"], sysconfig.get_config_var("EXT_SUFFIX"),
      sys.implementation.name)
"""


def interpreters():
    """version -> (path, include folder, suffix), 3.8 and later."""
    named = os.environ.get("XLCHILD_PYTHONS")
    if named is not None:
        paths = [p for p in named.split(":") if p]
    else:
        paths = sorted(map(str, Path.home().glob(
            ".pyenv/versions/*/bin/python3")))
    found = {}
    for path in paths:
        done = subprocess.run([path, "-c", SCRIPT], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        words = done.stdout.split()
        if done.returncode or len(words) != 5 or words[4] != "cpython":
            continue
        version = int(words[0]), int(words[1])
        if version < (3, 8) or version == sys.version_info[:2] \
                or not os.path.exists(words[2] + "/Python.h"):
            continue
        found["%d.%d" % version] = path, words[2], words[3]
    return found


FOUND = interpreters()


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory):
    """What SWIG makes of the interface."""
    path = tmp_path_factory.mktemp("swig") / "_libxl_wrap.c"
    subprocess.run(["swig", "-python", "-noproxy", "-Ibindings",
                    "-Ic/include", "-o", path, "bindings/python/_libxl.i"],
                   cwd=ROOT, check=True)
    return path


@pytest.mark.parametrize("version", sorted(
    FOUND, key=lambda v: tuple(map(int, v.split(".")))))
def test_smoke(version, wrapper, tmp_path):
    """Compile against this Python's headers, then run smoke.py in it."""
    python, include, suffix = FOUND[version]
    shutil.copytree(ROOT / "python" / "xlchild", tmp_path / "xlchild")
    sources = sorted((ROOT / "bindings" / "python").glob("*.c"))
    done = subprocess.run(
        ["cc", "-std=gnu11", "-O0", "-fPIC", "-shared", "-pthread",
         "-fvisibility=hidden", "-Wall", "-Wno-deprecated-declarations",
         "-I" + include, "-Ibindings/python", "-Ic/include",
         "-o", str(tmp_path / "xlchild" / ("_libxl" + suffix)),
         *map(str, sources), str(wrapper), "build/c/libxlchild.a",
         "-Wl,--exclude-libs,ALL", "-ldl"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"bindings/python/\S+: warning", done.stderr), \
        done.stderr
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    done = subprocess.run([python, str(ROOT / "tests/python/smoke.py"),
                           CHILD], env=environment, timeout=100,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    assert done.stdout == "fine\n"


def test_smoke_in_this_one():
    """The same script here, so that it is known to be right."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/python/smoke.py"), CHILD],
        timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    assert done.stdout == "fine\n"


def test_the_stub_names_what_the_extension_has():
    """_libxl.pyi: every name exists, and every function is named."""
    import ast

    from xlchild import _libxl
    tree = ast.parse((ROOT / "python/xlchild/_libxl.pyi").read_text())
    functions = {n.name for n in tree.body
                 if isinstance(n, ast.FunctionDef)}
    methods = {m.name for n in tree.body if isinstance(n, ast.ClassDef)
               for m in n.body if isinstance(m, ast.FunctionDef)}
    for name in functions:
        assert callable(getattr(_libxl, name))
    have = {n for n in dir(_libxl) if n.startswith("libxl_")
            and callable(getattr(_libxl, n))}
    assert have <= functions
    own = {n for n in vars(_libxl.Ctx) if not n.startswith("__")}
    assert own == methods - {"__new__"}
