"""Ctrl-C while the command line begins: it is never lost."""
import os
import signal
import subprocess
import sys

from xlchild.cli import _main

BEGINS = """
import os, signal, sys
import xlchild.__main__ as program

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "xlchild.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["xlchild", "echo", "ran", ":::", "x"]
try:
    program.main()
except KeyboardInterrupt:
    print("lost")
"""


def test_ctrl_c_while_the_command_line_is_imported():
    done = subprocess.run([sys.executable, "-c", BEGINS],
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        -signal.SIGINT, b"", b"")


def test_ctrl_c_while_the_command_line_makes_its_pool(monkeypatch, tmp_path):
    made = _main.pool_of

    def pool_of(*args):
        try:  # as an import does that a handler has raised in
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            pass
        return made(*args)

    monkeypatch.setattr(_main, "pool_of", pool_of)
    assert _main.main(["touch", ":::", str(tmp_path / "ran")]) == 130
    assert not (tmp_path / "ran").exists()
