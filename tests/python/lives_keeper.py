"""Where the pidfds are while no script lives: the keeper, or systemd's store.
Scenarios for services_lives.py.
"""
import os
import socket
import time

from lives import (PATIENCE, Life, begin, ends_told, exit_info, is_gone,
                   keeper_pid, kill_keeper, live, wait_forever)

from xlchild.services import Services, _keeping, _processes


def no_keeper(folder):
    """The keeper is killed while nobody lives: those that live are found,
    those that end are lost, and it says why."""
    pids = begin(folder)
    kill_keeper(folder)
    with open(folder + "/badly", "w"):
        pass
    is_gone(pids["badly"])
    found = ends_told(folder)
    assert list(found) == ["badly"] and found["badly"][0].startswith("lost")
    assert found["badly"][2] == \
        "it ended while no script lived, and nobody had its pidfd"
    alive_rest(folder)


def alive_rest(folder):
    def body(say):
        with Services(folder + "/state") as services:
            left = sorted(services.left())
            services.stop_left()
            say(left)
    assert live(body) == ["killed", "well"]


def another_keeper(folder):
    """The keeper is killed while a script lives: another has the same."""
    def body(say):
        services = Services(folder + "/state")
        services.add("web", ["sh", "-c", "read x <%s/go; exit 6" % folder],
                     restart="never")
        services.start("web")
        services.wait_ready("web", PATIENCE)
        say(services.status("web").pid)
        while True:
            services.poll(None)
    os.mkfifo(folder + "/go")
    life = Life(body)
    pid = life.hear()
    before = keeper_pid(folder)
    kill_keeper(folder)
    until = time.monotonic() + PATIENCE
    while keeper_pid(folder) in (None, before):
        assert time.monotonic() < until
        time.sleep(0.002)
    # it answers who has its label before the script dies
    held = []
    while not held:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
            made.connect(folder + "/state/keeper")
            _keeping._send(made, "list")
            text, fd = _keeping._receive(made)
            while text != "end":
                held.append(text)
                os.close(fd)
                text, fd = _keeping._receive(made)
    life.kill()
    with open(folder + "/go", "w"):
        pass
    is_gone(pid)
    assert ends_told(folder)["web"][0] == "exit 6" or not exit_info()


def damaged(folder):
    """The state file is damaged: the keeper tells what ran, and how it
    ended."""
    pids = begin(folder)
    with open(folder + "/badly", "w"):
        pass
    is_gone(pids["badly"])
    with open(folder + "/state/services", "r+b") as file:
        file.seek(20)
        file.write(b"?")

    def body(say):
        with Services(folder + "/state") as services:
            events = services.poll(0)
            kinds = sorted(e.kind for e in events)
            ends = [str(e.end) for e in events if e.kind == "ended"]
            left = services.left()
            services.stop_left()
            say([kinds, ends, left])
    kinds, ends, left = live(body)
    assert kinds == ["ended", "state-lost"]
    assert ends == ["exit 7"] or not exit_info()
    del pids["badly"]
    assert left == pids


def marks(folder):
    """… and with the keeper gone, those that live are found by their marks."""
    pids = begin(folder)
    kill_keeper(folder)
    os.unlink(folder + "/state/services")

    def body(say):
        with Services(folder + "/state") as services:
            left = services.left()
            services.stop_left()
            say(left)
    assert live(body) == pids


def systemd(folder):
    """The pidfds are in systemd's store, where it says that it has one."""
    store = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    store.bind(folder + "/notify")
    os.mkfifo(folder + "/go")

    def first(say):
        os.environ.update(NOTIFY_SOCKET=folder + "/notify", FDSTORE="9")
        services = Services(folder + "/state")
        assert services.kept_by == "systemd"
        services.add("web", ["sh", "-c", "read x <%s/go; exit 6" % folder],
                     restart="never", env={"PATH": os.environ["PATH"]})
        services.start("web")
        services.wait_ready("web", PATIENCE)
        say(services.status("web").pid)
        wait_forever()
    life = Life(first)
    pid = life.hear()
    life.kill()
    text, fd = _keeping._receive(store)
    lines = text.split("\n")
    assert lines[:2] == ["FDSTORE=1", "FDPOLL=0"]
    name = lines[2].partition("=")[2]
    assert len(name) <= 255 and ":" not in name
    with open(folder + "/go", "w"):
        pass
    is_gone(pid)

    def second(say):
        os.environ.update(NOTIFY_SOCKET=folder + "/notify", FDSTORE="9",
                          LISTEN_PID=str(os.getpid()), LISTEN_FDS="2",
                          LISTEN_FDNAMES="other:" + name)
        os.dup2(fd, 60)
        os.dup2(0, 3)
        os.dup2(60, 4)
        with Services(folder + "/state") as services:
            say([str(e.end) for e in services.poll(0)])
            services.poll(0)
    assert live(second) == ["exit 6"] or not exit_info()
    text, fd = _keeping._receive(store)
    assert fd is None and text == "FDSTOREREMOVE=1\nFDNAME=" + name
    assert keeper_pid(folder) is None


def planted(folder):
    """What is in the keeper's place and not its own is not spoken to."""
    os.mkdir(folder + "/state", 0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as theirs:
        theirs.bind(folder + "/theirs")
        theirs.listen(1)
        theirs.setblocking(False)
        os.symlink(folder + "/theirs", folder + "/state/keeper")

        def body(say):
            with Services(folder + "/state") as services:
                say(services.kept_by)
        assert live(body) == "keeper"
        try:
            theirs.accept()
        except BlockingIOError:
            pass
        else:
            raise AssertionError("it was spoken to")
    assert not os.path.islink(folder + "/state/keeper")


def memory(folder):
    """A keeper of 1,000 pidfds has a MiB of its own at most."""
    def body(say):
        with Services(folder + "/state") as services:
            keeping = services._keeping
            fd = _processes.pidfd_open(os.getpid())
            labels = ["xlchild.%s.service-%d~1-%d.%d.%d" % (
                services._journal.folder.identity, number, number, number + 2,
                10 ** 9) for number in range(1000)]
            for label in labels:
                assert _keeping._send(keeping._socket, "hold " + label, fd)
            assert keeping._ask_all(keeping._socket,
                                    lambda label, fd: os.close(fd))
            with open("/proc/%d/smaps_rollup" % keeper_pid(folder)) as file:
                say({line.split(":")[0]: int(line.split()[1])
                     for line in file if line.endswith("kB\n")})
            for label in labels:
                assert _keeping._send(keeping._socket, "drop " + label)
    used = live(body)
    print("a keeper of 1,000 pidfds: PSS %d KiB, private %d KiB" % (
        used["Pss"], used["Private_Dirty"] + used["Private_Clean"]))
    assert used["Pss"] <= 1024


def held(services):
    """The names of the services whose pidfds the keeper has."""
    found = []

    def enter(label, fd):
        assert os.readlink("/proc/self/fd/%d" % fd).find("pidfd") >= 0
        os.close(fd)
        found.append(label.split(".")[3].partition("~")[0])
    assert services._keeping._ask_all(services._keeping._socket, enter)
    return found


def over(folder):
    """The keeper drops what has ended though nobody polls, and is gone with
    the script that has stopped all."""
    def body(say):
        with Services(folder + "/state", on_close="stop") as services:
            for name in "one", "two":
                services.add(name, ["sleep", "1000"])
                services.start(name)
                assert services.wait_ready(name, PATIENCE)
            services.stop("one")
            assert held(services) == ["two"]
            say(keeper_pid(folder))
    life = Life(body)
    pid = life.hear()
    assert pid is not None and pid > 1
    assert life.hear() is None
    assert life.end() == 0
    is_gone(pid)
    assert sorted(ends_told(folder)) == ["one", "two"]


def left_on(folder):
    """It stays with what runs, and goes with the last of it, in whichever
    life that ends."""
    pids = begin(folder)
    keeper = keeper_pid(folder)
    with open(folder + "/badly", "w"):
        pass
    is_gone(pids["badly"])

    def body(say):
        with Services(folder + "/state") as services:
            assert [str(e.end) for e in services.poll(0)] == [
                "exit 7"] or not exit_info()
            before = held(services)
            services.stop_left()
            say([sorted(before), held(services)])
    assert live(body) == [["killed", "well"], []]
    is_gone(keeper)


SCENARIOS = (systemd, planted, memory, no_keeper, another_keeper, damaged,
             marks, over, left_on)
