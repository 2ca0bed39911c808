"""What the next life is told: how services ended while no script lived, and
what lives. Scenarios for services_lives.py.
"""
import os
import signal
import sys
import time

from lives import (ENDS, PATIENCE, WAYS, Life, begin, end_all, ends_told,
                   exit_info, guarded, is_gone, live, told, wait_forever)

from xlchild.services import Backoff, Services


def away(folder):
    """B13: status from the kernel, once, for those that ended meanwhile."""
    pids = begin(folder)
    end_all(folder, pids)
    found = ends_told(folder)
    assert found.keys() == WAYS.keys(), found
    if exit_info():
        assert {name: one[0] for name, one in found.items()} == ENDS, found
    else:
        assert all(one[0].startswith("lost") for one in found.values())
    assert ends_told(folder) == {}

    def body(say):
        with Services(folder + "/state") as services:
            say(str(services.status("badly").last_end))
    assert live(body) == found["badly"][0]


def untold(folder):
    """A script that is killed before it polls again is told once more."""
    pids = begin(folder)
    end_all(folder, pids)

    def body(say):
        services = Services(folder + "/state")
        say(sorted(event.run for event in services.poll(0)))
        wait_forever()
    life = Life(body)
    runs = life.hear()
    life.kill()
    assert len(runs) == 3
    assert sorted(one[1] for one in ends_told(folder).values()) == runs
    assert ends_told(folder) == {}


def alive(folder):
    """Those that live are adopted, and how they end is told."""
    pids = begin(folder)

    def body(say):
        with Services(folder + "/state") as services:
            assert services.left() == pids
            for name in WAYS:
                services.add(name, ["false"])
                status = services.status(name)
                assert (status.state, status.pid) == ("running", pids[name])
            assert [e.kind for e in services.poll(0)] == ["adopted"] * 3
            end_all(folder, {})
            for name in WAYS:
                with open(os.path.join(folder, name), "w"):
                    pass
            found = {}
            while len(found) < 3:
                for event in services.poll(PATIENCE):
                    if event.kind == "ended":
                        found[event.name] = str(event.end)
                        services.stop(event.name)
            say(found)
    assert live(body) == ENDS or not exit_info()


def policy(folder):
    """What ended meanwhile is started again if its policy says so."""
    pids = begin(folder, restart="on-failure")
    end_all(folder, pids)

    def body(say):
        with Services(folder + "/state", on_close="stop") as services:
            for name in WAYS:
                services.add(name, ["sleep", "1000"], restart="on-failure",
                             backoff=Backoff(first=0.01))
            told(services, ("ready", "badly"))
            told(services, ("ready", "killed")) \
                if services.status("killed").state != "running" else None
            say({name: services.status(name).state for name in WAYS})
    assert live(body) == {"well": "stopped", "badly": "running",
                          "killed": "running"}


def boot(folder):
    """Of another boot: lost, with the reason, and no pid is touched."""
    pids = begin(folder)

    def body(say):
        from xlchild.services import _processes
        _processes.boot = lambda: "another"
        with Services(folder + "/state") as services:
            say([services.left(), [str(e.end) for e in services.poll(0)]])
    left, ends = live(body)
    assert left == {} and ends == [
        "lost (the machine, or its container, was started anew since)"] * 3
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
        is_gone(pid)


def notify(folder):
    """READY=1 that comes while nobody lives counts."""
    os.mkfifo(folder + "/go")
    program = ("import os, socket; open(%r).read(); "
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
               "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); "
               "open(%r, 'w').close(); import time; time.sleep(1000)"
               % (folder + "/go", folder + "/said"))
    argv = [sys.executable, "-S", "-c", program]

    def first(say):
        services = Services(folder + "/state")
        services.add("web", argv, ready=("notify",))
        services.start("web")
        say(services.status("web").state)
        wait_forever()
    life = Life(first)
    assert life.hear() == "starting"
    life.kill()
    with open(folder + "/go", "w"):
        pass
    until = time.monotonic() + PATIENCE
    while not os.path.exists(folder + "/said"):
        assert time.monotonic() < until
        time.sleep(0.002)

    def second(say):
        with Services(folder + "/state", on_close="stop") as services:
            services.add("web", argv, ready=("notify",))
            state = services.status("web").state
            say([state, services.wait_ready("web", PATIENCE)])
    assert live(second) == ["starting", True]


def log(folder):
    """Its output goes on while nobody lives, and a line makes it ready."""
    os.mkfifo(folder + "/go")
    argv = ["sh", "-c", "echo one; read x <%s/go; echo two; exec sleep 1000"
            % folder]
    path = folder + "/log"

    def first(say):
        services = Services(folder + "/state")
        services.add("web", argv, ready=("line", "^two$"), log=path)
        services.start("web")
        say(services.status("web").state)
        wait_forever()
    life = Life(first)
    assert life.hear() == "starting"
    life.kill()
    with open(folder + "/go", "w"):
        pass

    def second(say):
        with Services(folder + "/state", on_close="stop") as services:
            services.add("web", argv, ready=("line", "^two$"), log=path)
            say(services.wait_ready("web", PATIENCE))
    assert live(second)
    with open(path) as file:
        assert file.read() == "one\ntwo\n"


def group(folder):
    """What an ended service left in its group while nobody lived is gone
    before it is started again."""
    script = "flock -F -n %s/one sleep 1000 & read x <%s/go; exit 3" % (
        folder, folder)
    os.mkfifo(folder + "/go")

    def first(say):
        services = Services(folder + "/state")
        services.add("web", ["sh", "-c", script])
        services.start("web")
        services.wait_ready("web", PATIENCE)
        say(services.status("web").pid)
        wait_forever()
    life = Life(first)
    pid = life.hear()
    life.kill()
    with open(folder + "/go", "w"):
        pass
    is_gone(pid)

    def second(say):
        with Services(folder + "/state", on_close="stop") as services:
            services.add("web", guarded(folder), backoff=Backoff(first=0))
            events = told(services, ("ready", "web"))
            say([one[0] for one in events] + [one[3] for one in events
                                              if one[3]])
    seen = live(second)
    assert seen == ["ended", "restarting", "started", "ready", "exit 3"], seen


SCENARIOS = (away, untold, alive, policy, boot, notify, log, group)
