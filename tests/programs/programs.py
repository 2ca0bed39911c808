"""The programs whose own tests are run under xlchild: a row each.

Read by run.py. A row says which source package of Debian's (or, where the
tests are in it, which binary package) the program is, what its tests need,
the arguments of python that run them, and how the verdicts are read. The
first of the releases whose archive has the source is taken. Programs that are
used rather than tested (used/) are the installed ones.
"""
import json
import xml.etree.ElementTree
from pathlib import Path

RELEASES = ("bookworm", "trixie")
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no",
          "-o", "junit_family=xunit1", "-o", "addopts=",
          "--junitxml={results}"]
ANY_NAME = ["-o", "python_files=*.py", "-o", "python_classes=*",
            "-o", "python_functions=[!_]*"]


def junit(results):
    """test -> verdict, of a report by pytest."""
    found = {}
    tree = xml.etree.ElementTree.parse(results / "junit.xml")
    for case in tree.iter("testcase"):
        kinds = {child.tag for child in case}
        verdict = "failed" if kinds & {"failure", "error"} else \
            "skipped" if "skipped" in kinds else "passed"
        found["%s.%s" % (case.get("classname"), case.get("name"))] = verdict
    return found


def mercurial_json(results):
    """Of Mercurial's run-tests.py --json, which writes it into its folder."""
    text = (results / "report.json").read_text()
    verdicts = {"success": "passed", "skip": "skipped"}
    return {test: verdicts.get(told["result"], "failed") for test, told
            in json.loads(text.partition("=")[2]).items()}


def meson_log(results):
    """Of Meson's run_project_tests.py: one line a project."""
    found = {}
    for line in (results / "stdout").read_text(errors="replace").splitlines():
        for mark in ("[SUCCESS]", "[FAILED]", "[SKIPPED]"):
            if line.lstrip().startswith(mark):
                name = " ".join(line.split(mark, 1)[1].split("(")[0].split())
                found[name] = {"[SUCCESS]": "passed", "[FAILED]": "failed",
                               "[SKIPPED]": "skipped"}[mark]
    return found


class Program:
    """A row. Of ``commands`` each list is python's arguments; {results} is
    replaced by the file or folder of the verdicts, {source} by the unpacked
    source, {used} by used/. ``path``: the folder of the source that is put on
    the path, or None: the installed program is tested. ``quick``: the part that check-programs-quick runs, or None."""

    def __init__(self, name, commands, read=junit, *, source=None,
                 package=None, needs=(), where=".", quick=None, path=".",
                 seconds=600, remove=()):
        self.name = name
        self.commands = commands
        self.read = read
        self.source = source
        self.package = package
        self.needs = needs
        self.where = where
        self.quick = quick
        self.path = path
        self.seconds = seconds
        self.remove = remove

    def arguments(self, quick):
        """Of python."""
        return self.quick if quick and self.quick else self.commands


def hg(tests):
    """Mercurial's tests, two at a time, with the installed hg."""
    return ["run-tests.py", "--with-hg=/usr/bin/hg", "-j2", "--json",
            "--outputdir={folder}", "--tmpdir={folder}/hg", "--timeout=1800"
            ] + ["test-%s.t" % test for test in tests.split()]


def projects(names):
    """Meson's own projects, built and tested by it."""
    return ["run_project_tests.py", "--no-unittests", "-j1", "--only"] + [
        "common/" + name for name in names.split(",")]


PROGRAMS = [
    Program("plumbum", PYTEST + ["tests/test_local.py",
                                 "tests/test_pipelines.py",
                                 "tests/test_nohup.py", "tests/test_env.py",
                                 "tests/test_factories.py",
                                 "tests/test_config.py", "tests/test_cli.py",
                                 "tests/test_translate.py",
                                 "tests/test_utils.py",
                                 "tests/test_sudo.py"],
            source="python-plumbum", needs=["python3-pytest-mock",
                                            "python3-pytest-timeout",
                                            "python3-psutil"], quick=[]),
    Program("pexpect", PYTEST + ["tests/test_popen_spawn.py",
                                 "tests/test_run.py", "tests/test_env.py",
                                 "tests/test_constructor.py",
                                 "tests/test_isalive.py",
                                 "tests/test_misc.py",
                                 "tests/test_destructor.py",
                                 "tests/test_missing_command.py",
                                 "tests/test_command_list_split.py"],
            source="pexpect", needs=["python3-pytest", "python3-ptyprocess"],
            quick=[]),
    Program("invoke", PYTEST + ANY_NAME + [
        "-s", "integration/main.py", "integration/runners.py"],
            source="python-invoke", needs=["python3-pytest"], quick=[]),
    Program("sh", PYTEST + ["--rootdir=.", "tests/sh_test.py"],
            source="python-sh", needs=["python3-pytest"], quick=[]),
    Program("mercurial", hg(
        "add addremove-similar alias archive bisect cat churn commit config "
        "copy diffstat dispatch editor-filename encode extdiff "
        "extensions-afterloaded fetch filebranch gpg hook http identify init "
        "logtoprocess merge-halt nested-repo nointerrupt notify pager "
        "parse-date patch pull-http push-http rebase-abort schemes serve ssh "
        "ssh-clone-r ssh-repoerror update-names"), mercurial_json, source="mercurial",
            needs=["mercurial"], where="tests", path=None, seconds=7200,
            quick=hg("extdiff filebranch parse-date")),
    Program("meson, unit tests", PYTEST + [
        "run_unittests.py", "-k", "InternalTests or DataTests or "
        "test_run_env or test_testsetups or test_suite or test_testrepeat or "
        "test_verbose_output or test_compiler_detection or test_dist_git or "
        "test_env_ops or test_permitted or test_configure or "
        "test_introspect_targets or test_flock or test_ndebug or "
        "test_install_umask or test_templates or test_identity_cross"],
        source="meson", needs=["python3-pytest", "ninja-build", "gcc", "g++"],
        seconds=3600, quick=PYTEST + [
            "run_unittests.py", "-k", "test_run_env or test_testsetups or "
            "test_testrepeat or test_compiler_detection"]),
    Program("meson, projects", projects(
        "1 trivial,4 shared,8 install,13 pch,25 config subdir,"
        "32 has header,33 run program,41 test args,51 run target,"
        "55 exe static shared,62 string arithmetic,71 ctarget dependency,"
        "85 skip subdir,110 allgenerate,116 test skip"),
        meson_log, source="meson", needs=["ninja-build", "gcc", "g++"],
        seconds=3600, quick=projects("1 trivial,33 run program,41 test args")),
    Program("psutil", PYTEST + ["--pyargs", "psutil.tests.test_process",
                                "psutil.tests.test_posix",
                                "psutil.tests.test_testutils"],
            package="python3-psutil", needs=["python3-pytest"], seconds=900),
    Program("trio", PYTEST + ["--pyargs", "trio.tests.test_subprocess",
                              "trio.tests.test_signals",
                              "trio.tests.test_threads"],
            package="python3-trio", needs=["python3-pytest"]),
    Program("anyio", PYTEST + ["tests/test_subprocesses.py",
                               "tests/test_to_process.py",
                               "tests/test_signals.py"],
            source="python-anyio", path="src", needs=[
                "python3-pytest", "python3-pytest-mock", "python3-trustme",
                "python3-trio", "python3-uvloop"]),
    # TestAsyncKernelManager wants a newer tornado than Debian 12's.
    Program("jupyter_client", PYTEST + [
        "tests/test_kernelmanager.py", "tests/test_restarter.py",
        "tests/test_multikernelmanager.py", "--deselect",
        "tests/test_multikernelmanager.py::TestAsyncKernelManager"],
            source="jupyter-client", needs=[
                "python3-pytest", "python3-ipykernel",
                "python3-jupyter-core"], seconds=3600, quick=PYTEST + [
                    "tests/test_kernelmanager.py", "-k",
                    "signal_kernel_subprocesses or test_lifecycle or "
                    "test_start_new"]),
    Program("nox", PYTEST + ["tests"], source="python-nox", needs=[
        "python3-pytest", "nox"], seconds=1800, quick=PYTEST + [
            "tests/test_command.py", "tests/test_sessions.py"]),
    Program("nox and tox, used", PYTEST + ["{used}/test_tox_nox.py"],
            package="tox", needs=["python3-pytest", "nox", "python3-venv"],
            seconds=1200, quick=PYTEST + ["{used}/test_tox_nox.py", "-k",
                                          "not venv and not tox_in_parallel"]),
    Program("GitPython, used", PYTEST + ["{used}/test_gitpython.py"],
            package="python3-git", needs=["python3-pytest", "git"],
            quick=[]),
    Program("SCons, used", PYTEST + ["{used}/test_scons.py"],
            package="scons", needs=["python3-pytest", "gcc"], quick=[]),
    Program("ansible, used", PYTEST + ["{used}/test_ansible.py"],
            package="ansible-core", needs=["python3-pytest"], seconds=1200,
            quick=PYTEST + ["{used}/test_ansible.py", "-k",
                            "command or side or asynchronous"]),
]
for _program in PROGRAMS:
    if _program.quick == []:
        _program.quick = _program.commands
