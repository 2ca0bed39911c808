"""A script that is killed at any moment, again and again, while its services
end and are started without pause.

    soak_services.py FOLDER ENDS [SEED]

Run by `make soak-services` under the helper reaper, and for some seconds by
services_lives.py. Each run of a service writes its name to the file "ran" and
ends in a way of its own. What the lives are told of the ends has to be just
that: of each that ran, at least once, with its own status, and none ran twice.
"""
import itertools
import os
import random
import signal
import sys
import time

from lives import PATIENCE, Life, exit_info
from lives_moments import dying_at

from xlchild.services import Backoff, Services

WAYS = {"well": "exit 0", "seven": "exit 7", "killed": "kill -KILL $$",
        "later": "sleep 0.02; exit 9", "asked": "kill -TERM $$",
        "slow": "sleep 0.1; exit 11"}
ENDS = {"well": "exit 0", "seven": "exit 7", "killed": "signal SIGKILL",
        "later": "exit 9", "asked": "signal SIGTERM", "slow": "exit 11"}
COPIES = 3  # of each
LONGEST_LIFE = 0.6
MOST_CALLS = 20000


def add_all(services, folder, restart="always"):
    """Two at a time of one service would be seen: exit 99."""
    for way, copy in itertools.product(WAYS, range(COPIES)):
        name = "%s-%d" % (way, copy)
        services.add(name, [
            "flock", "-F", "-n", "-E", "99", folder + "/lock-" + name, "sh",
            "-c", 'echo "$XLCHILD_SERVICE" >>"$0"; ' + WAYS[way],
            folder + "/ran"], restart=restart,
            backoff=Backoff(first=0, most=0, restarts=10 ** 9,
                            within=1))


def tell(say, services, timeout, away=False):
    """What poll() has of ends; in one piece, or not at all."""
    ends = [[e.run, str(e.end), away] for e in services.poll(timeout)
            if e.kind == "ended"]
    if ends:
        say(ends)
    return ends


def live_on(say, services, folder):
    """A life from its first look, until it is killed."""
    tell(say, services, 0, away=True)
    add_all(services, folder)
    for name in services.names():
        if services.status(name).state in ("stopped", "failed"):
            services.start(name)
    while True:
        tell(say, services, None)


def a_life(folder, calls):
    """Dies at that call; or lives until it is killed."""
    def body(say):
        if calls:
            dying_at(calls)
        live_on(say, Services(folder + "/state"), folder)
    return body


def last_life(folder):
    """Waits for what runs, and for what it starts."""
    def body(say):
        with Services(folder + "/state") as services:
            tell(say, services, 0, away=True)
            add_all(services, folder, "never")
            while any(services.status(name).state not in ("stopped", "failed")
                      for name in services.names()):
                tell(say, services, PATIENCE)
            tell(say, services, 0)
            services.poll(0)
    return body


class Told:
    """By run, what was heard of its end first."""

    def __init__(self):
        self.ends = {}
        self.away = self.again = self.lost = 0

    def hear(self, said):
        """Of one poll()."""
        for run, end, away in said:
            self.again += run in self.ends
            if run not in self.ends:
                self.away += away
                self.lost += end.startswith("lost")
            assert self.ends.setdefault(run, end) == end, (run, end)
            way = run.partition("-")[0]
            assert end == ENDS[way] or end.startswith("lost"), (run, end)

    def live(self, life, until=None):
        """Hear a life to its end; killed at a time, if it is still there."""
        while True:
            wait = PATIENCE
            if until is not None:
                wait = max(0, until - time.monotonic())
            if not life.has_said(wait):
                assert until is not None, "silent"
                os.kill(life.pid, signal.SIGKILL)
                until = None
                continue
            said = life.hear()
            if said is None:
                return life.end()
            self.hear(said)


def soak(folder, ends, seed):
    """The figures, in words; AssertionError where something is not so."""
    chance = random.Random(seed)
    told, lives = Told(), 0
    while len(told.ends) < ends:
        lives += 1
        calls = chance.randrange(1, MOST_CALLS) if chance.random() < .5 else 0
        status = told.live(Life(a_life(folder, calls)), time.monotonic()
                           + chance.random() ** 2 * LONGEST_LIFE)
        assert status == signal.SIGKILL, status
    assert told.live(Life(last_life(folder))) == 0
    with open(folder + "/ran") as file:
        ran = [line.strip().partition("/")[2] for line in file]
    assert len(set(ran)) == len(ran), "a run ran twice"
    untold = set(ran) - set(told.ends)
    assert not untold, untold
    assert told.lost == 0 or not exit_info(), told.lost
    assert told.away > 0
    return ("%d ends in %d lives that were killed, %d of them while no script "
            "lived: %d lost, %d untold, %d told again; seed %d"
            % (len(told.ends), lives, told.away, told.lost, len(untold),
               told.again, seed))


if __name__ == "__main__":
    SEED = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    print("seed", SEED, flush=True)
    print(soak(sys.argv[1], int(sys.argv[2]), SEED))
