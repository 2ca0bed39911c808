"""scripts/deps: installs what is missing, once, and says what it cannot.

Run against stand-ins for dpkg-query, apt-get, id and sudo, so that nothing
is installed.
"""
import re
import subprocess

import pytest

import tree

DEPS = tree.ROOT / "scripts/deps"


class Machine:
    """A machine of stand-ins: which packages it has, and who we are."""

    def __init__(self, folder, uid, sudo):
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.installed = folder / "installed"
        self.installed.write_text("")
        self.calls = folder / "calls"
        self.calls.write_text("")
        for name in ("sh", "awk", "sort", "dirname", "env", "mktemp", "rm",
                     "ls", "cat"):
            path = subprocess.run(["sh", "-c", f"command -v {name}"],
                                  stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.strip()
            (self.bin / name).symlink_to(path)
        self.program("id", f"echo {uid}")
        self.program("dpkg-query", f'''
            shift 3; rc=0
            for p; do
              grep -qx "$p" {self.installed} && echo "$p installed" || rc=1
            done
            exit $rc''')
        self.program("apt-get", f'''
            echo "$@" >> {self.calls}
            for p; do
              case $p in -*|install|update|DPkg*|Dpkg*) ;;
                *) echo "$p" >> {self.installed} ;; esac
            done''')
        (self.bin / "grep").symlink_to(subprocess.run(
            ["sh", "-c", "command -v grep"], stdout=subprocess.PIPE,
            text=True, check=True).stdout.strip())
        if sudo is not None:
            self.program("sudo", f'''
                [ "$1" = -n ] && exit {sudo}
                echo sudo >> {self.calls}
                exec "$@"''')

    def program(self, name, body):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def deps(self, *purposes):
        return subprocess.run(
            [str(DEPS), *purposes], env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def installs(self):
        return [line for line in self.calls.read_text().splitlines()
                if "install" in line]


def listed(*purposes):
    return subprocess.run([str(DEPS), "--list", *purposes], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.split()


def test_root_installs_and_a_second_call_does_nothing(tmp_path):
    machine = Machine(tmp_path, 0, None)
    first = machine.deps("demo")
    assert first.returncode == 0, first.stderr
    assert machine.installed.read_text().split() \
        and set(listed("demo")) == set(machine.installed.read_text().split())
    assert any("--no-install-recommends" in call
               for call in machine.installs())
    before = machine.calls.read_text()
    second = machine.deps("demo")
    assert (second.returncode, second.stdout) == (0, "")
    assert machine.calls.read_text() == before


def test_only_what_is_missing_is_installed(tmp_path):
    machine = Machine(tmp_path, 0, None)
    wanted = listed("demo")
    machine.installed.write_text("".join(p + "\n" for p in wanted[1:]))
    assert machine.deps("demo").returncode == 0
    assert all(call.endswith(f" {wanted[0]}") for call in machine.installs())


def test_sudo_is_used_where_it_asks_nothing(tmp_path):
    machine = Machine(tmp_path, 1000, 0)
    assert machine.deps("lib").returncode == 0
    assert "sudo" in machine.calls.read_text().splitlines()
    assert set(listed("lib")) == set(machine.installed.read_text().split())


@pytest.mark.parametrize("sudo", [None, 1])
def test_without_means_the_command_is_printed(tmp_path, sudo):
    machine = Machine(tmp_path, 1000, sudo)
    answer = machine.deps("lib")
    assert answer.returncode == 1
    assert answer.stdout.strip() == "apt-get install " + " ".join(
        sorted(listed("lib")))
    assert machine.calls.read_text() == ""


def test_failing_apt_is_reported(tmp_path):
    machine = Machine(tmp_path, 0, None)
    machine.program("apt-get", "echo no such package; exit 100")
    answer = machine.deps("lib")
    assert answer.returncode == 1
    assert "no such package" in answer.stderr


def test_unknown_purpose_is_refused():
    answer = subprocess.run([str(DEPS), "--list", "nonsense"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)
    assert answer.returncode == 2
    assert "nonsense" in answer.stderr


def test_every_purpose_has_packages():
    purposes = [line.split(":")[0]
                for line in tree.text("scripts/packages").splitlines()
                if line[:1].isalpha()]
    assert {"lib", "demo", "check"} <= set(purposes)
    for purpose in purposes:
        assert listed(purpose), purpose


def test_packages_are_asked_for_in_the_makefile_by_known_purposes():
    known = {line.split(":")[0]
             for line in tree.text("scripts/packages").splitlines()
             if line[:1].isalpha()}
    asked = set()
    for path in tree.files():
        if path.name == "Makefile" or path.suffix == ".mk":
            for line in tree.text(path).splitlines():
                if "scripts/deps" in line and line.startswith("\t"):
                    asked |= set(line.split("scripts/deps", 1)[1].split())
    assert asked and asked <= known


def test_help_shows_every_target_in_a_line_of_its_own():
    """Also those whose rule goes over several lines, and no stray sign."""
    environment = {"PATH": "/usr/bin:/bin"}
    lines = subprocess.run(["make", "--no-print-directory", "help"],
                           cwd=tree.ROOT, check=True, env=environment,
                           stdout=subprocess.PIPE,
                           text=True).stdout.splitlines()
    assert lines and all(re.fullmatch(r"  [a-z][-a-z0-9]* +[\x21-\x5b\x5d-\x7e]"
                                      r"[\x20-\x5b\x5d-\x7e]*", line)
                         for line in lines), lines
    shown = {line.split()[0] for line in lines}
    assert {"check", "check-python", "check-python-asan", "check-pythons",
            "check-packages", "site", "dist", "uninstall"} <= shown
