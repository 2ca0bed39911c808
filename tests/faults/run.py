#!/usr/bin/python3
"""Every fault there is a case for, in every mode; how many were tried.

usage: run.py RUNNER PROGRAM...

Called by `make check-faults`. The cases note how many faults they tried
("... 168 children killed"); the sum goes to build/reliability/faults.json. Shows
the runner's output without those notes; ends with its closing line.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent
                       / "scripts"))
import reliability  # noqa: E402

NOTE = re.compile(r"^#   .*?(\d+) (?:failures tried|children killed|refused"
                  r"|tries|signals)$", re.M)
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)


def main(runner, programs):
    """Run them; return the exit status."""
    done = subprocess.run(
        [runner, "--verbose", "--jobs", os.environ.get("XT_JOBS", "2"),
         *programs], env=dict(os.environ, XT_EVERY_MODE="1"),
        stdout=subprocess.PIPE, text=True)
    print("\n".join(line for line in done.stdout.splitlines()
                    if not line.startswith("#   ")
                    or done.returncode != 0))
    passed, failed, skipped = map(int, CLOSING.findall(done.stdout)[-1])
    reliability.keep("faults", [
        f"cases={passed + failed + skipped}", f"failed={failed}",
        "faults=" + str(sum(map(int, NOTE.findall(done.stdout))))])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
