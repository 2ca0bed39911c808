"""SCons at work: it looks for all its tools, builds, tests, fails, cleans.

Run by run.py, plain and under xlchild; scons is Debian's.
"""
import os
import subprocess
import sys

import pytest

SCONS = "/usr/bin/scons"
C = {"main.c": "int seven(void);\nint main(void) { return seven() - 7; }\n",
     "seven.c": "#include \"seven.h\"\nint seven(void) { return SEVEN; }\n",
     "seven.h": "#define SEVEN 7\n"}


class Place:
    """A folder with an SConstruct."""

    def __init__(self, folder):
        self.folder = folder

    def construct(self, text):
        (self.folder / "SConstruct").write_text(text)

    def scons(self, *words, status=0):
        done = subprocess.run(
            [sys.executable, SCONS, *words], cwd=str(self.folder),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture(name="place")
def place_fixture(tmp_path):
    place = Place(tmp_path)
    for name, text in C.items():
        (tmp_path / name).write_text(text)
    return place


def test_all_tools_are_looked_for(place):
    place.construct("env = Environment(tools=['default', 'suncxx', 'suncc',"
                    " 'intelc'])\nprint('CC is', env['CC'])\n")
    assert "CC is" in place.scons("-Q")


def test_a_program_is_built_runs_and_is_up_to_date(place):
    place.construct("Program('main', ['main.c', 'seven.c'])\n")
    assert "-o main" in place.scons("-Q")
    assert subprocess.call([str(place.folder / "main")]) == 0
    assert "up to date" in place.scons("-Q")
    (place.folder / "seven.h").write_text("#define SEVEN 8\n")
    assert "seven.o" in place.scons("-Q")
    assert subprocess.call([str(place.folder / "main")]) == 1
    assert "Removed main" in place.scons("-Q", "-c")


def test_libraries(place):
    place.construct(
        "Library('seven', 'seven.c')\nSharedLibrary('shared', 'seven.c')\n"
        "Program('main', 'main.c', LIBS=['seven'], LIBPATH=['.'])\n")
    place.scons("-Q")
    assert subprocess.call([str(place.folder / "main")]) == 0
    assert (place.folder / "libshared.so").exists()


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_many_commands_at_a_time(place, jobs):
    place.construct(
        "for n in range(60):\n"
        "    Command('out%d' % n, [], 'echo %d > $TARGET' % n)\n")
    place.scons("-Q", "-j%d" % jobs)
    for number in range(60):
        assert (place.folder / ("out%d" % number)).read_text() \
            == "%d\n" % number


def test_a_command_that_fails(place):
    place.construct("Command('out', [], 'exit 3')\n")
    assert "Error 3" in place.scons("-Q", status=2)


def test_a_command_that_a_signal_ends(place):
    place.construct("Command('out', [], 'kill -9 $$$$')\n")
    told = place.scons("-Q", status=2)
    assert "Error -9" in told or "Error 137" in told


def test_a_program_that_there_is_not(place):
    place.construct("Command('out', [], '/no/such/program')\n")
    assert "Error 127" in place.scons("-Q", status=2)


def test_going_on_after_a_failure(place):
    place.construct("for n in range(8):\n"
                    "    Command('out%d' % n, [], 'test %d != 3 && "
                    "echo > $TARGET' % n)\n")
    place.scons("-Q", "-k", "-j4", status=2)
    assert sum((place.folder / ("out%d" % n)).exists()
               for n in range(8)) == 7


def test_configure_contexts(place):
    place.construct(
        "env = Environment()\nconf = Configure(env)\n"
        "print('stdio', conf.CheckHeader('stdio.h'))\n"
        "print('none', conf.CheckHeader('no_such_header.h'))\n"
        "print('printf', conf.CheckFunc('printf'))\n"
        "print('ran', conf.TryRun('#include <stdio.h>\\n"
        "int main(void) { printf(\"told\"); return 0; }', '.c'))\n"
        "env = conf.Finish()\n")
    told = place.scons("-Q")
    for line in "stdio True", "none False", "printf True", "ran (1, 'told')":
        assert line in told


def test_what_a_command_says_is_parsed(place):
    place.construct(
        "env = Environment()\nenv.ParseConfig('echo -I/some/where -lfew')\n"
        "print(env['CPPPATH'], env['LIBS'])\n")
    assert "['/some/where'] ['few']" in place.scons("-Q")


def test_actions_in_python_and_their_environment(place):
    place.construct(
        "import os, subprocess\n"
        "def act(target, source, env):\n"
        "    with open(str(target[0]), 'w') as file:\n"
        "        return subprocess.call(['sh', '-c', 'echo $WORD'],\n"
        "                               stdout=file, env={'WORD': 'told'})\n"
        "Command('out', [], act)\n"
        "env = Environment(ENV={'PATH': os.environ['PATH'], 'W': 'passed'})\n"
        "env.Command('env', [], 'echo $$W > $TARGET')\n")
    place.scons("-Q")
    assert (place.folder / "out").read_text() == "told\n"
    assert (place.folder / "env").read_text() == "passed\n"


def test_scons_in_scons(place):
    inner = place.folder / "inner"
    inner.mkdir()
    (inner / "SConstruct").write_text("Command('in', [], 'echo > $TARGET')\n")
    place.construct("Command('out', [], '%s %s -C inner && echo > $TARGET')\n"
                    % (sys.executable, SCONS))
    place.scons("-Q")
    assert (inner / "in").exists() and (place.folder / "out").exists()


def test_interrupted(place):
    read, write = os.pipe()
    place.construct("import os\nCommand('out', [], 'echo > %s; sleep 60')\n"
                    % ("/proc/%d/fd/%d" % (os.getpid(), write)))
    process = subprocess.Popen(
        [sys.executable, SCONS, "-Q"], cwd=str(place.folder),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True)
    os.read(read, 1)
    os.killpg(process.pid, 2)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert not (place.folder / "out").exists()
    os.close(read)
    os.close(write)


def test_a_spawn_of_the_users(place):
    place.construct(
        "import subprocess\n"
        "def spawn(sh, escape, cmd, args, env):\n"
        "    done = subprocess.run([sh, '-c', ' '.join(args)], env=env,\n"
        "                          stdout=subprocess.PIPE, text=True)\n"
        "    print('said', done.stdout.strip())\n"
        "    return done.returncode\n"
        "env = Environment(SPAWN=spawn)\n"
        "env.Command('out', [], 'echo hello')\n")
    assert "said hello" in place.scons("-Q")
