"""A life of a script with services, as a unit of systemd's: orchestrator.py OUT

Started by systemd (see boot), again whenever it is gone. What it is told of
ends goes to OUT/told, a line each time. Half of its lives die at a call of
their own choice; killer.py ends the others. Where OUT/last is, this is the last
life: it waits for its services, writes OUT/done and sleeps.
"""
import json
import os
import random
import signal
import sys

from lives_moments import dying_at
from soak_services import MOST_CALLS, last_life, live_on

from xlchild.services import Services


def main(out):
    chance = random.Random()
    log = os.open(out + "/told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(ends):
        os.write(log, json.dumps(ends).encode() + b"\n")

    if os.path.exists(out + "/last"):
        last_life(out)(say)
        os.close(os.open(out + "/done", os.O_WRONLY | os.O_CREAT, 0o600))
        while True:
            signal.pause()
    if chance.random() < 0.5:
        dying_at(chance.randrange(1, MOST_CALLS))
    services = Services(out + "/state")
    assert services.kept_by == "systemd", services.kept_by
    live_on(say, services, out)


if __name__ == "__main__":
    main(sys.argv[1])
