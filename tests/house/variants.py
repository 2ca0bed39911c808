"""Builds the C library elsewhere: with another compiler, or other headers.
Used by the checks of its names and its structs, no tests of its own."""
import os
import shutil
import subprocess

import pytest

import tree


def library(folder, **variables):
    """The folder with libxlchild.a and .so.0, built with the variables that
    c/build.mk names."""
    clean = {n: v for n, v in os.environ.items()
             if n not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    answer = subprocess.run(
        ["make", "--no-print-directory", "-j2", "lib", f"XL_BUILD={folder}",
         "XL_CFLAGS=-O1",
         *(f"{name}={value}" for name, value in variables.items())],
        cwd=tree.ROOT, env=clean, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    return folder


def need(compiler):
    """Skips where it is not installed: clang comes with `make check-all`."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")


def run(*command, **more):
    """Its output; a failure shows it."""
    answer = subprocess.run(
        [str(c) for c in command], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=60, **more)
    assert answer.returncode == 0, \
        f"{' '.join(map(str, command))}\n{answer.returncode}\n{answer.stdout}"
    return answer.stdout
