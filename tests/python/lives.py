"""Scripts that are killed, and their next lives: what the scenarios in
lives_ends.py, lives_moments.py and lives_keeper.py share.

A life is a forked child; what it says comes back through a pipe.
"""
import json
import os
import select
import signal
import sys
import time

from xlchild.services import Services

PATIENCE = 20


def exit_info():
    """Asked of the library."""
    import xlchild
    with xlchild.Context() as ctx:
        return "exit_info" in ctx.diagnose().facilities


class Life:
    """A script that runs body(say) in a process of its own."""

    def __init__(self, body):
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._read)

                def say(what):
                    os.write(write, json.dumps(what).encode() + b"\n")
                body(say)
                code = 0
            except BaseException:
                sys.setprofile(None)  # who was to die of a call
                import traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(write)
        self._said = b""

    def has_said(self, timeout):
        """Whether hear() has something, its end included, within so long."""
        return b"\n" in self._said or bool(
            select.select([self._read], [], [], timeout)[0])

    def hear(self):
        """What it says next; None at its end."""
        while b"\n" not in self._said:
            assert self.has_said(PATIENCE), "silent"
            more = os.read(self._read, 65536)
            if not more:
                return None
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return json.loads(line)

    def kill(self):
        """At once; what it had said before is lost."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def end(self):
        """The raw status."""
        os.close(self._read)
        return os.waitpid(self.pid, 0)[1]


def live(body):
    """A life to its end: what it said last."""
    life = Life(body)
    said = last = life.hear()
    while said is not None:
        last, said = said, life.hear()
    assert life.end() == 0
    return last


def wait_forever():
    signal.pause()


def is_gone(pid):
    """Wait until nothing has that pid, zombies included."""
    until = time.monotonic() + PATIENCE
    while os.path.exists("/proc/%d" % pid):
        assert time.monotonic() < until, pid
        time.sleep(0.001)


def told(services, until, timeout=PATIENCE):
    """Events as lists, until one is of that kind and name."""
    found = []
    end = time.monotonic() + timeout
    while True:
        for event in services.poll(0.5):
            found.append([event.kind, event.name, event.run,
                          event.end and str(event.end)])
        if any(one[:2] == list(until) for one in found):
            return found
        assert time.monotonic() < end, found


# ---- three services, and how they end -------------------------------------

WAYS = {"well": "read x <%s; exit 0", "badly": "read x <%s; exit 7",
        "killed": "read x <%s; kill -TERM $$"}
ENDS = {"well": "exit 0", "badly": "exit 7", "killed": "signal SIGTERM"}


def begin(folder, restart="never"):
    """A life that starts all of WAYS, and waits; {name: pid}."""
    for name in WAYS:
        os.mkfifo(os.path.join(folder, name))

    def body(say):
        services = Services(folder + "/state")
        for name, script in WAYS.items():
            services.add(name, ["sh", "-c", script
                                % os.path.join(folder, name)],
                         restart=restart)
            services.start(name)
            assert services.wait_ready(name, PATIENCE)
        say({name: services.status(name).pid for name in WAYS})
        wait_forever()
    life = Life(body)
    pids = life.hear()
    life.kill()
    return pids


def end_all(folder, pids):
    for name, pid in pids.items():
        with open(os.path.join(folder, name), "w"):
            pass
        is_gone(pid)


def ends_told(folder, names=tuple(WAYS)):
    """What a next life is told of them."""
    def body(say):
        with Services(folder + "/state") as services:
            found = {}
            for event in services.poll(0):
                if event.kind == "ended":
                    assert event.name not in found
                    found[event.name] = [str(event.end), event.run,
                                         event.end.why]
            say(found)
    return live(body)


def guarded(folder):
    """A service of which two at a time would be seen: exit 99."""
    return ["flock", "-F", "-n", "-E", "99", folder + "/one", "sleep", "1000"]


# ---- the keeper ------------------------------------------------------------

def keepers():
    """{pid: folder} of all."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/comm" % name) as file:
                    if file.read() == "xlchild-keeper\n":
                        found[int(name)] = os.readlink("/proc/%s/fd/4" % name)
            except OSError:
                pass
    return found


def keeper_pid(folder):
    """Of the keeper that has the folder open; None."""
    state = os.path.realpath(folder + "/state")
    for pid, its in keepers().items():
        if its == state:
            return pid
    return None


def kill_keeper(folder):
    pid = keeper_pid(folder)
    assert pid is not None and pid > 1
    os.kill(pid, signal.SIGKILL)
    is_gone(pid)
