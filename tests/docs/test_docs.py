"""The examples of README, docs and manual pages are run as they stand.

C is built against the library as `make install` puts it, with what
pkg-config says; a block without a main() is only compiled. Python imports the
built package, OCaml links the built library. A block has to end with status
0 and, where an `output` block follows, to print just that.
"""
import os
import subprocess

import pytest

import blocks
import tree

BLOCKS = blocks.everywhere()
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
SECONDS = 120
OCAML_PACKAGES = (("Xlchild_lwt", "xlchild-lwt"),
                  ("Xlchild_supervisor", "xlchild.supervisor"),
                  ("Xlchild_forkhelpers_mtime", "xlchild.forkhelpers_mtime"),
                  ("Xlchild_forkhelpers", "xlchild.forkhelpers"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The environment of a user who has everything installed."""
    prefix = tmp_path_factory.mktemp("prefix")
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("MAKE") and name != "MFLAGS"}
    subprocess.run(
        ["make", "--no-print-directory", "install", f"PREFIX={prefix}"],
        cwd=tree.ROOT, env=environment, check=True,
        stdout=subprocess.DEVNULL)
    programs = tmp_path_factory.mktemp("bin")
    (programs / "python3").symlink_to(PYTHON)
    build = tree.ROOT / "build"
    environment.update(
        PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig"),
        LD_LIBRARY_PATH=str(prefix / "lib"),
        PATH=f"{programs}:{environment['PATH']}",
        PYTHONPATH=str(build / "python"),
        PYTHONDONTWRITEBYTECODE="1",
        OCAMLPATH=str(build / "ocaml/install/default/lib"))
    return environment


def run(command, environment, folder, **more):
    answer = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=SECONDS, **more)
    assert answer.returncode == 0, \
        f"{command} ended with {answer.returncode}:\n" \
        f"{answer.stdout}{answer.stderr}"
    return answer.stdout


# What a C example needs besides, by a header that it includes.
C_PACKAGES = (("glib-unix.h", "glib-2.0"), ("uv.h", "libuv"),
              ("event2/event.h", "libevent"),
              ("systemd/sd-event.h", "libsystemd"))
C_FLAGS = (("ev.h", ["-fno-strict-aliasing", "-lev"]),)


def run_c(body, environment, folder):
    packages = ["xlchild"] + [package for header, package in C_PACKAGES
                              if f"#include <{header}>" in body]
    flags = run(["pkg-config", "--cflags", "--libs", *packages],
                environment, folder).split()
    for header, more in C_FLAGS:
        if f"#include <{header}>" in body:
            flags += more
    compiler = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror",
                "-Wno-unused-function", "-Wno-unused-parameter"]
    source = folder / "example.c"
    if "main(" not in body:
        source.write_text("#include <xlchild.h>\n" + body, encoding="utf-8")
        run([*compiler, "-fsyntax-only", str(source), *flags],
            environment, folder)
        return None
    source.write_text(body, encoding="utf-8")
    run([*compiler, "-o", "example", str(source), *flags, "-pthread"],
        environment, folder)
    return run(["./example"], environment, folder)


def run_python(body, environment, folder):
    source = folder / "example.py"
    source.write_text(body, encoding="utf-8")
    if body.lstrip().startswith(">>>"):
        return run([PYTHON, "-c", "import doctest, sys; sys.exit("
                    "doctest.testfile(sys.argv[1], False).failed)",
                    str(source)], environment, folder)
    # PyGObject's own importer is of an old kind
    return run([PYTHON, "-W", "error", "-W", "default::ImportWarning",
                str(source)], environment, folder)


def run_ocaml(body, environment, folder):
    source = folder / "example.ml"
    source.write_text(body, encoding="utf-8")
    package = next((package for module, package in OCAML_PACKAGES
                    if module in body), "xlchild")
    run(["ocamlfind", "ocamlopt", "-thread", "-package", package, "-linkpkg",
         "-o", "example", "example.ml"], environment, folder)
    return run(["./example"], environment, folder)


def run_sh(body, environment, folder):
    return run(["sh", "-eu", "-c", body], environment, folder)


RUNNERS = {"c": run_c, "python": run_python, "ocaml": run_ocaml,
           "sh": run_sh}


def test_there_is_an_example_a_language_in_the_readme():
    languages = {b.language for b in BLOCKS
                 if str(b.path) == "README.md" and b.reason is None}
    assert {"c", "python", "ocaml"} <= languages


def test_what_is_not_run_says_why():
    assert [b for b in BLOCKS
            if b.reason is not None and len(b.reason.split()) < 3] == []


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.reason is None],
                         ids=repr)
def test_block(block, installed, tmp_path):
    printed = RUNNERS[block.language](block.body, installed, tmp_path)
    if block.output is not None:
        assert printed == block.output


def test_the_asyncio_example_of_the_readme_with_ten_thousand(installed,
                                                             tmp_path):
    """Thirty lines, and every status right."""
    (block,) = [b for b in BLOCKS if str(b.path) == "README.md"
                and "COMMANDS = 200" in b.body]
    assert block.body.count("\n") <= 30
    printed = run_python(block.body.replace("= 200", "= 10_000"), installed,
                         tmp_path)
    assert printed == "11000 statuses, all of them right\n"
