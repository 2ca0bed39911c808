"""xlchild doctor [PID]: what a running process does with SIGCHLD and children.

Called by _main.py. Reads /proc alone: nothing is stopped, traced or changed.
_Process has the facts as the kernel tells them; _findings() says what is wrong
and what to do; report() puts both into lines for a bug report. What /proc does
not tell is said to be unknown, never guessed.
"""
import os
import platform
import re
import signal
import sys

__all__ = ["main", "report"]

_USAGE = "usage: xlchild doctor [PID]   (-- doctor runs a program so called)"
_MOST = 20  # lines of one kind
_CHLD = 1 << (signal.SIGCHLD - 1)
_TERM = 1 << (signal.SIGTERM - 1)
# Files that are known to handle SIGCHLD, or to reap, in the process they are in.
_HANDLERS = (
    ("libuv", "libuv: handles SIGCHLD, waits for its own children"),
    ("libglib-2", "GLib: a pidfd or a handler, waits for its own children"),
    ("libxenlight", "libxenlight: SIGCHLD by its mode"),
    ("libev.", "libev: handles SIGCHLD, reaps all children"),
    ("libtcl", "Tcl: waits for its own children"),
    ("uvloop", "uvloop: handles SIGCHLD, waits for its own children"),
    ("gevent", "gevent: handles SIGCHLD once a child is watched"),
    ("libjvm", "the JVM: a thread waits for each child"),
)
_OURS = re.compile(r"/(libxlchild\.so[^/]*|xlchild/_libxl\.[^/]*|"
                   r"dllxlchild_stubs\.so)$")
# System calls that wait for a child: (wait4, waitid), by machine.
_WAITS = {"x86_64": (61, 247), "aarch64": (260, 95), "riscv64": (260, 95)}
_WHICH = {0: "any child", 1: "pid %d", 2: "process group %d", 3: "pidfd %d"}


class Unreadable(Exception):
    """There is no such process, or it may not be looked at."""


def _text(path):
    """The file's text; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _status(text):
    """name -> value of a /proc/PID/status."""
    return {name: value.strip() for name, colon, value in
            (line.partition(":") for line in text.splitlines()) if colon}


def _stat(pid):
    """(name, state, parent, start) of a process; None if it is gone."""
    text = _text("/proc/%d/stat" % pid)
    if not text:
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split()
    return name, rest[0], int(rest[1]), int(rest[19])


class _Process:
    """What /proc says of one process."""

    def __init__(self, pid):
        self.pid = pid
        base = "/proc/%d" % pid
        text = _text(base + "/status")
        if text is None:
            raise Unreadable(
                "there is no /proc here" if not os.path.exists("/proc/self")
                else "no process %d, or it may not be looked at" % pid)
        status = _status(text)
        self.name = status.get("Name", "?")
        self.state = status.get("State", "?")
        self.parent = int(status.get("PPid", 0))
        self.inner = int(status.get("NSpid", str(pid)).split()[-1])
        self.ignores = int(status.get("SigIgn", "0"), 16)
        self.catches = int(status.get("SigCgt", "0"), 16)
        self.filters = status.get("Seccomp", "?"), status.get(
            "Seccomp_filters")
        self.threads = [self._thread(tid) for tid in self._tids(base)]
        self.files = self._mapped(base)
        self.pidfds, self.fds = self._descriptors(base)
        self.limits = self._limits(base)
        self.cgroup = self._cgroup(base)
        self.children = [child for child in self._children()
                         if child[1] is not None]

    @staticmethod
    def _tids(base):
        try:
            return sorted(int(name) for name in os.listdir(base + "/task"))
        except OSError:
            return []

    def _thread(self, tid):
        """(tid, blocks SIGCHLD, what it waits for or None, blocks TERM)."""
        base = "/proc/%d/task/%d" % (self.pid, tid)
        blocked = int(_status(_text(base + "/status") or "")
                      .get("SigBlk", "0"), 16)
        waits = None
        words = (_text(base + "/syscall") or "").split()
        numbers = _WAITS.get(platform.machine())
        if words and words[0].isdigit() and numbers:
            first, second = (int(w, 16) & 0xffffffff for w in words[1:3])
            first -= (first >> 31) << 32
            if int(words[0]) == numbers[0]:
                waits = "any child" if first == -1 else "pid %d" % first \
                    if first > 0 else "process group %d" % -first
            elif int(words[0]) == numbers[1]:
                waits = _WHICH.get(first, "?")
                if "%" in waits:
                    waits = waits % second
        elif (_text(base + "/wchan") or "") == "do_wait":
            waits = "a child (which is not told)"
        return tid, bool(blocked & _CHLD), waits, bool(blocked & _TERM)

    @staticmethod
    def _mapped(base):
        text = _text(base + "/maps")
        if text is None:
            return None
        return sorted({line.split(None, 5)[5] for line in text.splitlines()
                       if line.count("/") and len(line.split(None, 5)) == 6})

    @staticmethod
    def _descriptors(base):
        """({pid: fds that are its pidfds}, number of fds); None: not told."""
        pidfds = {}
        try:
            names = os.listdir(base + "/fd")
        except OSError:
            return None, None
        for name in names:
            try:
                where = os.readlink("%s/fd/%s" % (base, name))
            except OSError:
                continue
            if "pidfd" in where:
                info = _status(_text("%s/fdinfo/%s" % (base, name)) or "")
                pidfds.setdefault(int(info.get("Pid", -1)), []).append(
                    int(name))
        return pidfds, len(names)

    @staticmethod
    def _limits(base):
        found = {}
        for line in (_text(base + "/limits") or "").splitlines()[1:]:
            found[line[:26].strip()] = line[26:].split()[0]
        return found

    @staticmethod
    def _cgroup(base):
        """(processes, most) of its control group; None: not told."""
        for line in (_text(base + "/cgroup") or "").splitlines():
            number, controllers, path = line.split(":", 2)
            for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids"):
                now = _text("%s%s/pids.current" % (folder, path))
                most = _text("%s%s/pids.max" % (folder, path))
                if now and most and (not controllers or "pids"
                                     in controllers):
                    return now.strip(), most.strip()
        return None

    def _children(self):
        """(pid, its _stat) of each, the zombies too."""
        numbers = set()
        told = False
        for tid, *_ in self.threads:
            text = _text("/proc/%d/task/%d/children" % (self.pid, tid))
            if text is not None:
                told = True
                numbers.update(map(int, text.split()))
        if not told:  # a kernel without it: look at everybody
            numbers = {int(n) for n in os.listdir("/proc") if n.isdigit()
                       and (_stat(int(n)) or (0, 0, 0))[2] == self.pid}
        return [(pid, _stat(pid)) for pid in sorted(numbers)]

    @property
    def zombies(self):
        """(pid, its _stat) of the dead ones."""
        return [child for child in self.children if child[1][1] == "Z"]

    @property
    def ours(self):
        """The files of this library's that it has mapped; None: not told."""
        if self.files is None:
            return None
        return [name for name in self.files if _OURS.search(name)]


# ---- what is wrong, and what to do -----------------------------------------


def _findings(process):
    """Lines: what is wrong, or may be, and what to do."""
    found = []
    greedy = [t for t, _, waits, _ in process.threads if waits == "any child"]
    if process.ignores & _CHLD:
        found.append("SIGCHLD is ignored: the kernel throws statuses away "
                     "(where there are no pidfds they are LOST 2). Set it to "
                     "SIG_DFL before the first child; look for "
                     "signal(SIGCHLD, SIG_IGN), or a parent that left it so.")
    if greedy:
        found.append("thread %s waits for any child: it takes the statuses of "
                     "others' (LOST 1, or \"Unknown child process\" in "
                     "asyncio). Let it wait for its own pids, or choose the "
                     "mode in which it passes them on (mainloop)."
                     % ", ".join(map(str, greedy)))
    all_block = process.threads and all(t[1] for t in process.threads)
    if all_block and process.catches & _CHLD:
        found.append("SIGCHLD is handled, but blocked in every thread. If it "
                     "still is when asked again (a program that forks blocks "
                     "it for a moment) the handler never runs: unblock it in one of them, or read a "
                     "signalfd; mode none needs no signal.")
    if process.zombies:
        found.append("%d zombies: ended, and nobody has asked how. Their "
                     "parent, %d, has to wait for them; if it did not start "
                     "them it is a process 1 that does not reap "
                     "(docs/tasks/pid-1.md)."
                     % (len(process.zombies), process.pid))
    if process.inner == 1 and not process.catches & _TERM:
        found.append("it is process 1 of its pid namespace and has no handler "
                     "for SIGTERM: the kernel drops that signal. Handle it, "
                     "or put an init before it (docs/tasks/pid-1.md).")
    most = process.limits.get("Max open files", "")
    if process.fds is not None and most.isdigit() \
            and process.fds * 10 > int(most) * 9:
        found.append("%d of %s fds are in use: starts will fail with EMFILE. "
                     "Raise RLIMIT_NOFILE, or find who keeps them."
                     % (process.fds, most))
    if process.cgroup and process.cgroup[1].isdigit() \
            and int(process.cgroup[0]) * 10 > int(process.cgroup[1]) * 9:
        found.append("%s of %s processes are in its control group: starts "
                     "will fail with EAGAIN. Raise pids.max (TasksMax= in "
                     "systemd, --pids-limit of a container)."
                     % process.cgroup)
    return found


# ---- in words ---------------------------------------------------------------


def _some(rows):
    """The first of them, and how many more there are."""
    rows = list(rows)
    more = len(rows) - _MOST
    return rows[:_MOST] + (["  and %d more" % more] if more > 0 else [])


def _disposition(process, mask):
    if process.ignores & mask:
        return "ignored (SIG_IGN)"
    if process.catches & mask:
        return "handled; by which code /proc does not tell"
    return "at its default (SA_NOCLDWAIT is not told by /proc)"


def _libraries(process):
    if process.files is None:
        return ["mapped files: not told; as root, or as its user, more is "
                "seen"]
    ours = process.ours
    lines = ["xlchild: %s" % (", ".join(ours) if ours else
                              "not seen (linked statically it has no file)")]
    for part, words in _HANDLERS:
        if any(part in name.rpartition("/")[2] or "/%s/" % part in name
               for name in process.files):
            lines.append("also there: %s" % words)
    return lines


def _child_line(process, pid, stat):
    name, state, _, start = stat
    line = "  %d %s %s, started at tick %d" % (
        pid, name, "zombie" if state == "Z" else "state " + state, start)
    fds = (process.pidfds or {}).get(pid)
    if fds:
        line += ", pidfd %s" % ",".join(map(str, sorted(fds)))
        if process.ours:
            line += ": xlchild's, most likely"
    elif process.pidfds is not None:
        line += ", no pidfd: not xlchild's, unless pidfds are refused here"
    return line


def _about(process):
    lines = ["process %d (%s), state %s, parent %d%s" % (
        process.pid, process.name, process.state, process.parent,
        "" if process.inner == process.pid
        else ", pid %d in its namespace" % process.inner)]
    lines.append("SIGCHLD: " + _disposition(process, _CHLD))
    lines.append("SIGTERM: " + _disposition(process, _TERM).partition(
        " (SA")[0])
    blocking = [t for t, blocks, _, _ in process.threads if blocks]
    lines.append("threads: %d; SIGCHLD is blocked in %s" % (
        len(process.threads), "none" if not blocking else
        "all" if len(blocking) == len(process.threads)
        else ", ".join(map(str, blocking[:_MOST]))))
    waiting = [(t, waits) for t, _, waits, _ in process.threads if waits]
    lines += _some("  thread %d waits for %s" % pair for pair in waiting)
    lines += _libraries(process)
    living = [c for c in process.children if c[1][1] != "Z"]
    lines.append("children: %d live, %d zombies" % (
        len(living), len(process.zombies)))
    lines += _some(_child_line(process, *c) for c in process.zombies)
    lines += _some(_child_line(process, *c) for c in living)
    lines.append("fds: %s of %s; processes: %s for its user, %s in its "
                 "control group" % (
                     "not told" if process.fds is None else process.fds,
                     process.limits.get("Max open files", "?"),
                     process.limits.get("Max processes", "?"),
                     "%s of %s" % process.cgroup if process.cgroup
                     else "not told"))
    lines.append("seccomp: %s" % {
        "0": "no filter", "1": "strict", "2": "filtered (%s filters): pidfds "
        "and clone may be refused" % (process.filters[1] or "?")}.get(
            process.filters[0], "not told"))
    return lines


def _here():
    """What this kernel offers: found out by this process, for this one."""
    import xlchild
    with xlchild.Context() as ctx:
        ctx.run(["true"])
        words = ctx.diagnose().words
    lines = ["xlchild %s, Python %s, Linux %s %s" % (
        xlchild.__version__, platform.python_version(),
        platform.release(), platform.machine())]
    kernel = [line for line in words.splitlines()
              if line.startswith(("kernel:", "because:", "mode:"))]
    return lines + ["for the doctor itself, " + line for line in kernel]


def report(pid=None):
    """The lines about the process; None: about this machine alone."""
    lines = []
    if pid is None:
        lines += _here()
        process = _Process(os.getpid())
        for what, mask in (("SIGCHLD", _CHLD), ("SIGTERM", _TERM)):
            lines.append("a child of this shell's gets %s %s" % (
                what, "ignored" if process.ignores & mask else "as usual"))
        lines.append("for a running process: xlchild doctor PID")
        return lines
    process = _Process(pid)
    lines += _about(process)
    lines += _here()
    found = _findings(process)
    lines += ["", "what to do:"] + ["- " + line for line in found] if found \
        else ["", "nothing is wrong, as far as /proc tells"]
    return lines


def main(words):
    """What `xlchild doctor` does; the exit status: 0, or 255 if it cannot."""
    if words in (["-h"], ["--help"]):
        print(_USAGE)
        return 0
    if len(words) > 1 or (words and not re.fullmatch("[0-9]{1,9}",
                                                     words[0])):
        print("xlchild: " + _USAGE, file=sys.stderr)
        return 255
    pid = int(words[0]) if words else None
    try:
        lines = report(pid)
    except Unreadable as error:
        print("xlchild: doctor: %s" % error, file=sys.stderr)
        return 255
    print("\n".join(lines))
    return 0
