"""What the library may not do in mode mainloop, read off an strace: C2.

Called by run.sh with the log of `coexist mainloop`. Between the two markers
there is no rt_sigaction for SIGCHLD, and no wait but the host's own wait4(-1)
and the library's waitid on one child's pidfd or pid.

usage: strace_check.py LOG
"""
import re
import sys


def main(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = log.read().splitlines()
    marks = [i for i, line in enumerate(lines) if "/xlchild-" in line]
    if len(marks) != 2:
        sys.exit(f"strace_check: {len(marks)} markers instead of 2")
    between = lines[marks[0]:marks[1]]
    waits = 0
    for line in between:
        if re.search(r"rt_sigaction\(SIGCHLD, (?!NULL)", line):
            sys.exit(f"strace_check: the disposition was set: {line}")
        wait = re.search(r"\bwait(?:4|id|pid)\((\S+?),", line)
        if wait is None:
            continue
        waits += 1
        host = re.search(r"wait4\(-1, ", line)
        one = re.search(r"waitid\((P_PIDFD|P_PID), \d+", line)
        if not host and not one:
            sys.exit(f"strace_check: waits for others: {line}")
    if waits == 0:
        sys.exit("strace_check: no wait was seen at all")


if __name__ == "__main__":
    main(sys.argv[1])
