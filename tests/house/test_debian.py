"""debian/ says what the tree says: the names, the version, the packages."""
import re

import headers
import tree


def test_the_symbols_file_has_every_exported_name():
    body = tree.text("debian/libxlchild0.symbols")
    assert sorted(re.findall(r"^ (xlchild_\w+)@XLCHILD_0 \d", body, re.M)) \
        == headers.symbols()


def test_the_version_is_the_one_of_the_tree():
    (version,) = re.findall(r"^VERSION := (\S+)", tree.text("Makefile"), re.M)
    first = tree.text("debian/changelog").splitlines()[0]
    assert re.match(r"xlchild \(%s\) " % re.escape(version), first)


def test_what_is_built_with_is_known_to_the_packages_table():
    """scripts/debs installs by it; debian/control asks for no more."""
    control = tree.text("debian/control")
    wanted = re.search(r"^Build-Depends: (.*?)^\S", control, re.M | re.S)
    names = {re.sub(r"[ (].*", "", part.strip())
             for part in wanted.group(1).split(",")}
    table = set(tree.text("scripts/packages").split())
    assert names - table == {"debhelper-compat"}
