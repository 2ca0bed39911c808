"""What is made of the table of options: --help, xlchild(1), completions.

python/share has the files that are installed; XLCHILD_WRITE=1 writes them.
"""
import os
import re
import shutil
import subprocess

import pytest
from clitools import PROGRAM, cli, out
from conftest import ROOT
from test_cli_terminal import Terminal

import xlchild
from xlchild.cli import _pages
from xlchild.cli._options import Wrong, parsed
from xlchild.cli._table import BY_NAME, SECTIONS, TABLE

pytestmark = pytest.mark.own_process
SHARE = ROOT / "python/share"
FILES = {"xlchild.1": ["--manual"], "xlchild": ["--completion", "bash"],
         "_xlchild": ["--completion", "zsh"],
         "xlchild.fish": ["--completion", "fish"]}


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_installed_files_are_what_the_table_says(name):
    text = out(*FILES[name])
    if os.environ.get("XLCHILD_WRITE"):
        (SHARE / name).write_bytes(text)
    assert (SHARE / name).read_bytes() == text


def test_every_option_is_in_each_of_them():
    for name in FILES:
        text = (SHARE / name).read_text().replace("\\-", "-")
        for option in TABLE:
            for shown in option.names:
                mark = shown
                if name.endswith("fish"):
                    mark = " -%s " % shown[1:] if len(shown) == 2 \
                        else " -l %s " % shown[2:]
                    mark = mark.replace(" -", " -s ") \
                        if len(shown) == 2 else mark
                assert mark in text, (name, shown)


def test_the_table_is_sound():
    """No name twice, each in a section, each with words that fit it."""
    names = [name for option in TABLE
             for name in (*option.names, *option.hidden)]
    assert len(names) == len(set(names)) == len(BY_NAME)
    for option in TABLE:
        assert option.section in SECTIONS and option.help
        assert option.kind in ("flag", "value", "maybe", "list", "const",
                               "same", "do")
        assert (option.metavar is not None) == (
            option.kind in ("value", "maybe", "list")), option.names


def test_help_fits_and_has_everything():
    text = out("--help").decode()
    assert text == out("-h").decode() == _pages.help_text()
    assert max(map(len, text.splitlines())) < 80
    for option in TABLE:
        assert all(name in text for name in option.names)
        assert option.metavar is None or option.metavar in text


def test_defaults_that_help_names_are_those_that_are_used():
    """The text in brackets at the end is the default."""
    for option in TABLE:
        found = re.search(r"\((\S+)\)$", option.help)
        if option.default is None or not found or option.convert is None:
            continue
        said = found.group(1)
        used = option.convert(option.default) \
            if isinstance(option.default, str) else option.default
        assert option.convert(said) == used, option.names


def test_nobody_reads_the_help():
    """No traceback; a full disk is no success either."""
    inner, outer = os.pipe()
    os.close(inner)
    done = subprocess.run(PROGRAM + ["--help"], stdout=outer,
                          stderr=subprocess.PIPE)
    os.close(outer)
    assert (done.returncode, done.stderr) == (141, b"")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(PROGRAM + ["--manual"], stdout=full,
                              stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (255, b"")


def test_version():
    text = "xlchild %s\n" % xlchild.__version__
    assert out("--version").decode() == out("-V").decode() == text


def test_values_that_say_what_they_need():
    """Each option that takes a value names itself where it is wrong."""
    for option in TABLE:
        if option.convert is None or option.dest == "tag":  # any text
            continue
        name = option.shown
        with pytest.raises(Wrong) as wrong:
            parsed(["%s=\x01" % name if name.startswith("--")
                    else name + "\x01", "x"]) if option.dest not in (
                        "delimiter", "colsep", "slot_var", "results") \
                else parsed([name] + {
                    "delimiter": ["xx"], "colsep": ["("], "slot_var": ["="],
                    "results": ["x.csv"]}[option.dest])
        assert str(wrong.value).startswith(name + ": "), name


# ---- the manual page -------------------------------------------------------


def test_the_manual_page_is_well_formed():
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z",
                           str(SHARE / "xlchild.1")],
                          stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    text = (SHARE / "xlchild.1").read_text()
    sections = re.findall(r"^\.SH (.*)$", text, flags=re.M)
    for wanted in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS",
                   "ENVIRONMENT", "EXAMPLES", "SEE ALSO"):
        assert wanted in sections
    assert "xlchild %s" % xlchild.__version__ in text


# ---- completions -----------------------------------------------------------


def completed_by_bash(*words):
    """What bash would offer for the last of these words."""
    script = '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' \
        '_xlchild; printf "%s\\n" "${COMPREPLY[@]}"'
    return subprocess.run(
        ["bash", "-c", script, "bash", str(SHARE / "xlchild"), *words],
        stdout=subprocess.PIPE, check=True, cwd=ROOT,
        ).stdout.decode().split()


def test_bash_completes():
    assert completed_by_bash("xlchild", "--job") \
        == ["--jobs", "--jobserver", "--joblog"]
    assert "--keep-order" in completed_by_bash("xlchild", "-j", "4", "--")
    assert completed_by_bash("xlchild", "--completion", "") \
        == ["bash", "zsh", "fish"]
    assert completed_by_bash("xlchild", "--halt", "now,f") == ["now,fail=1"]
    assert completed_by_bash("xlchild", "-a", "READ") == ["README.md"]
    assert completed_by_bash("xlchild", "--wd", "pyth") == ["python"]
    assert completed_by_bash("xlchild", "-j", "") == []
    assert "mkdir" in completed_by_bash("xlchild", "-k", "mkdi")
    # the words of the command are its own
    assert completed_by_bash("xlchild", "-k", "cat", "--job") == []
    assert completed_by_bash("xlchild", "-k", "cat", "READ") == ["README.md"]


def test_fish_completes():
    assert shutil.which("fish"), "fish is not installed"

    def completed(line):
        done = subprocess.run(
            ["fish", "--no-config", "-c", "source $argv[1]; complete -C "
             "$argv[2]", str(SHARE / "xlchild.fish"), line],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
            stdin=subprocess.DEVNULL, check=True)
        assert done.stderr == b""
        return [each.split("\t")[0]
                for each in done.stdout.decode().splitlines()]

    assert sorted(completed("xlchild --job")) \
        == ["--joblog", "--jobs", "--jobserver"]
    assert completed("xlchild --completion ") == ["bash", "fish", "zsh"]
    assert completed("xlchild --trim l") == ["l", "lr"]
    assert "python/" in completed("xlchild --wd pyth")
    assert "README.md" in completed("xlchild -a READ")


def test_zsh_completes(tmp_path):
    assert shutil.which("zsh"), "zsh is not installed"
    with Terminal("zsh", "-f", "-i", env={"HOME": str(tmp_path)},
                  size=(50, 120)) as shell:
        shell.type(b"PS1='$ '; cd %s; fpath=(%s $fpath); autoload -Uz "
                   b"compinit; compinit -u -D; unsetopt beep; bindkey '^I' "
                   b"expand-or-complete; echo re''ady\n"
                   % (str(ROOT).encode(), str(SHARE).encode()))
        shell.until(b"ready")
        for typed, shown in (
                (b"xlchild --joblo\t", rb"--joblog"),
                (b"xlchild -k --keep\t", rb"--keep-order"),
                (b"xlchild --wd pytho\t", rb"python.*/"),
                (b"xlchild --completion fi\t", rb"fish"),
                (b"xlchild -j 4 --tags\t", rb"--tagstring"),
                (b"xlchild -k mkdi\t", rb"mkdir")):
            shell.type(typed)
            shell.until(shown)
            shell.type(b"\x15")  # that line is not wanted


def test_wrong_shells_are_refused():
    done = cli("--completion", "csh")
    assert done.returncode == 255
    assert b"needs bash, zsh or fish, not 'csh'" in done.stderr
