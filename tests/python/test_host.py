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
