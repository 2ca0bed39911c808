"""Every public function is swept: its Nth system call or allocation fails."""
import re

import headers
import tree

LIST = "tests/house/cannot_fail.txt"


def listed():
    lines = [line.split("#")[0].split(None, 1)
             for line in tree.text(LIST).splitlines()]
    return {line[0]: line[1] for line in lines if line}


def swept():
    names = set()
    for path in tree.files():
        if path.parent.as_posix() == "tests/c" \
                and re.match(r"sweep_\w+\.c", path.name):
            names |= set(re.findall(r"\b(libxl_\w+)\(", tree.text(path)))
    return names


def test_X5_every_function_is_in_a_sweep_or_cannot_fail():
    assert set(headers.declared()) - swept() - set(listed()) == set()


def test_X5_the_list_has_nothing_that_is_swept_or_gone():
    assert set(listed()) & swept() == set()
    assert set(listed()) - set(headers.declared()) == set()


def test_X5_what_cannot_fail_calls_nothing_of_the_table():
    """Their bodies do not mention xl_sys; what they call is not looked at."""
    text = {p: tree.text(p) for p in tree.files()
            if (p.parent.parent.as_posix() == "c/src" and p.suffix == ".c")
            or p.parent.as_posix() == "c/include/xlchild"}
    for name in listed():
        bodies = [m.group(1) for t in text.values() for m in re.finditer(
            rf"\b{name}\([^;{{]*\)\n\{{\n(.*?)\n\}}\n", t, flags=re.S)]
        assert len(bodies) == 1, f"{name}: its body was not found"
        assert "xl_sys" not in bodies[0]
