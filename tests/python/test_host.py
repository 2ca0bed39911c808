"""What the programs around a Context are in the habit of doing: dropping
rights, closing every descriptor, forking and going on."""
import os
import subprocess
import sys

import pytest

import xlchild

GROUPS = ["sed", "-n", "s/^Groups:[[:space:]]*//p", "/proc/self/status"]
OURS = [4, 27, 1042]


def in_a_process(fn):
    """fn's answer, a str, from a forked child that is nobody's but ours."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(ours)
            os.write(theirs, fn().encode())
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(theirs)
    with open(ours, closefd=True) as answers:
        text = answers.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


needs_root = pytest.mark.skipif(os.geteuid() != 0,
                                reason="groups can be set by root only")


def with_our_groups(fn):
    def run():
        xlchild.postfork_child_noexec()
        os.setgroups(OURS)
        return fn()
    return in_a_process(run).split()


@needs_root
@pytest.mark.parametrize("ids", [{"uid": 65534}, {"gid": 65533},
                                 {"uid": 65534, "gid": 65533}])
def test_C28_no_group_of_ours_stays(ids):
    def plain():
        with xlchild.Context() as ctx:
            return ctx.run(GROUPS, capture_output=True, text=True,
                           **ids).stdout

    def kept():
        with xlchild.Context() as ctx:
            return ctx.run(GROUPS, capture_output=True, text=True,
                           keep_groups=True, **ids).stdout

    assert with_our_groups(plain) == []
    assert with_our_groups(kept) == [str(g) for g in OURS]


@needs_root
@pytest.mark.parametrize("module", [subprocess, xlchild])
@pytest.mark.parametrize("ids", [{"user": 65534}, {"group": 65533},
                                 {"user": 65534, "group": 65533}, {}])
def test_C28_Popen_keeps_them_as_subprocess_does(module, ids):
    if sys.version_info < (3, 9):
        pytest.skip("user= and group= came with Python 3.9")

    def run():
        return module.run(GROUPS, capture_output=True, text=True,
                          **ids).stdout

    def none():
        return module.run(GROUPS, capture_output=True, text=True,
                          extra_groups=[], **ids).stdout

    assert with_our_groups(run) == [str(g) for g in OURS]
    if ids:
        assert with_our_groups(none) == []


def own_files(count=40):
    return [os.open(os.devnull, os.O_WRONLY) for _ in range(count)]


def are_untouched(files):
    for file in files:
        os.write(file, b"x")


def close_all():
    """As PEP 3143's daemons do; but for the pipe that tells us."""
    for number in range(3, 256):
        if number != TELL:
            try:
                os.close(number)
            except OSError:
                pass


TELL = 200  # where in_a_process's answer goes


def in_a_daemon(fn):
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(theirs, TELL)
            os.write(TELL, fn().encode())
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(theirs)
    with open(ours) as answers:
        text = answers.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


def several_commands():
    codes = [xlchild.run(["sh", "-c", "exit 3"], timeout=30).returncode,
             xlchild.call(["true"]),
             xlchild.spawn(["sh", "-c", "exit 4"]).wait().returncode]
    with xlchild.Popen(["cat"], stdin=xlchild.PIPE, stdout=xlchild.PIPE,
                       text=True) as child:
        codes.append(child.communicate("5")[0])
    return "".join(map(str, codes))


def test_C26_a_daemon_that_forked_closed_all_and_opened_its_own():
    xlchild.run(["true"])  # the parent has used it

    def daemon():
        close_all()
        files = own_files()
        answer = several_commands()
        are_untouched(files)
        return answer

    assert in_a_daemon(daemon) == "3045"


@pytest.mark.parametrize("files", [0, 40])
def test_C26_a_program_that_closes_all_goes_on(files):
    def program():
        xlchild.run(["true"])
        close_all()
        own = own_files(files)
        answer = several_commands()
        are_untouched(own)
        close_all()
        own = own_files(files)
        answer += several_commands()
        are_untouched(own)
        return answer

    assert in_a_daemon(program) == "30453045"


def test_C26_a_context_says_that_its_descriptors_were_closed():
    def program():
        ctx = xlchild.Context()
        child = ctx.spawn(["sleep", "1000"])
        close_all()
        own = own_files()
        names = []
        for call in (lambda: child.wait(), lambda: ctx.run(["true"]),
                     lambda: ctx.spawn(["true"])):
            try:
                call()
            except xlchild.XlchildError as error:
                names.append(error.name)
        child_pid = child.pid
        ctx.close()
        are_untouched(own)
        os.kill(child_pid, 9)
        return " ".join(names)

    assert in_a_daemon(program) == "FDS_CLOSED FDS_CLOSED FDS_CLOSED"
