"""Builds and runs the examples of docs/tasks/eio.md and of xlchild_eio.mli.

Called by check.sh: tests/docs runs those of the other pages, where there is no
Eio. A block has to end with status 0 and, where an `output` block follows, to
print just that.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/tasks/eio.md"
INTERFACE = ROOT / "ocaml/eio/xlchild_eio.mli"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
ODOC = re.compile(r"\{\[\n(.*?)\]\}", re.S)


def examples():
    """Name, text, and what it prints (None: whatever it is)."""
    found = []
    for number, (language, body) in enumerate(
            BLOCK.findall(PAGE.read_text("utf-8"))):
        if language == "ocaml":
            found.append([f"{PAGE.name}, block {number}", body, None])
        elif language == "output":
            found[-1][2] = body
    for body in ODOC.findall(INTERFACE.read_text("utf-8")):
        found.append([INTERFACE.name, body, "hello\n"])
    return found


def run(body):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "example.ml").write_text(body, encoding="utf-8")
        subprocess.run(
            ["ocamlfind", "ocamlopt", "-thread", "-package",
             "xlchild-eio,eio_main", "-linkpkg", "-o", "example",
             "example.ml"], cwd=folder, check=True)
        return subprocess.run(["./example"], cwd=folder, check=True,
                              stdout=subprocess.PIPE, text=True,
                              timeout=60).stdout


def main():
    found = examples()
    assert len(found) >= 4, "some examples are missing"
    for name, body, output in found:
        printed = run(body)
        print(f"{name}: {printed!r}")
        assert output is None or printed == output, (name, printed, output)


if __name__ == "__main__":
    sys.exit(main())
