"""The other CPythons at hand, and the package built for one of them.

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

from conftest import ROOT

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
VERSIONS = sorted(FOUND, key=lambda v: tuple(map(int, v.split("."))))


def wrapper(folder):
    """What SWIG makes of the interface, in folder."""
    path = folder / "_libxl_wrap.c"
    subprocess.run(["swig", "-python", "-noproxy", "-Ibindings",
                    "-Ic/include", "-outdir", str(folder), "-o", str(path),
                    "bindings/python/_libxl.i"], cwd=ROOT, check=True)
    return path


def build(version, folder):
    """The package in folder, for that version: the interpreter's path.

    A warning of the compiler's about our sources is a failure.
    """
    python, include, suffix = FOUND[version]
    shutil.copytree(ROOT / "python" / "xlchild", folder / "xlchild")
    sources = sorted((ROOT / "bindings" / "python").glob("*.c"))
    done = subprocess.run(
        ["cc", "-std=gnu11", "-O0", "-fPIC", "-shared", "-pthread",
         "-fvisibility=hidden", "-Wall", "-Wno-deprecated-declarations",
         "-I" + include, "-Ibindings/python", "-Ic/include",
         "-o", str(folder / "xlchild" / ("_libxl" + suffix)),
         *map(str, sources), str(wrapper(folder)), "build/c/libxlchild.a",
         "-Wl,--exclude-libs,ALL", "-ldl"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"bindings/python/\S+: warning", done.stderr), \
        done.stderr
    return python
