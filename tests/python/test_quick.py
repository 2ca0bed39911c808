"""run() and call() without a Popen: as with one, and as subprocess (B4).

Each call is made three times: as it comes, with a Popen (the short way being
refused it), and by subprocess itself. What comes out is compared: the result,
or the exception with all that it says.
"""
import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import CHILD

import xlchild
import xlchild.aio
from xlchild import _quick, _run

SH = ["sh", "-c"]
BOTH = SH + ["printf 'out\\r\\nput'; printf 'err\\r' >&2; exit 3"]
ECHO = SH + ["cat; printf x >&2"]
HOLDS = SH + ["sleep 5 & echo $!; exec sleep 1000"]  # another has its pipe


def seen(function, *args, **keywords):
    """What a caller learns."""
    try:
        done = function(*args, **keywords)
    except BaseException as error:
        said = {name: getattr(error, name, None) for name in (
            "errno", "filename", "strerror", "cmd", "timeout", "output",
            "stdout", "stderr", "returncode")}
        if isinstance(said["timeout"], float):
            said["timeout"] = round(said["timeout"], 1)  # as is left of it
        kinds = [kind.__name__ for kind in type(error).__mro__
                 if kind.__module__ in ("builtins", "subprocess")]
        return kinds, said
    if isinstance(done, int):
        return done
    return done.args, done.returncode, done.stdout, done.stderr


def by_popen(monkeypatch, *args, **keywords):
    with monkeypatch.context() as changed:
        changed.setattr(_run, "try_run", lambda *_: _quick.NOT_SIMPLE)
        return seen(*args, **keywords)


@pytest.fixture
def popens(monkeypatch):
    """How many there have been."""
    made = []
    init = xlchild.Popen.__init__

    def counted(self, *args, **keywords):
        made.append(args)
        init(self, *args, **keywords)

    monkeypatch.setattr(xlchild.Popen, "__init__", counted)
    return made


PIPE, NULL, OUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
CALLS = {
    "plain": (SH + ["exit 7"], {}),
    "signal": (SH + ["kill -9 $$"], {}),
    "tuple": (("true",), {}),
    "shell": ("exit $((1 + 2))", {"shell": True}),
    "a word": ("true", {}),
    "captured": (BOTH, {"capture_output": True}),
    "text": (BOTH, {"capture_output": True, "text": True}),
    "newlines": (BOTH, {"stdout": PIPE, "universal_newlines": True}),
    "latin-1": (SH + ["printf '\\351'"], {"stdout": PIPE,
                                          "encoding": "latin-1"}),
    "not utf-8": (SH + ["printf '\\351'"], {"stdout": PIPE, "text": True,
                                            "encoding": "utf-8"}),
    "replaced": (SH + ["printf '\\351'"], {"stdout": PIPE, "errors": "replace",
                                           "encoding": "utf-8"}),
    "one file": (BOTH, {"stdout": PIPE, "stderr": OUT}),
    "nowhere": (BOTH, {"stdout": NULL, "stderr": NULL, "stdin": NULL}),
    "input": (ECHO, {"input": b"hello", "capture_output": True}),
    "text input": (ECHO, {"input": "h\u00e9llo\n", "capture_output": True,
                          "encoding": "utf-8"}),
    "much": (["cat"], {"input": bytes(3_000_000), "stdout": PIPE}),
    "nobody reads": (["true"], {"input": bytes(1_000_000)}),
    "no stdin": (SH + ["cat; echo $?"], {"stdin": NULL, "stdout": PIPE}),
    "check": (BOTH, {"capture_output": True, "check": True}),
    "in time": (["true"], {"timeout": 100}),
    "late": (HOLDS, {"timeout": 0.3, "stdout": PIPE}),
    "late, text": (SH + ["echo a; exec sleep 1000"],
                   {"timeout": 0.3, "capture_output": True, "text": True}),
    "late, plain": (["sleep", "1000"], {"timeout": 0.3}),
    "cwd": (["pwd"], {"cwd": "/", "stdout": PIPE}),
    "env": (["/usr/bin/env"], {"env": {"A": "1"}, "stdout": PIPE}),
    "env's PATH": (["env"], {"env": {"PATH": "/usr/bin"}, "stdout": PIPE}),
    # what cannot be
    "no program": (["/nonexistent"], {}),
    "not in PATH": (["nonexistent-program"], {"stdout": PIPE}),
    "no permission": (["/etc/passwd"], {}),
    "a folder": (["/"], {"capture_output": True}),
    "no format": (["/proc/self/maps"], {}),
    "no cwd": (["true"], {"cwd": "/nonexistent"}),
    "no cwd, captured": (["true"], {"cwd": "/nonexistent", "stdout": PIPE}),
    "empty": ([], {}),
    "an empty name": ([""], {}),
    "a number": ([1], {}),
    "a zero": (["a\0b"], {}),
    "cwd's zero": (["true"], {"cwd": "a\0b"}),
    "env's equals": (["true"], {"env": {"A=B": "1"}}),
    "env's number": (["true"], {"env": {"A": 1}}),
    "no cwd at all": (["true"], {"cwd": ""}),
    "no bytes of cwd": (["true"], {"cwd": b"", "stdout": PIPE}),
    "env without a name": (["/usr/bin/env"], {"env": {"": "x"},
                                              "stdout": PIPE}),
    "no fd below": (["true"], {"stdout": -7}),
    "no fd, captured": (["true"], {"stdout": PIPE, "stderr": -9}),
    "stdin is stdout": (["true"], {"stdin": OUT}),
    "stdout is stdout": (["true"], {"stdout": OUT}),
    "fd that is closed": (["true"], {"stderr": 65000}),
    "passed twice": (["true"], {"pass_fds": [0, 0, 2]}),
    "passed below": (["true"], {"pass_fds": [-1]}),
    "passed too far": (["true"], {"pass_fds": [1 << 40]}),
    "passed, closed": (["true"], {"pass_fds": [65000]}),
    "passed words": (["true"], {"pass_fds": ["x"]}),
    "no arguments": ([], {"executable": "/bin/true"}),
    "no user": (["true"], {"user": "no such user"}),
    "no group": (["true"], {"group": "no such group"}),
    "no groups": (["true"], {"extra_groups": [0, "no such group"]}),
    "groups are a word": (["true"], {"extra_groups": "root"}),
    "user below": (["true"], {"user": -5}),
    "user of a kind": (["true"], {"user": 1.5}),
    "group of a kind": (["true"], {"group": []}),
    "no text encoding": (["true"], {"encoding": "hex", "stdout": PIPE}),
    "two inputs": (["true"], {"input": b"", "stdin": PIPE}),
    "two outputs": (["true"], {"capture_output": True, "stdout": NULL}),
    "no text": (["cat"], {"input": "text", "stdout": PIPE}),
    "no bytes": (["cat"], {"input": b"bytes", "text": True, "stdout": PIPE}),
    "both texts": (["true"], {"text": True, "universal_newlines": False}),
    "no encoding": (["true"], {"encoding": "nonexistent", "stdout": PIPE}),
    "time is text": (["true"], {"timeout": "1"}),
    "no time": (["sleep", "1000"], {"timeout": 0}),
    "before now": (["sleep", "1000"], {"timeout": -1}),
    "not an option": (["true"], {"nonexistent": 1}),
    "no fd": (["true"], {"stdout": 1000}),
}
# it says which fd
OWN_WORDS = dict.fromkeys(("no fd", "no fd below", "no fd, captured",
                           "stdin is stdout", "stdout is stdout",
                           "fd that is closed", "passed, closed"),
                          ("filename",))


def without_numbers(outcome):
    """A pid is another one each time."""
    if isinstance(outcome, tuple) and isinstance(outcome[-1], dict):
        outcome[-1].update((name, value.strip().isdigit() and b"PID")
                           for name, value in list(outcome[-1].items())
                           if isinstance(value, bytes)
                           and value.strip().isdigit())
    return outcome


@pytest.mark.parametrize("name", CALLS)
def test_B4_run_is_the_same_in_both_ways(name, monkeypatch):
    args, options = CALLS[name]
    ours = without_numbers(seen(xlchild.run, args, **options))
    assert ours == without_numbers(by_popen(monkeypatch, xlchild.run, args,
                                            **options))
    stock = without_numbers(seen(subprocess.run, args, **options))
    if isinstance(stock[-1], dict):
        assert ours[0][:1] == ["SpawnError"] or set(stock[0]) <= set(ours[0])
        for word in OWN_WORDS.get(name, ()) + ("strerror",):
            stock[-1].pop(word), ours[-1].pop(word)
        ours, stock = ours[-1], stock[-1]
    assert ours == stock


@pytest.mark.parametrize("name", [
    "no user", "no group", "no groups", "groups are a word", "user below",
    "user of a kind", "group of a kind", "no text encoding", "no encoding",
    "no cwd at all", "passed words", "passed below", "passed, closed"])
def test_B4_nothing_stays_open_of_what_cannot_be(name):
    """subprocess's pipes do."""
    args, options = CALLS[name]
    options = dict(options, stdin=PIPE, stderr=PIPE)
    with pytest.raises(Exception):
        xlchild.run(args, **options)
    before = os.listdir("/proc/self/fd")
    for function in (xlchild.run, xlchild.call, xlchild.Popen):
        with pytest.raises(Exception):
            function(args, **options)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("options", [
    {"stdin": PIPE, "stdout": 1.5}, {"stdin": NULL, "stdout": "closed"},
    {"stdin": PIPE, "stdout": PIPE, "stderr": "closed"},
    {"stdin": PIPE, "stdout": PIPE, "errors": 5, "encoding": "utf-8"}])
@pytest.mark.parametrize("function", [
    xlchild.Popen, xlchild.run, lambda args, **options: asyncio.run(
        xlchild.aio.create_subprocess_exec(*args, **options))])
def test_B4_no_pipe_stays_open_beside_a_stream_that_is_none(function, options):
    """subprocess's do."""
    closed = open("/dev/null")
    closed.close()
    options = {name: closed if value == "closed" else value
               for name, value in options.items()}
    with pytest.raises((AttributeError, TypeError, ValueError)):
        function(["true"], **options)
    before = os.listdir("/proc/self/fd")
    with pytest.raises((AttributeError, TypeError, ValueError)):
        function(["true"], **options)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("name", [
    "plain", "signal", "shell", "nowhere", "in time", "late, plain", "cwd",
    "no program", "no cwd", "time is text", "empty"])
def test_B4_call_is_the_same_in_both_ways(name, monkeypatch):
    args, options = CALLS[name]
    options = {key: value for key, value in options.items() if value != PIPE}
    ours = seen(xlchild.call, args, **options)
    assert ours == by_popen(monkeypatch, xlchild.call, args, **options)
    stock = seen(subprocess.call, args, **options)
    assert ours == stock or ours[-1]["errno"] == stock[-1]["errno"] != None


def test_B4_what_is_simple_has_no_popen(popens):
    for name in ("plain", "shell", "captured", "text", "input", "late, plain",
                 "in time", "cwd", "env", "no program", "check"):
        args, options = CALLS[name]
        seen(xlchild.run, args, **options)
    assert popens == []
    xlchild.check_output(["true"]), xlchild.getoutput("true")
    assert xlchild.check_call(["true"]) == 0 and popens == []


def test_B4_whoever_replaces_Popen_is_asked(monkeypatch):
    made = []

    class Mine(xlchild.Popen):
        def __init__(self, *args, **keywords):
            made.append(args[0])
            super().__init__(*args, **keywords)

    monkeypatch.setattr(xlchild, "Popen", Mine)
    assert xlchild.run(["true"]).returncode == 0
    assert xlchild.call(["true"]) == 0
    assert made == [["true"], ["true"]]


def test_B4_it_is_heard_of():
    """sys.audit as of subprocess, report() as of a Popen."""
    code = """if True:
        import sys, xlchild
        heard = []
        sys.addaudithook(lambda event, args: heard.append(args)
                         if event == "subprocess.Popen" else None)
        xlchild.install()
        xlchild.run(["true"], cwd="/")
        xlchild.run(["true"], capture_output=True, env={"PATH": "/bin"})
        try:
            xlchild.run(["/nonexistent"])
        except FileNotFoundError:
            pass
        print(heard, xlchild.report().through)
    """
    done = subprocess.run([sys.executable, "-c", code], stdout=PIPE,
                          universal_newlines=True, check=True)
    assert done.stdout == (
        "[('true', ['true'], '/', None), ('true', ['true'], None, "
        "{'PATH': '/bin'}), ('/nonexistent', ['/nonexistent'], None, None)] "
        "{'subprocess': 2}\n")


@pytest.mark.parametrize("options", [{}, {"capture_output": True}])
def test_B9_an_interrupted_run_leaves_nobody(options):
    """Ctrl-C while it runs: a moment to tidy up, then the end."""
    inner, outer = os.pipe()
    script = "echo $$ > /proc/%d/fd/%d; exec sleep 1000" % (os.getpid(), outer)
    pids = []

    def raising(signo, frame):
        raise KeyboardInterrupt

    def interrupt():
        pids.append(int(os.read(inner, 100)))
        assert pids[0] > 1
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raising)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            xlchild.run(SH + [script], **options)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
        os.close(inner), os.close(outer)
    assert not os.path.exists("/proc/%d" % pids[0])  # it has been reaped
