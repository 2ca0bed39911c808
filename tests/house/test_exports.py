"""Exports of the shared library, the version script and the headers agree."""
import re
import subprocess

import headers
import tree

SO = tree.ROOT / "build/c/libxlchild.so.0"
ARCHIVE = tree.ROOT / "build/c/libxlchild.a"


def symbols(*arguments):
    answer = subprocess.run(["nm", *arguments], check=True,
                            stdout=subprocess.PIPE, text=True)
    return answer.stdout.splitlines()


def mapped():
    body = re.sub(r"/\*.*?\*/|#.*", "",
                  tree.text("c/libxlchild.map"), flags=re.S)
    exported = body.split("local:")[0]
    assert "*" not in exported, "the map lists every name, without patterns"
    return sorted(re.findall(r"\b(\w+)\s*;", exported))


def test_map_lists_what_the_headers_declare():
    assert mapped() == headers.symbols()


def test_shared_library_exports_the_map():
    names = sorted(line.split()[-1].split("@")[0]
                   for line in symbols("-D", "--defined-only", str(SO))
                   if line.split()[-2] != "A")
    assert names == mapped()


def test_shared_library_has_its_soname():
    dynamic = subprocess.run(["readelf", "-d", str(SO)], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    assert "soname: [libxlchild.so.0]" in dynamic


def test_nothing_executable_on_the_stack_and_no_text_relocations():
    program = subprocess.run(["readelf", "-lW", str(SO)], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    stack = [line for line in program.splitlines() if "GNU_STACK" in line]
    assert len(stack) == 1 and "RWE" not in stack[0]
    dynamic = subprocess.run(["readelf", "-d", str(SO)], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    assert "TEXTREL" not in dynamic


def test_X6_the_archive_exposes_the_same_names_and_no_other():
    """A static link must not collide with the program's names."""
    names = sorted(line.split()[-1]
                   for line in symbols("-g", "--defined-only", str(ARCHIVE))
                   if len(line.split()) == 3)
    assert names == mapped()


def test_X6_every_name_is_the_librarys_own():
    assert [n for n in mapped() if not n.startswith("xlchild_")] == []
