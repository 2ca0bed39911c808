"""Services of an OCaml daemon end while it is away: while_away.py OUT

A unit of systemd's (see boot). daemon.service runs tests/ocaml/life.ml, whose
services wait at named pipes. It is killed, its services are told to end before
systemd starts it again, and its next life has to say how they ended.
"""
import subprocess
import sys
import time

NAMES = ("one", "two", "three")
FIRST_CODE = 41
UNIT = "daemon.service"
PATIENCE = 60


def until(ready, what):
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def property_of(name):
    return subprocess.run(
        ["systemctl", "show", "--value", "-p", name, UNIT], check=True,
        stdout=subprocess.PIPE, text=True).stdout.strip()


def has_said(out, text):
    try:
        with open(out + "/daemon.log") as log:
            return text + "\n" in log.readlines()
    except FileNotFoundError:
        return False


def main(out):
    for name in NAMES:
        until(lambda: has_said(out, name + " ready"), name)
    until(lambda: property_of("NFileDescriptorStore") == str(len(NAMES)),
          "the FD store has not what it should")
    subprocess.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL",
                    UNIT], check=True)
    until(lambda: property_of("MainPID") == "0", "the daemon lives")
    for number, name in enumerate(NAMES):
        with open("%s/daemon/%s.go" % (out, name), "w") as pipe:
            pipe.write("%d\n" % (FIRST_CODE + number))
    for name in NAMES:
        until(lambda: any(line.startswith(name + " ended")
                          for line in open(out + "/daemon.log")),
              name + " has not ended")
    # which have been started anew; of the old ones nothing is left there
    until(lambda: property_of("NFileDescriptorStore") == str(len(NAMES)),
          "the FD store has what has ended")


if __name__ == "__main__":
    main(sys.argv[1])
