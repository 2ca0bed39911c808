#!/usr/bin/python3
"""Inputs of the fuzz targets, between text in the repository and bytes.

tests/fuzz/corpus/TARGET/NAME.hex holds an input as hexadecimal digits, after
comment lines (#) that say what it once found. Called by `make fuzz`, which
wants them as bytes; and by hand, to keep an input that failed:

usage: seeds.py unpack FOLDER      every input as bytes, in FOLDER/TARGET
       seeds.py pack FILE          the bytes of FILE as text, to stdout
"""
import sys
import textwrap
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"


def main(arguments):
    """Do what the usage says; return the exit status."""
    if len(arguments) != 2 or arguments[0] not in ("pack", "unpack"):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments[0] == "pack":
        print("\n".join(textwrap.wrap(
            Path(arguments[1]).read_bytes().hex(), 76)))
        return 0
    for seed in sorted(CORPUS.glob("*/*.hex")):
        digits = "".join(line for line in seed.read_text().splitlines()
                         if not line.startswith("#"))
        folder = Path(arguments[1]) / seed.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / seed.stem).write_bytes(bytes.fromhex(digits))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
