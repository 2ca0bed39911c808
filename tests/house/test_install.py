"""`make install` puts what a user needs where DESTDIR and PREFIX say, and a
program built against it by pkg-config alone runs, shared and static."""
import os
import subprocess

import pytest

import headers
import tree

PROGRAM = """
#include <xlchild.h>
#include <stdio.h>

int main(void)
{
    libxl_ctx *ctx;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL) != 0)
        return 1;
    puts(libxl_version_string());
    return libxl_ctx_free(ctx) != 0;
}
"""


def environment(**more):
    kept = {n: v for n, v in os.environ.items()
            if n not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}
    kept.update(more)
    return kept


def make_install(**variables):
    subprocess.run(
        ["make", "--no-print-directory", "install",
         *(f"{name}={value}" for name, value in variables.items())],
        cwd=tree.ROOT, check=True, env=environment(),
        stdout=subprocess.DEVNULL)


def installed(base):
    return sorted(str(p.relative_to(base)) for p in base.rglob("*")
                  if not p.is_dir())


@pytest.fixture(name="prefix", scope="module")
def prefix_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    make_install(PREFIX=folder)
    return folder


def output(*command, **more):
    return subprocess.run([str(c) for c in command], check=True,
                          stdout=subprocess.PIPE, text=True,
                          env=environment(**more)).stdout


def test_destdir_is_in_front_and_not_in_the_pkg_config_file(tmp_path):
    make_install(DESTDIR=tmp_path, PREFIX="/opt/x")
    names = installed(tmp_path)
    assert names and all(n.startswith("opt/x/") for n in names)
    for name in ("lib/libxlchild.a", "lib/libxlchild.so.0",
                 "lib/libxlchild.so", "lib/pkgconfig/xlchild.pc",
                 "include/xlchild.h", "include/xlchild/ctx.h"):
        assert f"opt/x/{name}" in names
    body = (tmp_path / "opt/x/lib/pkgconfig/xlchild.pc").read_text()
    assert "prefix=/opt/x\n" in body
    assert str(tmp_path) not in body and "@" not in body


def test_libdir_can_be_elsewhere(tmp_path):
    make_install(DESTDIR=tmp_path, PREFIX="/usr",
                 LIBDIR="/usr/lib/x86_64-linux-gnu")
    names = installed(tmp_path)
    assert "usr/lib/x86_64-linux-gnu/libxlchild.so.0" in names
    assert "usr/lib/x86_64-linux-gnu/pkgconfig/xlchild.pc" in names


def test_every_public_header_is_installed(prefix):
    assert sorted(str(p.relative_to(prefix / "include"))
                  for p in (prefix / "include").rglob("*.h")) == \
        sorted(str(h) for h in tree.public_headers())


def test_every_public_function_has_a_manual_page(prefix):
    pages = {p.name.split(".")[0] for p in (prefix / "share/man").rglob("*.3")}
    assert set(headers.declared()) - pages == set()
    assert (prefix / "share/man/man7/xlchild.7").is_file()


@pytest.mark.parametrize("static", [False, True])
def test_program_built_by_pkg_config_runs(prefix, static, tmp_path):
    where = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags = output("pkg-config", "--cflags", "--libs",
                   *(["--static"] if static else []), "xlchild", **where)
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    program = tmp_path / "program"
    output("gcc", *(["-static"] if static else []), "-o", program, source,
           *flags.split())
    version = output("pkg-config", "--modversion", "xlchild", **where)
    assert output(program, LD_LIBRARY_PATH=str(prefix / "lib")) == version
    needed = output("readelf", "-d", program)
    assert ("libxlchild.so.0" in needed) is not static


def test_uninstall_takes_away_what_install_has_put_there(tmp_path):
    make_install(DESTDIR=tmp_path, PREFIX="/opt/x")
    other = tmp_path / "opt/x/lib/libother.so.0"
    other.write_text("somebody else's")
    subprocess.run(
        ["make", "--no-print-directory", "uninstall", f"DESTDIR={tmp_path}",
         "PREFIX=/opt/x"], cwd=tree.ROOT, check=True, env=environment(),
        stdout=subprocess.DEVNULL)
    assert installed(tmp_path) == ["opt/x/lib/libother.so.0"]
    assert not (tmp_path / "opt/x/include/xlchild").exists()
