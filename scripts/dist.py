#!/usr/bin/python3
"""Make what is handed out: source archive, source distribution, wheels.

Called by `make dist` and `make wheel`; the .debs are scripts/debs's. All lands
in build/dist (--into elsewhere). The same tree gives the same bytes, whenever and
wherever it is done: times are SOURCE_DATE_EPOCH, which is the last commit's or,
in an unpacked archive, that of CHANGELOG.md there.

usage: dist.py [--into DIR] source|sdist|wheel|wheels...
"""
import base64
import csv
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import cpythons
import tree

ROOT = tree.ROOT


def version():
    """The release, as the Makefile has it."""
    for line in tree.text("Makefile").splitlines():
        if line.startswith("VERSION :="):
            return line.split()[-1]
    raise SystemExit("dist: no VERSION in the Makefile")


def epoch():
    """The time that everything gets, in seconds."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    if (ROOT / ".git").exists():
        done = subprocess.run(
            ["git", "-c", "safe.directory=%s" % ROOT, "log", "-1",
             "--format=%ct"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode == 0 and done.stdout.strip():
            return int(done.stdout)
    return int((ROOT / "CHANGELOG.md").stat().st_mtime)


def run(command, **options):
    """Run it; what it says is shown only if it fails."""
    done = subprocess.run([str(word) for word in command],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise SystemExit("dist: %s failed" % command[0])


def tar_of(members, open_archive, top):
    """An archive of (name, path) pairs, without anything of this machine."""
    with open_archive() as archive:
        for name, path in sorted(members):
            info = archive.gettarinfo(str(path), "%s/%s" % (top, name))
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mtime = epoch()
            info.mode = 0o755 if path.is_symlink() \
                or path.stat().st_mode & 0o100 else 0o644
            if info.isreg():
                with path.open("rb") as data:
                    archive.addfile(info, data)
            else:
                archive.addfile(info)


def whole():
    """Everything that belongs to the project."""
    return tree.files() + tree.folder_links()


def source(into):
    """The whole tree: xlchild-VERSION.tar.xz."""
    top = "xlchild-" + version()
    place = into / (top + ".tar.xz")
    tar_of([(str(p), ROOT / p) for p in whole()],
           lambda: tarfile.open(place, "w:xz", format=tarfile.PAX_FORMAT),
           top)
    return place


def copied(folder):
    """A copy of the tree to build in: nothing of it lands in the tree."""
    place = folder / ("xlchild-" + version())
    for path in whole():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target, follow_symlinks=False)
    return place


def repacked(archive, into, folder):
    """A source distribution without the time and the user of its making."""
    with tarfile.open(archive) as old:
        if hasattr(tarfile, "data_filter"):
            old.extraction_filter = tarfile.data_filter
        old.extractall(folder)
    top = archive.name[:-len(".tar.gz")]
    members = [(str(p.relative_to(folder / top)), p)
               for p in (folder / top).rglob("*") if not p.is_dir()]
    data = io.BytesIO()
    tar_of(members, lambda: tarfile.open(fileobj=data, mode="w",
                                         format=tarfile.PAX_FORMAT), top)
    place = into / archive.name
    with place.open("wb") as raw, gzip.GzipFile(
            "", "wb", fileobj=raw, mtime=epoch()) as packed:
        packed.write(data.getvalue())
    return place


def sdist(into):
    """What pip builds of, SWIG's wrapper inside: xlchild-VERSION.tar.gz."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, "-c", "from setuptools import build_meta;"
             "build_meta.build_sdist('../made')"], cwd=copied(folder))
        (made,) = (folder / "made").iterdir()
        return repacked(made, into, folder / "again")


def rows(files, info):
    """RECORD of a wheel."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, (data, _) in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
        writer.writerow([name, "sha256=" + digest.rstrip(b"=").decode(),
                         len(data)])
    writer.writerow([info + "/RECORD", "", ""])
    return text.getvalue().encode()


def write_wheel(place, files):
    """Files (name -> data, mode) as a wheel; its RECORD is made here."""
    (info,) = {name.partition("/")[0] for name in files
               if name.endswith("/WHEEL")}
    files = {name: value for name, value in files.items()
             if name != info + "/RECORD"}
    when = max(epoch(), 315532800)  # a zip knows of nothing before 1980
    import time
    stamp = time.gmtime(when)[:6]
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        record = rows(files, info)
        for name, (data, mode) in [*sorted(files.items()),
                                   (info + "/RECORD", (record, 0o644))]:
            entry = zipfile.ZipInfo(name, stamp)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def read_wheel(path):
    """name -> (data, mode)."""
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: (
            archive.read(entry),
            0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
            for entry in archive.infolist()}


def flags(folder):
    """Compiler's options that keep the folder's name out of what is made."""
    return "-g0 -ffile-prefix-map=%s=." % folder


def wheel_here(folder, into):
    """The wheel for the Python that runs this."""
    place = copied(folder)
    environment = dict(os.environ, CFLAGS=flags(place), LC_ALL="C.UTF-8",
                       SOURCE_DATE_EPOCH=str(max(epoch(), 315532800)))
    run([sys.executable, "-c", "from setuptools import build_meta;"
         "build_meta.build_wheel('../wheel')"], cwd=place, env=environment)
    (made,) = (folder / "wheel").iterdir()
    write_wheel(into / made.name, read_wheel(made))
    return into / made.name


def wheel_for(which, include, suffix, folder, base, into):
    """The wheel for another Python: this one's, with another extension."""
    tag = "cp%d%d" % which
    place = folder / ("xlchild-" + version())
    wrapper = next(place.glob("build/temp*/_libxl_wrap.c"))
    made = folder / ("_libxl" + suffix)
    sources = {s.relative_to(place) for s in (
        *place.glob("c/src/*/*.c"), *place.glob("bindings/python/*.c"),
        wrapper)}
    childs = [Path("c/src/start/child_setup.c"),
              Path("c/src/kernel/probe_child.c"),
              Path("c/src/kernel/keeper_child.c")]
    hardening = subprocess.run(
        ["sh", "c/hardening.sh", "-O2"], cwd=place, check=True, text=True,
        stdout=subprocess.PIPE, env=dict(os.environ, CC="cc")).stdout.split()
    cc = ["cc", "-std=gnu11", "-O2", "-DNDEBUG", "-fPIC", "-pthread",
          "-fvisibility=hidden", "-w", *hardening, *flags(place).split(),
          '-DLIBXL_API=__attribute__((visibility("hidden")))', "-I" + include,
          "-Ibindings/python", "-Ic/include", "-Ic/src"]
    # as setup.py: the child's half may not call the protector's alarm
    run([*cc, "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-c", *childs],
        cwd=place)
    run([*cc, "-shared", "-Wl,-z,relro,-z,now", "-o", made,
         *sorted(sources - {*childs}), *(c.with_suffix(".o").name
                                         for c in childs), "-ldl"], cwd=place)
    files = read_wheel(base)
    (old,) = [n for n in files if n.endswith(".so")]
    (wheel,) = [n for n in files if n.endswith("/WHEEL")]
    del files[old]
    files["xlchild/_libxl" + suffix] = made.read_bytes(), 0o755
    mine = "cp%d%d" % sys.version_info[:2]
    data, mode = files[wheel]
    files[wheel] = data.replace(mine.encode(), tag.encode()), mode
    target = into / base.name.replace(mine, tag)
    write_wheel(target, files)
    return target


def wheel(into, every=False):
    """One for this Python; every: and for the others at hand."""
    made = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made.append(wheel_here(folder, into))
        for which, (_, include, suffix) in (
                cpythons.others().items() if every else ()):
            made.append(wheel_for(which, include, suffix, folder, made[0],
                                  into))
    return made


def main(arguments):
    """Make what is named; the exit status."""
    into = ROOT / "build" / "dist"
    if arguments[:1] == ["--into"]:
        into = Path(arguments[1]).absolute()
        arguments = arguments[2:]
    known = {"source": source, "sdist": sdist, "wheel": wheel,
             "wheels": lambda folder: wheel(folder, True)}
    if not arguments or set(arguments) - set(known):
        print(__doc__.rpartition("usage: ")[2].strip(), file=sys.stderr)
        return 2
    into.mkdir(parents=True, exist_ok=True)
    for what in arguments:
        made = known[what](into)
        for path in made if isinstance(made, list) else [made]:
            print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
