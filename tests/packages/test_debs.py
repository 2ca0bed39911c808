"""The Debian packages, installed and used in new systems of both releases."""
import pytest

from conftest import ROOT, SUITES, inside

NAMES = {"libxlchild0", "libxlchild-dev", "python3-xlchild",
         "libxlchild-ocaml", "libxlchild-ocaml-dev", "xlchild"}
INSTALL = "apt-get -qq update\napt-get -qq -y install " \
    "--no-install-recommends %s > /dev/null\n"
FILES = " ".join("/dist/$suite/%s_*.deb" % name for name in sorted(NAMES))
NOTHING_LEFT = """
apt-get -qq -y purge $(dpkg-query -W -f '${Package}\\n' | grep xlchild) \\
    > /dev/null
if dpkg-query -W -f '${Package} ${Status}\\n' | grep 'xlchild.*installed'; then
    exit 1
fi
if find / -xdev -path /source -prune -o -path /dist -prune -o -path /out \\
    -prune -o -path /tmp -prune -o -path /var/cache/apt -prune \\
    -o -name '*xlchild*' -print | grep .; then
    exit 1
fi
ldconfig
"""


@pytest.mark.parametrize("suite", SUITES)
def test_there_is_a_package_for_each_purpose(packages, suite):
    made = {p.name.partition("_")[0]
            for p in (packages / suite).glob("*.deb")}
    assert {n for n in made if not n.endswith("-dbgsym")} == NAMES


@pytest.mark.parametrize("suite", SUITES)
def test_a_machine_without_compilers(packages, suite, tmp_path):
    """The command, its page, its completions; Python; then a wheel, which a
    system with compilers has made for the Python of the release."""
    inside(suite + "+wheel", """
mkdir /build
cd /build
tar -C /source --exclude=./build --exclude=./.git -cf - . |
    tar --no-same-owner -xf -
export SOURCE_DATE_EPOCH=$(sed -n 's/^epoch //p' /dist/%s/epoch)
python3 -B scripts/dist.py --into /out wheel
""" % suite, tmp_path)
    script = "suite=%s\n" % suite + INSTALL % (
        "/dist/$suite/xlchild_*.deb /dist/$suite/python3-xlchild_*.deb "
        "python3-venv") + """
cp -r /source/README.md /source/debian /tmp
cd /tmp
debian/tests/smoke python
dpkg -L xlchild | grep -q '/man1/xlchild.1.gz$'
dpkg -L xlchild | grep -q '/bash-completion/completions/xlchild$'
dpkg -L xlchild | grep -q '/zsh/vendor-completions/_xlchild$'
dpkg -L xlchild | grep -q '/fish/vendor_completions.d/xlchild.fish$'
xlchild doctor | grep -q 'SIGCHLD'
if command -v cc || command -v gcc || command -v swig; then exit 1; fi
""" + NOTHING_LEFT + """
python3 -m venv /opt/venv
/opt/venv/bin/pip -q install --no-index /out/*.whl
/opt/venv/bin/xlchild echo ::: one | grep -qx one
/opt/venv/bin/pip -q uninstall -y xlchild
if /opt/venv/bin/python -c 'import xlchild' 2> /dev/null; then exit 1; fi
"""
    inside(suite, script, tmp_path)


@pytest.mark.parametrize("suite", SUITES)
def test_the_library_and_ocaml(packages, suite, tmp_path):
    """What autopkgtest runs; pkg-config, CMake, Meson; then all of it goes."""
    script = "suite=%s\n" % suite + INSTALL % (
        FILES + " ocaml ocaml-findlib gcc libc6-dev pkgconf cmake meson "
        "ninja-build make") + """
cp -r /source/README.md /source/debian /source/docs/examples /tmp
cd /tmp
for language in c python ocaml; do debian/tests/smoke $language; done
cmake -S examples/cmake -B cmake > /dev/null
cmake --build cmake > /dev/null
cmake/hello | grep -qx 'exit 3'
meson setup meson examples/meson > /dev/null
ninja -C meson > /dev/null
meson/hello | grep -qx 'exit 3'
man3=/usr/share/man/man3
[ -e $man3/libxl_childproc_spawn.3.gz ]
""" + NOTHING_LEFT
    inside(suite, script, tmp_path)


@pytest.mark.parametrize("suite", SUITES)
def test_an_upgrade(packages, suite, tmp_path):
    """From an older version of every package, while programs use it."""
    script = "suite=%s\n" % suite + """
mkdir /old
for name in %s; do
    dpkg-deb -R /dist/$suite/${name}_*.deb /tmp/$name
    sed -i -e 's/^Version: .*/Version: 0.0.1/' \\
        -e 's/(= [0-9][^)]*)/(= 0.0.1)/' \\
        -e '/^Depends/s/xlchild (>= [^)]*)/xlchild (>= 0.0.1)/' \\
        /tmp/$name/DEBIAN/control
    dpkg-deb -b /tmp/$name /old/$name.deb > /dev/null
done
""" % " ".join(sorted(NAMES)) + INSTALL % "/old/*.deb" + """
dpkg-query -W -f '${Package} ${Version}\\n' | grep xlchild | grep -c ' 0.0.1$' |
    grep -qx %d
mkfifo /tmp/go
xlchild sh -c 'cat /tmp/go; echo done' ::: job > /tmp/said &
job=$!
""" % len(NAMES) + INSTALL % FILES + """
echo > /tmp/go
wait $job
grep -qx done /tmp/said
if dpkg-query -W -f '${Package} ${Version}\\n' | grep 'xlchild.* 0.0.1$'; then
    exit 1
fi
cp -r /source/README.md /source/debian /tmp
cd /tmp
debian/tests/smoke python
rm -r /old
""" + NOTHING_LEFT
    inside(suite, script, tmp_path)


@pytest.mark.parametrize("suite", SUITES)
def test_autopkgtest_passes(packages, suite, tmp_path):
    """The real one, which installs what debian/tests asks for by itself."""
    script = "suite=%s\n" % suite + INSTALL % "autopkgtest dpkg-dev" + """
mkdir /build
cd /build
cp /dist/$suite/*.dsc /dist/$suite/*.tar.* .
dpkg-source -x *.dsc xlchild > /dev/null
autopkgtest --no-built-binaries /dist/$suite/*.deb xlchild/ -- null
""" + NOTHING_LEFT.replace("-path /tmp", "-path /build -prune -o -path /tmp")
    said = inside(suite, script, tmp_path)
    results = said[said.rindex("@@@@@@@@@@@@@@@@@@@@ summary"):]
    assert [line.split()[-1] for line in results.splitlines()[1:4]] \
        == ["PASS"] * 3, results


@pytest.mark.parametrize("suite", SUITES)
def test_what_lintian_says(packages, suite):
    """scripts/debs stops at errors and warnings: it did run, and said none."""
    said = (packages / suite / "lintian.log").read_text(encoding="utf-8")
    assert [line for line in said.splitlines()
            if line.startswith(("E:", "W:"))] == []


@pytest.mark.parametrize("suite", SUITES)
def test_two_builds_give_the_same_packages(packages, suite, tmp_path):
    """Built again, in another new system. (In a folder of the same name, as
    Debian has it: OCaml's .cmt and .cma have that inside.)"""
    script = """
mkdir /build
cd /build
cp /dist/%(suite)s/*.dsc /dist/%(suite)s/*.tar.* .
dpkg-source -x *.dsc > /dev/null
export SOURCE_DATE_EPOCH=$(sed -n 's/^epoch //p' /dist/%(suite)s/epoch)
cd xlchild-*/
dpkg-buildpackage -us -uc -b > /out/log 2>&1
cd ..
for deb in *.deb; do
    cmp $deb /dist/%(suite)s/$deb
done
ls *.deb | wc -l
"""
    said = inside(suite + "+debs", script % {"suite": suite}, tmp_path)
    assert int(said.split()[-1]) >= len(NAMES)


@pytest.mark.parametrize("suite", SUITES[:1])
def test_opam_accepts_its_files(suite, tmp_path):
    said = inside(suite, INSTALL % "opam" + "cd /source/ocaml\n"
                  "opam lint xlchild.opam xlchild-lwt.opam "
                  "xlchild-eio.opam\n", tmp_path)
    assert "warning" not in said and "error" not in said
    assert (ROOT / "ocaml/xlchild.opam").is_file()
