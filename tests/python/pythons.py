"""The other CPythons at hand (scripts/cpythons.py), and the package built for
one of them.

Required is none but the system's own, which runs everything else. The core
comes from the C library's archive.
"""
import re
import shutil
import subprocess

import cpythons
from conftest import ROOT

FOUND = {"%d.%d" % version: found
         for version, found in sorted(cpythons.others().items())}
VERSIONS = list(FOUND)


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
