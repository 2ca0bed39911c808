"""Includes and calls in c/src point downward, as tests/house/layers.txt has
it."""
import re
import subprocess
from pathlib import Path

import tree

TABLE = Path("tests/house/layers.txt")
SRC = Path("c/src")


# They are on one floor: neither may go through the other.
APART = {"start", "child"}


def layers():
    """module -> number of its layer, 0 at the bottom."""
    return {module: number for module, (number, _) in places().items()}


def places():
    """module -> (number of its layer, its room)."""
    table = {}
    room = None
    number = 0
    for line in tree.text(TABLE).splitlines():
        line = line.split("#")[0]
        heading = re.match(r"\[(\w+)\]", line)
        if heading:
            room = heading.group(1)
            continue
        for module in line.split():
            assert module not in table, f"{module} is in two layers"
            table[module] = (number, room)
        number += 1
    return table


def room_of(path):
    return path.parent.name


def sources():
    return [p for p in tree.files()
            if p.parent.parent == SRC and p.suffix in (".c", ".h")]


def test_every_module_has_a_layer():
    modules = {p.stem for p in sources()}
    assert modules == set(layers())


def test_every_module_is_in_its_room():
    table = places()
    wrong = [f"{p} is not in {table[p.stem][1]}" for p in sources()
             if table[p.stem][1] != room_of(p)]
    assert wrong == []


def test_every_room_says_what_it_is():
    """What lives there, who may call in, what it may call."""
    for room in {room for _, room in places().values()}:
        lines = tree.text(SRC / room / "README.md").splitlines()
        assert 3 <= len(lines) <= 8, f"{room}: {len(lines)} lines"


def test_rooms_of_one_floor_do_not_know_each_other():
    wrong = [f"{path} includes {name}" for path in sources()
             if room_of(path) in APART
             for name in re.findall(r'^#\s*include\s+"(\w+)/[^"]+"',
                                    tree.text(path), flags=re.M)
             if name in APART - {room_of(path)}]
    assert wrong == []


def test_includes_point_downward():
    table = layers()
    wrong = []
    for path in sources():
        for name in re.findall(r'^#\s*include\s+"([^"]+)"', tree.text(path),
                               flags=re.M):
            other = Path(name).stem
            if name.startswith("xlchild") or path.stem == other:
                continue
            if table[other] >= table[path.stem]:
                wrong.append(f"{path} includes {name}")
    assert wrong == []


def symbols(module):
    """(what the module's object defines, what it needs)."""
    room = places()[module][1]
    answer = subprocess.run(
        ["nm", str(tree.ROOT / f"build/c/{room}/{module}.o")], check=True,
        stdout=subprocess.PIPE, text=True)
    defined, needed = set(), set()
    for line in answer.stdout.splitlines():
        *_, kind, name = line.split()
        if kind == "U":
            needed.add(name)
        elif kind in "TDBR":
            defined.add(name)
    return defined, needed


def test_calls_point_downward():
    """A header in a low layer must not hide a call upward."""
    table = layers()
    modules = sorted({p.stem for p in sources() if p.suffix == ".c"})
    tables = {module: symbols(module) for module in modules}
    home = {name: module for module in modules for name in tables[module][0]}
    wrong = [f"{module} calls {name} of {home[name]}"
             for module in modules for name in sorted(tables[module][1])
             if name in home and table[home[name]] >= table[module]]
    assert wrong == []


def test_only_public_and_own_headers_are_included_by_quotes():
    own = {f"{room_of(p)}/{p.name}" for p in sources()} \
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
    private = {f"{room_of(p)}/{p.name}" for p in sources()
               if p.suffix == ".h"}
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
