"""Under gevent and eventlet, patched before or after the import: greenlets go
on while one of them waits, statuses are right, and nothing is said (B2)."""
import importlib.util
import subprocess
import sys

import pytest
from conftest import CHILD

pytestmark = pytest.mark.own_process

PATCH = {
    "gevent": "from gevent import monkey; monkey.patch_all()\n"
              "import gevent\ngo, pause = gevent.spawn, gevent.sleep\n"
              "def join(g): return g.get()\n",
    "eventlet": "import eventlet; eventlet.monkey_patch()\n"
                "go, pause = eventlet.spawn, eventlet.sleep\n"
                "def join(g): return g.wait()\n",
}
IMPORT = "import xlchild\n"
PROGRAM = """
import os, subprocess, sys, time
child = sys.argv[1]
turns = []
def ticker():
    while True:
        turns.append(1)
        pause(0.005)
go(ticker)
pause(0)
def meanwhile(what, wanted, work):
    before = len(turns)
    got = work()
    print(what, got == wanted or got, len(turns) - before > 3, flush=True)
slow = ["sh", "-c", "sleep 0.3; exit 3"]
meanwhile("run", 3, lambda: xlchild.run(slow).returncode)
meanwhile("call", 3, lambda: xlchild.call(slow))
ctx = xlchild.Context()
meanwhile("Context.run", 3, lambda: ctx.run(slow).returncode)
meanwhile("spawn", 3, lambda: ctx.spawn(slow).wait().exitcode)
def events():
    started = ctx.spawn(slow, event=True)
    return [e.status.exitcode for e in ctx.events(None)]
meanwhile("events", [3], events)
def late():
    try:
        ctx.spawn(["sleep", "0.5"]).wait(0.1)
    except TimeoutError:
        return "late"
meanwhile("timeout", "late", late)
def popen_late():
    with xlchild.Popen(["sleep", "1000"]) as p:
        try:
            p.wait(0.1)
        except subprocess.TimeoutExpired:
            p.kill()
            return "late"
meanwhile("Popen.wait", "late", popen_late)
def forked():
    try:
        return xlchild.call(slow, preexec_fn=int)
    except ValueError as error:  # refused in words
        pause(0.1)
        return 3 if "gevent.subprocess.Popen" in str(error) else error
meanwhile("preexec_fn", 3, forked)
big = b"x" * 300000
def exchanged():
    with xlchild.Popen(["sh", "-c", "sleep 0.2; cat"], stdin=-1,
                       stdout=-1) as p:
        return p.communicate(big)[0]
meanwhile("communicate", big, exchanged)
def text():
    done = xlchild.run(["sh", "-c", "sleep 0.2; echo a; echo b >&2"],
                       text=True, capture_output=True)
    return done.stdout, done.stderr
meanwhile("text", ("a\\n", "b\\n"), text)
def output_so_far():
    try:
        xlchild.run(["sh", "-c", "echo x; exec sleep 1000"], timeout=0.3,
                    stdout=-1)
    except subprocess.TimeoutExpired as error:
        return error.stdout
meanwhile("so far", b"x\\n", output_so_far)
def mixed(n):
    return (xlchild.run([child, "exit", str(n)]).returncode,
            subprocess.call([child, "exit", str(n)]))
got = [join(g) for g in [go(mixed, n) for n in range(20)]]
print("mixed", got == [(n, n) for n in range(20)], True)
ctx.close()
"""


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("kind", PATCH)
def test_B2_greenlets_go_on(kind, order):
    if importlib.util.find_spec(kind) is None:
        pytest.skip("%s is not installed" % kind)
    program = PATCH[kind] + IMPORT if order == "before" \
        else IMPORT + PATCH[kind]
    done = subprocess.run([sys.executable, "-c", program + PROGRAM, CHILD],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=100)
    assert done.stderr == ""
    wrong = [line for line in done.stdout.splitlines()
             if line.split()[-2:] != ["True", "True"]]
    assert wrong == [] and done.stdout.count("\n") == 12
