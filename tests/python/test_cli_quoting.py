"""--shell: a value is text to the shell wherever it stands in the script, or
the place is refused. Run by /bin/sh and by bash, which are asked what came."""
import os
import shutil
import subprocess

import pytest
from clitools import cli, out

from xlchild.cli._template import Template

pytestmark = pytest.mark.own_process

HOSTILE = ["a b", "", "'", '"', "\\", "`", "$HOME", "$(echo pwned)",
           "`echo pwned`", "; echo pwned", "'; echo pwned; '",
           '"; echo pwned; "', "'; echo pwned #", ")\necho pwned", "*", "~",
           "~root", "#x", "A=b", "if", "!", "-n", "a\nb", "\n", "${x}",
           "$((1+1))", "\\'", "a\\", "{a,b}", "&", "<x", "x'y\"z\\", "é\udcff",
           "esac", "(", "}", "|", "%s"]
# Where {} stands, and what the command is given there, as a format.
PLACES = {
    "{}": "%s", "x{}y": "x%sy", '"{}"': "%s", "'{}'": "%s",
    '"x {} y"': "x %s y", "'x {}'y": "x %sy", '"$(printf %s. {})"': "%s.",
    '"$(printf %s. "{}")"': "%s.", "\"$(printf %s. '{}')\"": "%s.",
    "\"'{}'\"": "'%s'", "'\"{}\"'": '"%s"', '"a"{}"b"': "a%sb",
    "\\ {}": " %s", '"\\"{}"': '"%s', "~{}": "~%s", "$UNSET{}": "%s",
    "$?{}": "0%s", '"${UNSET}{}"': "%s", "{}$(: ')' )": "%s",
    '"$((1+2))"{}': "3%s",
}
SHELLS = [shell for shell in ("/bin/sh", shutil.which("bash")) if shell]


def given(shell, script):
    """The words that a command in the script is given."""
    done = subprocess.run([shell, "-c", script], stdout=subprocess.PIPE,
                          env={"PATH": os.environ["PATH"], "HOME": "/home",
                               "LC_ALL": "C.UTF-8"}, check=True)
    return done.stdout.split(b"\0")[:-1]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_value_is_text_wherever_it_stands(shell, place):
    """All the values in one script, each of them a template's own."""
    template = Template(["printf '%s\\0' begin " + place + " end"], shell=True)
    scripts, wanted = [], []
    for value in HOSTILE:
        scripts.append(template.command((value,), 1)[2])
        inner = value.rstrip("\n") if place.endswith(".") else value
        wanted += [b"begin", os.fsencode(PLACES[place] % inner), b"end"]
    assert given(shell, "\n".join(scripts)) == wanted


@pytest.mark.parametrize("script, why", [
    ("echo `echo {}`", "`"), ("echo ${x:-{}}", "${...}"),
    ("echo hi # {}", "comment"), ("cat <<E\n{}\nE\n", "<<"),
    ("echo $'{}'", "$'"), ("echo \\{}", "backslash"), ('echo "\\{}"', "back"),
    ('echo "${}"', "$"), ("echo ${}", "$"), ('echo "$HOME{}"', "$"),
    ('echo "$(case x in x) echo {};; esac)"', "case"),
    ("echo \"${x:-'}\" {}", "quotes"),
])
def test_a_place_that_cannot_be_is_refused(script, why):
    done = cli("--shell", script, ":::", "a")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"stands" in done.stderr and why.encode() in done.stderr


def test_in_a_sum_only_numbers_stand():
    """There the shell itself would run what a name leads to."""
    assert out("-k", "--shell", "echo $(({}+(1+{}))) \"$(({}))\"", ":::", "1",
               "-2") == b"3 1\n-3 -2\n"
    done = cli("-k", "--shell", "echo $(({}+1))", ":::", "x[$(id>&2)]", "1")
    assert done.stdout == b"2\n"
    assert b"no number" in done.stderr and b"uid=" not in done.stderr


def test_values_behind_the_script():
    """As they are where it has no {}; not where that would be lost."""
    assert out("-k", "--shell", "printf '<%s>'", ":::", "; id", "$(id)") \
        == b"<; id><$(id)>"
    done = cli("--shell", "echo hi #", ":::", "a\nid")
    assert b"comment" in done.stderr and done.stdout == b""


def test_numbers_stand_anywhere():
    assert out("-k", "--shell", "echo `echo {#}` ${x:-{#}} {} # {#}", ":::",
               "a b") == b"1 1 a b\n"


def test_first_words_are_commands_not_the_shells():
    """Neither an assignment nor a word of its grammar."""
    done = cli("--shell", "{} true", ":::", "PATH=/nonexistent", "if")
    assert done.stderr.count(b"not found") == 2
