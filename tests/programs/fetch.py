"""The programs' sources: from Debian's archive, by apt, and from nowhere else.

Called by run.py. apt gets lists of its own below build/programs, with the
archive that this machine's packages come from; what the machine has installed
or configured stays as it is. apt checks the signatures and the sums.
"""
import subprocess
import tarfile
from pathlib import Path

from programs import RELEASES


class Absent(Exception):
    """It cannot be had here; the words say why."""


def _output(words):
    done = subprocess.run(words, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    return done.stdout if done.returncode == 0 else ""


def missing(program):
    """The Debian packages that it needs and that are not installed."""
    wanted = list(program.needs) + [program.package] * bool(program.package)
    text = _output(["dpkg-query", "-W", "-f",
                    "${Package} ${db:Status-Status}\n"]) if wanted else ""
    present = {line.split()[0] for line in text.splitlines()
               if line.endswith(" installed")}
    return [name for name in wanted if name not in present]


def _archive():
    text = _output(["apt-get", "indextargets", "--format",
                    "$(LABEL) $(REPO_URI) $(SIGNED_BY)",
                    "Created-By: Packages"])
    for line in text.splitlines():
        words = line.split()
        if words[0] == "Debian":
            # Without a Signed-By apt prints the placeholder.
            signed = words[2] if len(words) > 2 else ""
            return words[1], "" if signed.startswith("$") else signed
    raise Absent("apt names no archive of Debian")


def _apt(build, release):
    """apt-get's first words, with lists of the release's sources."""
    folder = (build / "apt" / release).resolve()
    options = []
    for name, path in (
            ("Dir::Etc::sourcelist", folder / "sources.list"),
            ("Dir::Etc::sourceparts", "-"),
            ("Dir::State::lists", folder / "lists"),
            ("Dir::Cache", folder / "cache")):
        options += ["-o", "%s=%s" % (name, path)]
    words = ["apt-get", "-q"] + options
    if not any((folder / "lists").glob("*_Sources*")):
        archive, signed = _archive()
        for part in "lists/partial", "cache/archives/partial":
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text("deb-src %s%s %s main\n" % (
            "[signed-by=%s] " % signed if signed else "", archive, release))
        subprocess.run(words + ["update"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
    return words


def _tarball(program, build, release):
    folder = build / "sources" / program.source / release
    found = sorted(folder.glob("*.orig.tar.*[!c]"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            _apt(build, release) + ["--only-source", "--download-only",
                                    "--tar-only", "source", program.source],
            cwd=str(folder), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=False)
        found = sorted(folder.glob("*.orig.tar.*[!c]"))
    return found[0] if found else None


def fetch(program, build):
    """(the unpacked source or None, the version)."""
    if program.package:
        return None, _output(["dpkg-query", "-W", "-f", "${Version}",
                              program.package])
    for release in RELEASES:
        tarball = _tarball(program, build, release)
        if tarball is None:
            continue
        target = tarball.parent / "tree"
        if not target.is_dir():
            with tarfile.open(tarball) as archive:
                archive.extractall(target.with_suffix(".new"))
            target.with_suffix(".new").rename(target)
        version = tarball.name.split("_", 1)[1].split(".orig.")[0]
        roots = [path for path in target.iterdir() if path.is_dir()]
        return Path(roots[0]), version
    raise Absent("the archive has no source %s for %s"
                 % (program.source, " or ".join(RELEASES)))
