"""The source distribution, the wheel made of it, and what pip installs.

With Debian's setuptools and pip, without isolation and without a network.
"""
import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT

pytestmark = pytest.mark.own_process
SOURCES = ("python", "c/src", "c/include", "c/hardening.sh", "bindings",
           "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE",
           "CHANGELOG.md")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def environment(**more):
    """Nothing of this build is on the path."""
    kept = {name: value for name, value in os.environ.items()
            if name != "PYTHONPATH"}
    return dict(kept, PIP_ROOT_USER_ACTION="ignore", **more)


def run(command, **options):
    """What it prints; fails with what it prints if it fails."""
    done = subprocess.run([str(word) for word in command],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=300, env=environment(),
                          **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, made of a copy of the tree."""
    folder = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        place = folder / "xlchild" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place)
        else:
            shutil.copy(ROOT / name, place)
    run([sys.executable, "-c", "from setuptools import build_meta;"
         "build_meta.build_sdist('../dist')"], cwd=folder / "xlchild")
    (path,) = (folder / "dist").iterdir()
    assert path.name == "xlchild-0.1.0.tar.gz"
    return path


@pytest.fixture(scope="module")
def without_swig():
    """It needs none: a run of it would fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWIG", "/nonexistent/swig")
        yield


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory, without_swig):
    """The wheel, made of the source distribution alone."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    run(PIP + ["wheel", "--no-build-isolation", "--no-deps", "--no-index",
               "-w", folder / "wheels", folder / "xlchild-0.1.0"])
    (path,) = (folder / "wheels").iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Where pip has put the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    run(PIP + ["install", "--no-deps", "--no-index", "--target", folder,
               wheel])
    return folder


def test_sdist_has_what_was_built_of(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder, suffixes in (("c/src", (".c", ".h")),
                             ("c/include", (".h",)),
                             ("bindings/python", (".c", ".h", ".i")),
                             ("python/xlchild", (".py", ".pyi"))):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes:
                assert str(path.relative_to(ROOT)) in names
    assert {"LICENSE", "README.md", "setup.py", "pyproject.toml",
            "bindings/libxl.i", "python/xlchild/py.typed"} <= names
    assert {name for name in names if name.startswith("generated")} \
        >= {"generated/_libxl_wrap.c"}
    assert {name for name in names if name.startswith("build")} \
        <= {"build", "build/xlchild.egg-info",
            "build/xlchild.egg-info/SOURCES.txt"}


@pytest.mark.long
def test_wheel_has_the_core_inside(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = (n for n in names if n.endswith("/METADATA"))
        about = email.message_from_bytes(archive.read(info))
        (scripts,) = (n for n in names if n.endswith("/entry_points.txt"))
        assert b"xlchild = xlchild.__main__:main" in archive.read(scripts)
        program = archive.getinfo("xlchild/services/_keeper")
    have = {n for n in names if n.startswith("xlchild/")}
    want = {"xlchild/" + str(p.relative_to(ROOT / "python/xlchild"))
            for p in (ROOT / "python/xlchild").rglob("*")
            if p.suffix in (".py", ".pyi") or p.name == "py.typed"}
    extension = {n for n in have if n.endswith(".so")}
    assert program.external_attr >> 16 & 0o111 == 0o111
    want.add(program.filename)
    assert have - extension == want and len(extension) == 1
    assert (about["Name"], about["Version"]) == ("xlchild", "0.1.0")
    assert about["Requires-Python"] == ">=3.8"
    assert (about["License-Expression"] or about["License"]) == "MIT"
    classifiers = about.get_all("Classifier")
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.14"} \
        <= set(classifiers)
    old = [c for c in classifiers if c.startswith("License ::")]
    assert bool(old) == (about["License-Expression"] is None)
    homes = dict(url.split(", ") for url in about.get_all("Project-URL"))
    dune = (ROOT / "ocaml" / "dune-project").read_text()
    assert sorted(homes) == ["Homepage", "Issues"]
    assert all('"%s"' % url in dune for url in homes.values())
    assert about.get_payload().startswith("# xlchild")


SETUPTOOLS = """
class sdist: pass
class build_ext: pass
def Extension(*args, **kwargs): pass
def setup(**told):
    print(told.get("license"), told.get("license_expression"),
          sum(c.startswith("License ::") for c in told["classifiers"]))
"""


@pytest.mark.parametrize("version, packaging, told", [
    ("66.1.1", True, "MIT None 1"), ("77.0", True, "None MIT 0"),
    ("78.1.1", False, "MIT None 1")])
def test_the_licence_is_an_expression_where_it_can_be(version, packaging,
                                                      told, tmp_path):
    """PEP 639; with stand-ins for setuptools of that age."""
    for name in "setuptools/command", "packaging":
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "packaging/__init__.py").write_text("")
    if packaging:
        (tmp_path / "packaging/licenses.py").write_text("")
    (tmp_path / "setuptools/__init__.py").write_text(
        SETUPTOOLS + "__version__ = %r\n" % version)
    (tmp_path / "setuptools/command/__init__.py").write_text("")
    for name in "sdist", "build_ext":
        (tmp_path / "setuptools/command" / (name + ".py")).write_text(
            "from setuptools import " + name)
    shutil.copy(ROOT / "setup.py", tmp_path)
    done = subprocess.run([sys.executable, "setup.py"], cwd=tmp_path,
                          env={"PYTHONPATH": str(tmp_path)}, check=True,
                          stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() == told


@pytest.mark.long
def test_it_runs_without_the_c_library(installed):
    (extension,) = (installed / "xlchild").glob("_libxl*.so")
    needed = [line for line in run(["readelf", "-d", extension]).splitlines()
              if "(NEEDED)" in line]
    assert needed and not any("xlchild" in line for line in needed)
    script = "import sys; sys.path.insert(0, sys.argv[1]); import xlchild; " \
        "assert xlchild.__file__.startswith(sys.argv[1]); " \
        "print(xlchild.run(['echo', 'hello'], capture_output=True)," \
        "xlchild.__version__)"
    assert "b'hello\\n'" in run([sys.executable, "-I", "-c", script,
                                 installed], cwd="/")


@pytest.mark.long
def test_the_script_runs(installed):
    done = subprocess.run([installed / "bin" / "xlchild", "-k", "echo",
                           ":::", "a", "b"], stdout=subprocess.PIPE,
                          env=environment(PYTHONPATH=str(installed)))
    assert (done.returncode, done.stdout) == (0, b"a\nb\n")


@pytest.mark.long
def test_the_page_and_the_completions_are_installed(installed):
    """Where man and the shells look, below the prefix."""
    for folder, name in (("man/man1", "xlchild.1"),
                         ("bash-completion/completions", "xlchild"),
                         ("zsh/site-functions", "_xlchild"),
                         ("fish/vendor_completions.d", "xlchild.fish")):
        assert (installed / "share" / folder / name).read_bytes() \
            == (ROOT / "python/share" / name).read_bytes()


@pytest.mark.long
def test_pip_installs_the_tree(wheel, tmp_path):
    """As `pip install --no-build-isolation .` in a clone; nothing is built
    twice, and all that is built goes to build/."""
    tree = wheel.parent.parent / "xlchild-0.1.0"
    (extension,) = tree.glob("build/lib*/xlchild/_libxl*.so")
    before = extension.stat().st_mtime
    run(PIP + ["install", "--no-build-isolation", "--no-deps", "--no-index",
               "--target", tmp_path / "here", "."], cwd=tree)
    run([sys.executable, "-c", "import xlchild; xlchild.check_call(['true'])"],
        cwd=tmp_path / "here")
    assert extension.stat().st_mtime == before
    assert {p.name for p in tree.iterdir()} - {"build", "PKG-INFO",
                                               "setup.cfg", "generated"} \
        == {name.partition("/")[0] for name in SOURCES}
