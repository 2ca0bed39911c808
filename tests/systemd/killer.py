"""Kills orchestrator.service until enough was told: killer.py OUT ENDS SEED

A unit of systemd's (see boot); the system ends when it does. Its figures go to
OUT/figures: how often it has killed, the most and the last that the FD store
held.
"""
import json
import os
import random
import subprocess
import sys
import time

from soak_services import LONGEST_LIFE

UNIT = "orchestrator.service"
PATIENCE = 120


def systemctl(*args):
    return subprocess.run(("systemctl",) + args, check=True,
                          stdout=subprocess.PIPE, text=True).stdout


def in_store():
    return int(systemctl("show", "--value", "-p", "NFileDescriptorStore",
                         UNIT))


def kill():
    subprocess.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL",
                    UNIT], stderr=subprocess.DEVNULL)  # it may be dead


def told(out):
    try:
        with open(out + "/told") as file:
            return {run for line in file if line.endswith("\n")
                    for run, _, _ in json.loads(line)}
    except FileNotFoundError:
        return ()


def main(out, ends, seed):
    chance = random.Random(seed)
    kills = most = 0
    while len(told(out)) < ends:
        time.sleep(chance.random() ** 2 * LONGEST_LIFE)  # of a life
        kill()
        kills += 1
        most = max(most, in_store())
    os.close(os.open(out + "/last", os.O_WRONLY | os.O_CREAT, 0o600))
    kill()
    until = time.monotonic() + PATIENCE
    while not os.path.exists(out + "/done"):
        assert time.monotonic() < until, "the last life does not end"
        time.sleep(0.05)
    restarts = int(systemctl("show", "--value", "-p", "NRestarts", UNIT))
    with open(out + "/figures", "w") as file:
        json.dump({"kills": kills, "lives": restarts, "most_in_store": most,
                   "left_in_store": in_store()}, file)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
