"""The ends of things: the interpreter's, a Context's that nobody has any more,
a closing pool's (B6)."""
import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.own_process


def alone(program, *words, **options):
    """Run a program of its own; what it said, both streams."""
    done = subprocess.run(
        [sys.executable, *options.pop("flags", ()), "-c", program, *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, **options)
    return done.stdout


def gone(pid):
    """It ends soon."""
    deadline = time.monotonic() + 20
    while os.path.exists("/proc/%d" % pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not os.path.exists("/proc/%d" % pid)


def test_B6_a_cleanup_registered_before_the_import():
    said = alone("""
import atexit
def cleanup():
    print(child.poll())
    child.terminate()
    print(child.wait())
    print(more.kill(), more.wait(), xlchild.run(["true"]).returncode)
atexit.register(cleanup)
import xlchild
child = xlchild.Popen(["sleep", "1000"])
more = xlchild.spawn(["sleep", "1000"])
""")
    assert said == "None\n-15\nTrue signal SIGKILL 0\n"


@pytest.mark.parametrize("kind", ["Popen", "spawn"])
def test_B6_finalizers_and_cycles_at_the_end(kind):
    said = alone("""
import sys, weakref
import xlchild
start = getattr(xlchild, sys.argv[1])
class Keeper:
    def __init__(self):
        self.child = start(["sleep", "1000"])
        self.me = self
    def __del__(self, print=print):
        self.child.terminate()
        print(self.child.wait() == -15, flush=True)
class Anchor:
    pass
keeper = Keeper()
anchor = Anchor()
weakref.finalize(anchor, lambda child: print(child.kill(), child.wait() == -9),
                 xlchild.spawn(["sleep", "1000"]))
""", kind)
    assert sorted(said.split()) == ["True", "True", "True"]


@pytest.mark.parametrize("kind", ["Popen", "spawn"])
def test_B6_nothing_is_said_at_the_end(kind):
    """Living children, dropped ones, a thread that waits."""
    said = alone("""
import sys, threading
import xlchild
start = getattr(xlchild, sys.argv[1])
child = start(["sleep", "1"])
child.me = [child] if hasattr(child, "__dict__") else None
waited = start(["sleep", "1"])
threading.Thread(target=waited.wait, daemon=True).start()
start(["true"])
print("end")
""".replace('child.me = [child] if hasattr(child, "__dict__") else None\n',
            "" if kind == "spawn" else "child.me = [child]\n"), kind)
    assert said == "end\n"


def test_B6_policies_are_carried_out_at_the_end():
    said = alone("""
import xlchild
nowhere = {"stdout": xlchild.DEVNULL, "stderr": xlchild.DEVNULL}
killed = xlchild.spawn(["sleep", "1000"], on_free=xlchild.FreePolicy.KILL)
left = xlchild.spawn(["sleep", "1000"], on_free=xlchild.FreePolicy.DETACH,
                     **nowhere)
print(killed.pid, left.pid)
""")
    killed, left = map(int, said.split())
    assert gone(killed)
    assert os.path.exists("/proc/%d" % left)
    os.kill(left, 9)


COLLECTED = """
import gc, logging, os, sys, time
import xlchild
gc.disable()
def fds():
    return len(os.listdir("/proc/self/fd"))
def forget():
    c = xlchild.Context()
    c.me = [c]
    c.child = c.spawn(["sleep", "1000"], on_free=xlchild.FreePolicy.KILL)
    return c.child.pid
done = []
def collect(*_):
    if not done:
        done.append(gc.collect())
class Hooks:
    def fd_register(self, *_):
        collect()
    fd_modify = fd_deregister = timeout_register = fd_register
    timeout_modify = timeout_deregister = fd_register
class Handler(logging.Handler):
    def emit(self, record):
        collect()
def fork():
    collect()
    return os.fork()
how = sys.argv[1]
with xlchild.Context(log_level=10) as ctx:
    ctx.run(["true"], capture_output=True)
    warm = xlchild.Context()
    warm.spawn(["true"], on_free=xlchild.FreePolicy.KILL)
    warm.close()
    gc.collect()
    before = fds()
    pid = forget()
    if how == "fork":
        ctx.setmode(xlchild.SigchldOwner.NONE, fork_replacement=fork)
        ctx.spawn(["true"]).wait()
    elif how == "osevent":
        ctx.osevent_register(Hooks())
        ctx.spawn(["true"]).wait()
        ctx.osevent_register(None)
    elif how == "log":
        logger = logging.getLogger("xlchild")
        logger.addHandler(Handler())
        logger.setLevel(1)
        try:
            ctx.spawn(["true"], nice=99)
        except ValueError:
            pass
    elif how == "output":
        ctx.run(["echo", "x"], on_output=collect)
    elif how == "on_exit":
        child = ctx.spawn(["true"], on_exit=collect)
        while child.status is None:
            ctx.events(0.05)
    elif how == "event":
        ctx.register_callbacks(collect)
        child = ctx.spawn(["true"], event=True)
        while not done:
            ctx.events(0.05)
    assert done
    until = time.monotonic() + 20
    while (os.path.exists("/proc/%d" % pid) or fds() > before + 2) \\
            and time.monotonic() < until:
        time.sleep(0.01)
    print(os.path.exists("/proc/%d" % pid), fds() - before <= 2)
"""


@pytest.mark.parametrize("how", ["fork", "osevent", "log", "output",
                                 "on_exit", "event"])
def test_B6_a_context_that_is_collected_inside_a_closure(how):
    assert alone(COLLECTED, how) == "False True\n"


CLOSING = """
import os, signal, sys, xlchild
from xlchild.pool import Pool
how, streams = sys.argv[1:]
script = "trap 'echo again' TERM; echo $$; while :; do sleep 0.05; done"
pids = []
class Over(Exception):
    pass
def seen(result, stream, data):
    if b"again" in data:
        raise SystemExit(5)
    pids.append(int(data))
    if len(pids) == 3:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
def alarm(*_):
    raise Over
signal.signal(signal.SIGALRM, alarm)
class Told(Pool):
    def _end_all(self, policy=None):
        super()._end_all(policy)
        if policy is None and how == "signal":
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            signal.signal(signal.SIGALRM, signal.default_int_handler)
commands = [["sh", "-c", script]] * 3
options = {"on_output": seen}
if streams == "files":
    options = {}
    signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    with Told(jobs=3, kill=(signal.SIGTERM, 60, 0), **options) as pool:
        for result in pool.as_completed(commands):
            pass
except BaseException as error:
    print(type(error).__name__)
with open("/proc/self/task/%d/children" % os.getpid()) as file:
    print(file.read().split())
print(pool._closed, pool._runner.context.closed)
"""


@pytest.mark.parametrize("how, streams, raised", [
    ("signal", "files", "KeyboardInterrupt"),
    ("signal", "pipes", "KeyboardInterrupt"),
    ("output", "pipes", "SystemExit")])
def test_a_pool_that_is_interrupted_while_it_closes(how, streams, raised):
    """At once, and nothing is left, whatever the children ignore."""
    began = time.monotonic()
    said = alone(CLOSING.replace("echo again", "echo again" if how == "output"
                                 else ":"), how, streams)
    assert said == raised + "\n[]\nTrue True\n"
    assert time.monotonic() - began < 50


DROPPED = """
import os, time, warnings
import xlchild
warnings.simplefilter("ignore")
context = xlchild.default_context()
class Hooks:
    ready = False
    def timeout_register(self, *_):
        if self.ready:
            held.clear()
    fd_modify = fd_deregister = fd_register = timeout_register
    timeout_modify = timeout_deregister = timeout_register
held, hooks = [], Hooks()
context.osevent_register(hooks)
held += [xlchild.Popen(["true"]) for _ in range(5)]
pids = [p.pid for p in held]
hooks.ready = True
try:
    context.run(["sleep", "1000"], timeout=0.01)
except xlchild.TimeoutExpired:
    pass
assert not held
xlchild.Popen(["true"]).wait()
until = time.monotonic() + 20
while time.monotonic() < until and any(
        os.path.exists("/proc/%d" % pid) for pid in pids):
    time.sleep(0.01)
print([os.path.exists("/proc/%d" % pid) for pid in pids].count(True))
"""


def test_C21_popens_dropped_inside_a_hook_of_their_context():
    """No call is taken there: they are let go of by the next start."""
    assert alone(DROPPED) == "0\n"
