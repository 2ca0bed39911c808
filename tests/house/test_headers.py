"""Public headers: each stands alone, and each function keeps the form."""
import re
import subprocess

import pytest

import headers
import tree
import variants

WARN = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only",
        "-I", str(tree.ROOT / "c/include")]
LANGUAGES = {
    "c11": ["gcc", "-std=c11", "-Wstrict-prototypes", "-x", "c"],
    "gnu17": ["gcc", "-std=gnu17", "-x", "c"],
    "c++11": ["g++", "-std=c++11", "-x", "c++"],
    "c++20": ["g++", "-std=c++20", "-x", "c++"],
}
LINES = ("Before:", "Effects:", "Owns:", "Calls:", "Threads:", "Signals:",
         "Fork:", "Returns:")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("header", [str(h) for h in tree.public_headers()])
def test_compiles_alone(header, language):
    answer = subprocess.run(
        [*LANGUAGES[language], *WARN, "-"], stderr=subprocess.PIPE, text=True,
        input=f'#include <{header}>\n#include <{header}>\n')
    assert answer.returncode == 0, answer.stderr


ARGV = """
#include <xlchild.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
    static const char *const constant[] = {"a", 0};
    const char *half[] = {"a", 0};
    char *const other[] = {argv[0], 0};
    libxl_childproc_spec spec;

    (void)argc;
    libxl_childproc_spec_init(&spec);
    spec.argv = argv + 1;
    spec.envp = environ;
    spec.argv = constant;
    spec.envp = half;
    spec.argv = other;
    return 0;
}
"""


@pytest.mark.parametrize("compiler", ["gcc -std=c11 -x c", "clang -x c",
                                      "g++ -x c++", "clang++ -x c++"])
def test_mains_argv_and_constant_arrays_need_no_cast(compiler):
    variants.need(compiler.split()[0])
    answer = subprocess.run(
        [*compiler.split(), *WARN, "-Wcast-qual", "-"], input=ARGV, text=True,
        stderr=subprocess.PIPE)
    assert answer.returncode == 0, answer.stderr


def test_every_declaration_has_a_comment():
    """The comment form is read from these, so none may escape it."""
    assert sorted(name for _, name, _, _ in headers.documented()) \
        == headers.declared()


def test_X6_every_declaration_has_a_symbol_of_the_librarys_own():
    """One without would be called libxl_ in object files, as Xen's are."""
    for header in tree.public_headers():
        for match in headers.DECLARATION.finditer(
                tree.text(f"c/include/{header}")):
            assert "libxl_" + match["symbol"] == match["name"]


@pytest.mark.parametrize(
    "header,name,comment",
    [(h, n, c) for h, n, c, _ in headers.documented()])
def test_comment_has_every_line(header, name, comment):
    words = re.sub(r"\n \*", "\n", comment)
    assert re.match(rf"/\* {name} - \S", words), \
        f"{header}: the comment starts with '{name} - ' and a sentence"
    sibling = re.search(r"\b[Aa]s (libxl_\w+)", words)
    if sibling:  # the lines it lacks are its sibling's
        assert sibling.group(1) in headers.declared()
        return
    missing = [line for line in LINES if line not in words]
    assert not missing, f"{header}: {name}: no line {' '.join(missing)}"


@pytest.mark.parametrize(
    "name,comment,prototype",
    [(n, c, p) for _, n, c, p in headers.documented()])
def test_named_errors_exist(name, comment, prototype):
    del prototype
    known = set(re.findall(r"X\((\w+), -", tree.text("c/include/xlchild/ctx.h")))
    named = set(re.findall(r"\bERROR_(\w+)", comment)) - {""}
    assert named <= known, f"{name}: {sorted(named - known)}"


@pytest.mark.parametrize(
    "name,comment", [(n, c) for _, n, c, _ in headers.documented()])
def test_each_error_says_what_to_do(name, comment):
    """Those that mean the same everywhere are explained once, in ctx.h."""
    words = re.sub(r"\n \*", "\n", comment).split("Returns:", 1)[-1]
    rows = re.split(r"\n   (?=ERROR_|> 0)", words)[1:]
    for row in rows:
        codes = re.findall(r"\bERROR_([A-Z_]*[A-Z])",
                           re.split(r"  |[a-z]", row, maxsplit=1)[0])
        assert codes or row.startswith("> 0"), f"{name}: {row}"
        if set(codes) - {"INVAL", "NOMEM", "SYSTEM"}:
            assert "->" in row, f"{name}: what to do about {row}"
