"""What belongs to the project: its files, without anything that is built.

Used by the house checks and the docs runner. In a git checkout the files are
those git knows or would add; in an unpacked archive, all outside build/.
"""
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _walked():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(f for f in folders
                            if f not in (".git", ".hypothesis", "__pycache__",
                                         "build"))
        for name in sorted(names):
            if not name.endswith(".pyc"):
                yield (Path(folder) / name).relative_to(ROOT)


def files():
    """Every file of the project, relative to ROOT, sorted."""
    if (ROOT / ".git").exists():
        try:
            answer = subprocess.run(
                ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z",
                 "--cached", "--others", "--exclude-standard"],
                cwd=ROOT, check=True, stdout=subprocess.PIPE)
        except (OSError, subprocess.CalledProcessError):
            pass
        else:
            names = answer.stdout.decode().split("\0")
            return sorted({Path(n) for n in names
                           if n and (ROOT / n).is_file()})
    return sorted(_walked())


def folder_links():
    """Links to folders, which files() does not have, relative to ROOT."""
    found = []
    for folder, folders, _ in os.walk(ROOT):
        folders[:] = [f for f in folders
                      if f not in (".git", ".hypothesis", "__pycache__",
                                   "build")]
        found += [(Path(folder) / f).relative_to(ROOT) for f in folders
                  if (Path(folder) / f).is_symlink()]
    return sorted(found)


def text(path):
    """The text of one of files()."""
    return (ROOT / path).read_text(encoding="utf-8")


def public_headers():
    """The public headers, relative to c/include."""
    base = Path("c/include")
    return sorted(p.relative_to(base) for p in files()
                  if p.suffix == ".h" and base in p.parents)
