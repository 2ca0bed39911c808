"""What is built is hardened, as docs/security.md says: seen by readelf and nm.

c/hardening.sh asks the compiler which flags it takes; the child's half goes
without the stack protector (C17).
"""
import os
import re
import subprocess

import pytest

import tree

BUILD = tree.ROOT / "build"
SHARED = {
    "C": [BUILD / "c/libxlchild.so.0"],
    "Python": sorted((BUILD / "python/xlchild").glob("_libxl*.so")),
    "OCaml": [BUILD / "ocaml/default/lib/dllxlchild_stubs.so"],
}
PROGRAMS = [BUILD / "ocaml/default/examples/daemon.exe",
            BUILD / "python/xlchild/services/_keeper"]
OBJECTS = {
    "C": BUILD / "c/libxlchild.o",
    "OCaml": BUILD / "ocaml/default/lib/libxlchild_stubs.a",
}
CHILDS = ["start/child_setup.o", "kernel/probe_child.o",
          "kernel/keeper_child.o"]


def output(*command, **more):
    return subprocess.run([str(word) for word in command], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, **more).stdout


def flags(*given, compiler="gcc"):
    return output("sh", tree.ROOT / "c/hardening.sh", *given,
                  env=dict(os.environ, CC=compiler)).split()


def linked_safely(path):
    """Nothing is writable once it is loaded that need not be, and the stack
    is no code."""
    dynamic = output("readelf", "-Wd", path)
    assert re.search(r"\(FLAGS\).*BIND_NOW", dynamic)
    assert "TEXTREL" not in dynamic
    headers = output("readelf", "-Wl", path)
    assert "GNU_RELRO" in headers
    assert re.search(r"GNU_STACK.* RW ", headers)
    return headers


@pytest.mark.parametrize("language", SHARED)
def test_shared_objects(language):
    assert SHARED[language]
    for path in SHARED[language]:
        linked_safely(path)
        wanted = output("nm", "-D", "--undefined-only", path)
        assert "__stack_chk_fail" in wanted
        assert re.search(r"__(mem\w+|v?snprintf)_chk", wanted)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_programs(path):
    assert re.search(r"Type:\s+DYN", output("readelf", "-h", path))
    linked_safely(path)


def test_the_keeper_s_buffers_are_guarded():
    wanted = output("nm", "-D", "--undefined-only", PROGRAMS[1])
    assert "__stack_chk_fail" in wanted and "__snprintf_chk" in wanted


@pytest.mark.parametrize("language", OBJECTS)
def test_branches_are_marked(language):
    """For processors that check where a jump lands and a return goes."""
    if "-fcf-protection" not in flags("-O2"):
        pytest.skip("the compiler has no marks for this processor")
    assert re.search(r"IBT, SHSTK", output("readelf", "-n",
                                           OBJECTS[language]))


@pytest.mark.parametrize("name", CHILDS)
def test_C17_childs_half_is_without_the_protectors_call(name):
    wanted = output("nm", "-u", BUILD / "c" / name)
    assert "_chk" not in wanted


def test_flags_are_the_compilers():
    all_of_them = flags("-O2")
    assert "-fstack-protector-strong" in all_of_them
    assert "-fstack-clash-protection" in all_of_them
    assert any("_FORTIFY_SOURCE=" in flag for flag in all_of_them)


@pytest.mark.parametrize("given", [
    ["-O0"], [], ["-O2", "-D_FORTIFY_SOURCE=2"], ["-O1", "-fsanitize=address"],
    ["-O2", "-O0"]])
def test_libcs_checks_where_they_work(given):
    """Not without an optimiser, nor beside a sanitizer's, nor twice."""
    assert not any("FORTIFY" in flag for flag in flags(*given))


def test_an_older_compiler_gets_what_it_takes(tmp_path):
    """One that knows neither level 3 nor -fcf-protection."""
    old = tmp_path / "cc"
    old.write_text("#!/bin/sh\ncase \"$*\" in *fcf*|*SOURCE=3*) exit 1;; esac\n"
                   "exec gcc \"$@\"\n")
    old.chmod(0o755)
    found = flags("-O2", compiler=str(old))
    assert "-D_FORTIFY_SOURCE=2" in found
    assert "-fstack-protector-strong" in found
    assert "-fcf-protection" not in found
