"""python -m xlchild.under: what a program sees is what python shows it.

The same program is run by python and under xlchild, and what they print and
how they end is compared; the report says whose children they were.
"""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHILD

import xlchild

pytestmark = pytest.mark.own_process
PACKAGE = str(Path(xlchild.__file__).parent.parent)

PROGRAM = """\
'''Its docstring.'''
import atexit, os, subprocess, sys, __main__
print(__name__, __file__, __doc__, __package__, sys.argv, sys.path[:1])
print(getattr(__spec__, "name", None), type(__loader__).__name__)
print(__builtins__.__name__, __main__.subprocess is subprocess)
print(sorted(name for name in vars() if name != "__annotations__"))
sys.stdout.flush()
atexit.register(lambda: subprocess.call(["echo", "at the end"]))
print(subprocess.run([sys.executable, "-c", "import subprocess;"
                      "print(subprocess.call(['sh', '-c', 'exit 3']))"],
                     stdout=subprocess.PIPE).stdout)
end = sys.argv[1] if len(sys.argv) > 1 else ""
if end == "exit":
    sys.exit(5)
if end == "words":
    sys.exit("words")
if end == "error":
    def deeper():
        1 / 0
    deeper()
if end == "hook":
    sys.excepthook = lambda kind, error, tb: print(
        kind, tb.tb_frame.f_code.co_name)
    1 / 0
if end == "interrupt":
    raise KeyboardInterrupt
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text("x = (\n")
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "__main__.py").write_text(PROGRAM)
    return tmp_path


def python(folder, words, input=None, **environment):
    """(exit status, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-B", *words], cwd=str(folder), input=input,
        env=dict(os.environ, PYTHONPATH=PACKAGE, **environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


RUNS = {
    "a file": ["program.py", "a", "--report"],
    "another folder's": ["../program.py"],
    "a module": ["-m", "program", "-m"],
    "code": ["-c", "import sys; print(sys.argv, __name__, sys.path[0])", "x"],
    "a folder": ["box", "b"],
    "exit": ["program.py", "exit"],
    "words": ["program.py", "words"],
    "an error": ["program.py", "error"],
    "an error of a module": ["-m", "program", "error"],
    "an error of code": ["-c", "def f():\n    1 / 0\nf()"],
    "a hook": ["program.py", "hook"],
    "an interrupt": ["program.py", "interrupt"],
    "not Python": ["wrong.py"],
    "no such module": ["-m", "not_there"],
}


@pytest.mark.parametrize("name", RUNS)
def test_as_python_runs_it(name, folder):
    where = folder / "box" if name == "another folder's" else folder
    wanted = python(where, RUNS[name])
    got = python(where, ["-m", "xlchild.under"] + RUNS[name])
    if name == "no such module":  # python says so in one line, runpy as well
        assert wanted[0] == got[0] and "No module named not_there" in got[2]
    else:
        assert got == wanted
    if name == "an interrupt":
        assert got[0] == -signal.SIGINT


def test_from_stdin(folder):
    words = "import sys\nprint(sys.argv, __name__)\n"
    assert python(folder, ["-m", "xlchild.under", "-", "x"], words) \
        == python(folder, ["-", "x"], words) == (0, "['-', 'x'] __main__\n",
                                                 "")


@pytest.mark.parametrize("words, said", [
    ([], "no program"), (["--nonsense", "x"], "no such option: --nonsense"),
    (["-x"], "no such option: -x"), (["-m"], "-m without an argument"),
    (["--report=", "x"], "--report= without a file"),
    (["not-there.py"], "can't open file 'not-there.py'"),
])
def test_misuse_is_said(folder, words, said):
    code, out, err = python(folder, ["-m", "xlchild.under"] + words)
    assert (code, out) == (2, "") and said in err


def test_the_report_of_this_process_alone(folder):
    code, _, err = python(folder, ["-m", "xlchild.under", "--report",
                                   "program.py"])
    assert (code, err) == (0, "2 starts through xlchild: subprocess 2\n"
                              "0 past it\n")


def test_the_pythons_that_it_starts_too(folder):
    """Also what an atexit function starts; not what is past xlchild there."""
    code, _, err = python(folder, ["-m", "xlchild.under", "--children",
                                   "--report", "program.py"])
    assert (code, err) == (0, "3 starts through xlchild: subprocess 3\n"
                              "0 past it\n")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_a_process(folder):
    report = folder / "report"
    words = ["-m", "xlchild.under", "--children", "--report=report",
             "program.py"]
    assert python(folder, words)[0] == 0
    first = lines(report)
    assert [line["argv"][0] for line in first] == ["-c", "program.py"]
    assert [line["through"] for line in first] == [{"subprocess": 1},
                                                   {"subprocess": 2}]
    assert python(folder, words)[0] == 0 and len(lines(report)) == 4


def test_a_process_that_becomes_another_program_has_reported(folder):
    code = ("import os, subprocess, sys; subprocess.call(['true']);"
            "os.fork() or os._exit(0);"
            "os.execv(sys.executable, [sys.executable, '-c',"
            "'import subprocess; subprocess.call([\"true\"])'])")
    assert python(folder, ["-m", "xlchild.under", "--children",
                           "--report=report", "-c", code])[0] == 0
    first, second = lines(folder / "report")
    assert (first["through"], first["past"]) == ({"subprocess": 1},
                                                 {"os.fork": 1})
    assert second["through"] == {"subprocess": 1}
    assert first["pid"] == second["pid"]


def test_a_sitecustomize_of_their_own(folder):
    """It is imported, and is the one that others see; neither our folder nor
    the package's comes to stand on the path."""
    (folder / "own").mkdir()
    (folder / "own" / "sitecustomize.py").write_text(
        "import sys; sys.own = __file__\n")
    code = ("import sys, sitecustomize; print(sys.own, sitecustomize.__file__,"
            " [p for p in sys.path if 'xlchild' in p],"
            " 'xlchild' in sys.modules)")
    code = "import subprocess, sys; subprocess.call([sys.executable, '-c'," \
        " %r])" % code
    environment = dict(os.environ, PYTHONPATH="%s:%s" % (folder / "own",
                                                         PACKAGE))
    done = subprocess.run(
        [sys.executable, "-m", "xlchild.under", "--children", "-c", code],
        env=environment, stdout=subprocess.PIPE, universal_newlines=True)
    own = str(folder / "own" / "sitecustomize.py")
    assert done.stdout.split("\n")[0] == "%s %s [] True" % (own, own)


def test_a_python_for_which_it_was_not_built_goes_on(folder):
    """As one of another version would: the extension cannot be loaded."""
    import shutil
    package = folder / "elsewhere" / "xlchild"
    shutil.copytree(os.path.join(PACKAGE, "xlchild"), package,
                    ignore=shutil.ignore_patterns("_libxl*"))
    code, out, err = python(
        folder, ["-c", "import sys, os; print('xlchild' in sys.modules,"
                 " os.environ['XLCHILD_UNDER'])"],
        XLCHILD_UNDER="1")
    assert (code, out, err) == (0, "False 1\n", "")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; print('xlchild' in sys.modules)"],
        env=dict(os.environ, XLCHILD_UNDER="1",
                 PYTHONPATH=str(package / "_site")),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        universal_newlines=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_multiprocessing_finds_the_main_module(folder):
    """Its processes import it again, by the name that __main__ says."""
    (folder / "workers.py").write_text(
        "import multiprocessing, subprocess\n"
        "def work(n):\n"
        "    return subprocess.call([%r, 'exit', str(n)])\n"
        "if __name__ == '__main__':\n"
        "    for kind in 'fork', 'spawn':\n"
        "        with multiprocessing.get_context(kind).Pool(2) as pool:\n"
        "            print(pool.map(work, range(4)))\n" % CHILD)
    code, out, err = python(folder, ["-m", "xlchild.under", "--report",
                                     "workers.py"])
    assert (code, out) == (0, "[0, 1, 2, 3]\n" * 2)
    assert "multiprocessing (fork) 2" in err
    assert "_posixsubprocess.fork_exec" in err
