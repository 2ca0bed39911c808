"""The other CPythons at hand: XLCHILD_PYTHONS (paths, separated by colons) or,
without that, those below ~/.pyenv.

Used by dist.py (wheels) and by the tests of Python (pythons.py). None is
required. Those without a GIL are left out: the extension is not for them
(docs/decisions.md), and a wheel would have to say so.
"""
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, sysconfig
print(sys.version_info[0], sys.version_info[1],
      sysconfig.get_paths()["include"], sysconfig.get_config_var("EXT_SUFFIX"),
      sys.implementation.name,
      bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
"""


def others():
    """(3, minor) -> (path, include folder, suffix of extensions): 3.8 and
    later, with headers and a GIL, but for the one that runs this."""
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
        if done.returncode or words[4:] != ["cpython", "False"]:
            continue
        version = int(words[0]), int(words[1])
        if version < (3, 8) or version == sys.version_info[:2] \
                or not os.path.exists(words[2] + "/Python.h"):
            continue
        found[version] = path, words[2], words[3]
    return found
