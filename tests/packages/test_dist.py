"""What `make dist` makes: the same bytes twice, and of use.

The archives and the wheel of two copies of the tree, in folders of other names
and at other times, are compared byte by byte.
"""
import os
import shutil
import subprocess
import sys
import tarfile

import dist
import pytest
import tree


def make(folder, *what):
    """name -> bytes of what dist.py makes in a copy of the tree."""
    place = folder / "tree"
    for path in dist.whole():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree.ROOT / path, target, follow_symlinks=False)
        if not target.is_symlink():
            target.chmod((tree.ROOT / path).stat().st_mode & 0o777)
    done = subprocess.run(
        [sys.executable, "scripts/dist.py", "--into", str(folder / "dist"),
         *what], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=dict(os.environ, SOURCE_DATE_EPOCH="1764158400",
                            XLCHILD_PYTHONS=""))
    assert done.returncode == 0, done.stdout
    return {p.name: p.read_bytes() for p in (folder / "dist").iterdir()}


@pytest.fixture(name="twice", scope="module")
def twice_fixture(tmp_path_factory):
    return [make(tmp_path_factory.mktemp(name), "source", "sdist", "wheel")
            for name in ("one", "the-other-one")]


def test_two_builds_give_the_same_bytes(twice):
    one, other = twice
    assert len(one) == 3 and one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_the_source_archive_is_the_tree(twice, tmp_path):
    (name,) = [n for n in twice[0] if n.endswith(".tar.xz")]
    (tmp_path / name).write_bytes(twice[0][name])
    with tarfile.open(tmp_path / name) as archive:
        members = archive.getmembers()
    top = name[:-len(".tar.xz")]
    assert {m.name for m in members} \
        == {"%s/%s" % (top, p) for p in dist.whole()}
    assert top + "/ocaml/core" in {m.name for m in members if m.issym()}
    assert {(m.uid, m.gid, m.mtime) for m in members} == {(0, 0, 1764158400)}


def test_a_missing_compiler_and_missing_swig_are_named(twice, tmp_path):
    (name,) = [n for n in twice[0] if n.endswith(".tar.gz")]
    (tmp_path / name).write_bytes(twice[0][name])
    with tarfile.open(tmp_path / name) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path)
    place = tmp_path / name[:-len(".tar.gz")]
    assert (place / "generated/_libxl_wrap.c").is_file()

    def build(**more):
        return subprocess.run(
            [sys.executable, "setup.py", "-q", "build"], cwd=place,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, **more))
    none = build(CC="no-such-compiler")
    assert none.returncode != 0
    assert "needs a C compiler" in none.stdout \
        and "no-such-compiler" in none.stdout
    shutil.rmtree(place / "generated")
    none = build(PATH="/nonexistent:" + str(tmp_path))
    assert none.returncode != 0 and "needs a C compiler" in none.stdout
    (tmp_path / "bin").mkdir()
    for tool in ("gcc", "cc", "x86_64-linux-gnu-gcc"):
        found = shutil.which(tool)
        if found:
            (tmp_path / "bin" / tool).symlink_to(found)
    none = build(PATH=str(tmp_path / "bin"), SWIG="")
    assert none.returncode != 0 and "there is no SWIG" in none.stdout
