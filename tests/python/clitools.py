"""What the tests of the command line share: running it, and its reports."""
import json
import os
import shutil
import subprocess
import sys

from conftest import ROOT

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


def programs(folder):
    """A folder for PATH with our program, and theirs."""
    for program in ("xargs", "parallel"):
        assert shutil.which(program), "%s is not installed" % program
    path = folder / "bin"
    path.mkdir()
    script = path / "xlchild"
    script.write_text(
        "#!%s\nimport sys\nsys.path.insert(0, %r)\n"
        "from xlchild.cli import main\nsys.exit(main())\n"
        % (sys.executable, str(ROOT / "build/python")))
    script.chmod(0o755)
    # it asks once in each home to be cited
    quiet = path / "parallel"
    quiet.write_text("#!/bin/sh\nexec %s --will-cite \"$@\"\n"
                     % shutil.which("parallel"))
    quiet.chmod(0o755)
    return path


def in_folder(command, folder, path, files, seconds):
    """(exit status, output, errors) of a line of bash's in a new folder with
    these files."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    env = dict(os.environ, LC_ALL="C.UTF-8", HOME=str(folder),
               PATH="%s:%s" % (path, os.environ["PATH"]))
    for name in ("PYTHONPATH", "MAKEFLAGS", "PARALLEL"):
        env.pop(name, None)
    done = subprocess.run(["bash", "-c", command], env=env, cwd=folder,
                          stdin=subprocess.DEVNULL, timeout=seconds,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          start_new_session=True)
    return (done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"))
