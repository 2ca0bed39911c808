"""README to the letter, in a new system, as the three who may read it."""
import pytest

import readme
from conftest import SUITES, inside

# The tree as a clone has it, of a user's own.
COPY = """
mkdir -p %(home)s/xlchild
tar -C /source --exclude=./build --exclude=./.git -cf - . |
    tar --no-same-owner -C %(home)s/xlchild -xf -
chown -R %(user)s: %(home)s/xlchild
"""
BARE = """
apt-get -qq update
apt-get -qq -y install --no-install-recommends make diffutils %s > /dev/null
"""


def as_user(user, script, name):
    """Lines of sh that run the script as that user, in the tree."""
    return """
cat > /out/%(name)s <<'END_OF_SCRIPT'
set -eu
cd ~/xlchild
%(script)s
END_OF_SCRIPT
su - %(user)s -c 'LC_ALL=C.UTF-8 sh /out/%(name)s'
""" % {"user": user, "name": name, "script": script}


def test_the_readme_has_an_example_a_language():
    assert {name for name, _, _, _ in readme.examples()} \
        == {"hello.py", "hello.c", "hello.ml"}
    assert readme.of_the_shell()
    with_sudo, without = readme.installing()
    assert len(with_sudo) == 4 and "make install" in without


@pytest.mark.parametrize("suite", SUITES)
def test_as_root(suite, tmp_path):
    """Without the word sudo: a bare system has none."""
    with_sudo, _ = readme.installing()
    steps = "".join(with_sudo).replace("sudo ", "")
    gone = ("make uninstall uninstall-ocaml > /dev/null 2>&1\nldconfig\n"
            "if pkg-config --exists xlchild; then exit 1; fi\n"
            "if ocamlfind query xlchild; then exit 1; fi\n"
            "if find /usr/local | grep xlchild; then exit 1; fi\n")
    inside(suite, BARE % "" + COPY % {"home": "~root", "user": "root"}
           + "cd ~root/xlchild\n" + steps + readme.trying() + gone, tmp_path)


@pytest.mark.parametrize("suite", SUITES)
def test_as_a_user_with_sudo(suite, tmp_path):
    with_sudo, _ = readme.installing()
    tmp_path.chmod(0o777)
    prepare = BARE % "sudo" + """
useradd -m -s /bin/sh anna
echo 'anna ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/anna
""" + COPY % {"home": "~anna", "user": "anna"}
    inside(suite, prepare + as_user(
        "anna", "".join(with_sudo) + readme.trying(), "anna"), tmp_path)


@pytest.mark.parametrize("suite", SUITES)
def test_as_a_user_without_sudo(suite, tmp_path):
    """What is missing is printed; the one who may, installs it."""
    with_sudo, without = readme.installing()
    tmp_path.chmod(0o777)
    python = [block for block in with_sudo if "pip" in block]
    prepare = BARE % "" + """
useradd -m -s /bin/sh bert
""" + COPY % {"home": "~bert", "user": "bert"}
    asked = "if scripts/deps wheel c ocaml > wanted; then exit 1; fi\n"
    installs = """
grep '^apt-get install ' ~bert/xlchild/wanted
sh -c "$(cat ~bert/xlchild/wanted) -qq -y --no-install-recommends" \\
    > /dev/null
"""
    inside(suite, prepare + as_user("bert", asked, "asks") + installs
           + as_user("bert", "".join(python) + without + readme.trying(),
                     "bert"), tmp_path)
