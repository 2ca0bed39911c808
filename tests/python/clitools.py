"""What the tests of the command line share: running it, and its reports."""
import json
import subprocess
import sys

PROGRAM = [sys.executable, "-m", "xlchild"]


def cli(*arguments, text=b"", **options):
    """Run it; text is its standard input."""
    return subprocess.run(PROGRAM + [str(a) for a in arguments], input=text,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=100, **options)


def out(*arguments, text=b"", **options):
    """What it prints when all goes well."""
    done = cli(*arguments, text=text, **options)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def rows(path):
    """The rows of a report."""
    return [json.loads(line) for line in path.read_text().splitlines()]
