"""Includes in c/src point downward, as tests/house/layers.txt has it."""
import re
from pathlib import Path

import tree

TABLE = Path("tests/house/layers.txt")
SRC = Path("c/src")


def layers():
    """module -> (number of its layer, 0 at the bottom; is it mutual)."""
    table = {}
    rows = [line.split("#")[0].split() for line in
            tree.text(TABLE).splitlines()]
    for number, row in enumerate(row for row in rows if row):
        mutual = row[0] == "mutual:"
        for module in row[1:] if mutual else row:
            assert module not in table, f"{module} is in two layers"
            table[module] = (number, mutual)
    return table


def sources():
    return [p for p in tree.files()
            if p.parent == SRC and p.suffix in (".c", ".h")]


def test_every_module_has_a_layer():
    modules = {p.stem for p in sources()}
    assert modules == set(layers())


def test_one_row_at_most_is_mutual():
    assert len({number for number, mutual in layers().values()
                if mutual}) <= 1


def test_includes_point_downward():
    table = layers()
    wrong = []
    for path in sources():
        for name in re.findall(r'^#\s*include\s+"([^"]+)"', tree.text(path),
                               flags=re.M):
            if name.startswith("xlchild"):
                continue
            other = Path(name).stem
            if path.stem == other:
                continue
            (here, mutual), (there, _) = table[path.stem], table[other]
            if not (there < here or (mutual and there == here)):
                wrong.append(f"{path} includes {name}")
    assert wrong == []


def test_only_public_and_own_headers_are_included_by_quotes():
    own = {p.name for p in sources()} \
        | {str(h) for h in tree.public_headers()}
    wrong = [f"{path}: {name}" for path in sources()
             for name in re.findall(r'^#\s*include\s+"([^"]+)"',
                                    tree.text(path), flags=re.M)
             if name not in own]
    assert wrong == []


def test_headers_of_the_core_include_nothing_private():
    wrong = [f"{h}: {name}" for h in tree.public_headers()
             for name in re.findall(r'#\s*include\s+"([^"]+)"',
                                    tree.text(Path("c/include") / h))
             if not name.startswith("xlchild/")]
    assert wrong == []


def test_bindings_see_only_the_public_headers():
    private = {p.name for p in sources() if p.suffix == ".h"}
    wrong = []
    for path in tree.files():
        if path.parts[0] in ("bindings", "python", "ocaml") \
                and path.suffix in (".c", ".h", ".i", ".swg"):
            names = re.findall(r'#\s*include\s+["<]([^">]+)[">]',
                               tree.text(path))
            own = {p.name for p in tree.files() if p.parent == path.parent}
            wrong += [f"{path}: {n}" for n in names
                      if n in private and n not in own]
    assert wrong == []
