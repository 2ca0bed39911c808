"""The library in one process with libxenlight, whose functions have the names
of our sources: whichever way either is linked, both halves work (X6).

The stand-in has all those names, and our internal ones as well. It is asked
by code of the program, and by code of its own.
"""
import re
import shutil
import subprocess

import pytest

import headers
import tree
import variants

LIBCS = ["gcc", "musl-gcc"]

OURS = """
#include <xlchild.h>
#include <sys/wait.h>

int ours(void)
{
    const char *argv[] = {"/bin/sh", "-c", "exit 23", 0};
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none,
                                   .size = sizeof hooks};
    libxl_childproc_result result;
    libxl_childproc_spec spec;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    int rc;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, 0) != 0)
        return 0;
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    rc = libxl_childproc_setmode_checked(ctx, &hooks, 0);
    if (rc == 0)
        rc = libxl_childproc_spawn(ctx, &spec, 0, &id, 0, 0);
    if (rc == 0)
        rc = libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &result);
    if (libxl_ctx_free(ctx) != 0 || rc != 0)
        return 0;
    return WIFEXITED(result.status) && WEXITSTATUS(result.status) == 23;
}
"""

MAIN = """
#include <stdio.h>

int ours(void), theirs(void), xen_itself(void);

int main(void)
{
    int a = ours(), b = theirs(), c = xen_itself(), d = ours();

    printf("%d%d%d%d\\n", a, b, c, d);
    return 0;
}
"""

HOST = """
#include <dlfcn.h>
#include <stdio.h>

int HALF(void);

int main(int argc, char **argv)
{
    int flags = RTLD_NOW | (argc > 3 ? RTLD_GLOBAL : RTLD_LOCAL);
    int before = HALF(), in, after;
    void *plugin = dlopen(argv[1], flags);
    int (*half)(void);

    if (plugin == NULL) {
        puts(dlerror());
        return 1;
    }
    *(void **)&half = dlsym(plugin, argv[2]);
    in = half();
    after = HALF();
    printf("%d%d%d\\n", before, in, after);
    return 0;
}
"""


def internal():
    """The core's own global names, before the archive makes them local."""
    objects = sorted((tree.ROOT / "build/c").glob("*/*.o"))
    answer = subprocess.run(["nm", "-g", "--defined-only", *map(str, objects)],
                            check=True, stdout=subprocess.PIPE, text=True)
    return sorted(set(re.findall(r" [TDBRV] (xl_\w+)$", answer.stdout,
                                 flags=re.M)))


def xen():
    names = headers.declared() + internal()
    calls = " && ".join(f"{name}() == 4242" for name in names)
    prototypes = "".join(f"int {name}(void);\n" for name in names)
    return (prototypes
            + "".join(f"int {name}(void) {{ return 4242; }}\n"
                      for name in names)
            + f"int xen_itself(void) {{ return {calls}; }}\n",
            prototypes + f"int theirs(void) {{ return {calls}; }}\n")


class Parts:
    """What can be linked with one another, for one C library."""

    def __init__(self, compiler, folder):
        self.compiler = compiler
        self.folder = folder
        self.lib = tree.ROOT / "build/c" if compiler == "gcc" \
            else variants.library(folder / "lib", CC=compiler)
        fake, theirs = xen()
        for name, text in ("ours", OURS), ("theirs", theirs), \
                ("main", MAIN), ("xen", fake):
            (folder / f"{name}.c").write_text(text)
            self.cc("-c", "-fPIC", "-o", f"{name}.o", f"{name}.c")
        self.cc("-shared", "-o", "libxen.so", "xen.o")
        self.run("ar", "rcs", "libxen.a", "xen.o")
        shutil.copy(self.lib / "libxlchild.so.0", folder)
        shutil.copy(self.lib / "libxlchild.so.0", folder / "libxlchild.so")
        shutil.copy(self.lib / "libxlchild.a", folder)

    def run(self, *command):
        return variants.run(*command, cwd=self.folder)

    def cc(self, *arguments):
        return self.run(self.compiler, "-std=gnu11", "-w", "-pthread",
                        f"-I{tree.ROOT}/c/include", *arguments)

    def host(self, half, *link):
        """A program with one half that can load the other."""
        (self.folder / "host.c").write_text(HOST)
        self.cc(f"-DHALF={half}", "-o", "host", "host.c", f"{half}.o", *link,
                f"-Wl,-rpath,{self.folder}", "-ldl")


@pytest.fixture(name="parts", params=LIBCS, scope="module")
def parts_fixture(request, tmp_path_factory):
    variants.need(request.param)
    return Parts(request.param, tmp_path_factory.mktemp("beside"))


@pytest.mark.parametrize("dynamic", ["", "-rdynamic"], ids=["", "rdynamic"])
@pytest.mark.parametrize("order", [1, -1], ids=["ours first", "xen first"])
@pytest.mark.parametrize("of_xen", ["a", "so"])
@pytest.mark.parametrize("of_ours", ["a", "so"])
def test_X6_both_in_one_program(parts, of_ours, of_xen, order, dynamic):
    libraries = [f"./libxlchild.{of_ours}", f"./libxen.{of_xen}"][::order]
    objects = ["ours.o", "theirs.o"][::order]
    flags = [dynamic] if dynamic else []
    parts.cc(*flags, "-o", "both", "main.o", *objects, *libraries,
             f"-Wl,-rpath,{parts.folder}", "-ldl")
    assert parts.run("./both") == "1111\n"


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("of_xen", ["a", "so"])
@pytest.mark.parametrize("of_ours", ["a", "so"])
def test_X6_ours_in_a_plugin_of_a_program_with_xens(parts, of_ours, of_xen,
                                                    scope):
    parts.host("theirs", "-rdynamic", "-Wl,--whole-archive",
               f"./libxen.{of_xen}", "-Wl,--no-whole-archive")
    parts.cc("-shared", "-o", "plugin.so", "ours.o",
             f"./libxlchild.{of_ours}", f"-Wl,-rpath,{parts.folder}")
    assert parts.run("./host", "./plugin.so", "ours",
                     *["x"] * (scope == "global")) == "111\n"


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("of_xen", ["a", "so"])
@pytest.mark.parametrize("of_ours", ["a", "so"])
def test_X6_xens_in_a_plugin_of_a_program_with_ours(parts, of_ours, of_xen,
                                                    scope):
    parts.host("ours", "-rdynamic", "-Wl,--whole-archive",
               f"./libxlchild.{of_ours}", "-Wl,--no-whole-archive")
    parts.cc("-shared", "-o", "plugin.so", "theirs.o", f"./libxen.{of_xen}",
             f"-Wl,-rpath,{parts.folder}")
    assert parts.run("./host", "./plugin.so", "theirs",
                     *["x"] * (scope == "global")) == "111\n"


def test_X6_the_stand_in_has_what_would_clash():
    """With the names of the sources as symbols, it meets them all."""
    fake = set(re.findall(r"^int (\w+)\(void\) {", xen()[0], flags=re.M))
    assert set(headers.declared()) <= fake
    assert {n for n in fake if n.startswith("xl_")}
