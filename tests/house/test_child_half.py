"""The child's half calls nothing but what is safe between fork and exec.

C17: the undefined symbols of its object are held against a list of
async-signal-safe functions (c/src/start/child_setup.allow). And the calls that start,
wait for and watch processes are made in one file, sys.c.
"""
import re
import subprocess

import tree

OBJECTS = [tree.ROOT / "build/c/start/child_setup.o",
           tree.ROOT / "build/c/kernel/probe_child.o",
           tree.ROOT / "build/c/kernel/keeper_child.o"]


def allowed():
    lines = [line.split("#")[0].strip()
             for line in tree.text("c/src/start/child_setup.allow").splitlines()]
    return {line for line in lines if line}


def undefined():
    answer = subprocess.run(["nm", "-u"] + [str(o) for o in OBJECTS],
                            check=True, stdout=subprocess.PIPE, text=True)
    return {line.split()[-1] for line in answer.stdout.splitlines()
            if re.search(r" [Uw] ", line)}


# What the compiler and linker add by themselves.
OF_THE_COMPILER = {"_GLOBAL_OFFSET_TABLE_", "memcpy", "memset"}


def test_C17_child_half_calls_only_what_is_allowed():
    assert undefined() - allowed() - OF_THE_COMPILER == set()


def test_C17_list_has_nothing_that_is_not_used():
    assert allowed() - undefined() - OF_THE_COMPILER == set()


def test_C17_child_half_neither_allocates_nor_logs():
    never = {"malloc", "calloc", "realloc", "free", "printf", "fprintf",
             "snprintf", "vsnprintf", "syslog", "perror", "exit",
             "pthread_mutex_lock", "getenv", "opendir", "readdir"}
    assert undefined() & never == set()
    assert allowed() & never == set()


def test_process_calls_are_made_in_one_file():
    """Looking at a disposition (a new one of NULL) is nobody's harm."""
    call = re.compile(
        r"(?<![\w.>])(fork|vfork|clone|clone3|waitid|waitpid|wait4|"
        r"sigaction(?!\(\w+, NULL,)|pipe2|pidfd_open|pidfd_send_signal)\s*\(")
    wrong = []
    for path in tree.files():
        if path.parent.parent.as_posix() != "c/src" or path.name in (
                "sys.c", "sys.h", "child_setup.c",
                "probe_child.c", "keeper_child.c"):
            continue
        body = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', "", tree.text(path),
                      flags=re.S)
        wrong += [f"{path}: {m.group(1)}" for m in call.finditer(body)]
    assert wrong == []


# Asking changes nothing; and the handler is called by the kernel.
# Whether an epoll is ours is asked by adding what is there already.
ROUND_THE_TABLE = {("sigplan", "sigaction"), ("sigchld", "write"),
                   ("ctx_fds", "epoll_ctl")}


def test_what_can_fail_goes_through_the_table():
    """xl_sys (c/src/kernel/sys.h) is where the tests make calls fail."""
    table = set(re.findall(r"^\s+[\w ]+\*?\(\*(\w+)\)\(", tree.text(
        "c/src/kernel/sys.h"), flags=re.M))
    assert len(table) > 25 and "malloc" in table and "fopen" in table
    wrong = []
    for path in tree.files():
        if path.parent.parent.as_posix() != "c/src" or path.suffix != ".c" \
                or path.stem in ("sys", "child_setup", "probe_child"):
            continue
        answer = subprocess.run(
            ["nm", "-u", str(tree.ROOT / f"build/c/{path.parent.name}/{path.stem}.o")],
            check=True, stdout=subprocess.PIPE, text=True)
        names = {line.split()[-1] for line in answer.stdout.splitlines()
                 if line}
        wrong += [f"{path}: {name}" for name in sorted(names & table)
                  if (path.stem, name) not in ROUND_THE_TABLE]
    assert wrong == []
