"""Every public function of the C library has an OCaml external.

Called by run.sh. The functions are those of `swig -xml` over bindings/libxl.i;
a function counts as bound where a stub in bindings/ocaml calls it and that
stub is an external of a file in ocaml/. What is not bound is listed here with
the reason, and what is listed and bound all the same is an error, too.
"""
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

NOT_BOUND = {
    "libxl_childproc_exec_opts_init_sized":
        "behind libxl_childproc_exec_opts_init",
    "libxl_childproc_linger":
        "for those who wait by number; here a handle is asked (Hold_pid)",
    "libxl_childproc_spec_init_sized":
        "behind libxl_childproc_spec_init",
    "libxl_ctx_log":
        "a host of OCaml's has its own log, and knows what it logs",
    "libxl_family_opts_init_sized":
        "behind libxl_family_opts_init",
    "libxl_event_wait":
        "wait is a loop of its own, which handlers and closures that raise end",
    "libxl_childproc_setmode":
        "the checked twin is bound; OCaml has no use for a silent one",
}


def public_functions():
    """Names of all C functions that the interface file declares."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "libxl.xml"
        subprocess.run(
            ["swig", "-xml", "-I" + str(ROOT / "c/include"),
             "-I" + str(ROOT / "bindings"), "-xmllite", "-o", str(out),
             str(ROOT / "bindings/libxl.i")],
            check=True, cwd=folder)
        tree = ElementTree.parse(out)
    names = set()
    for node in tree.iter("cdecl"):
        attributes = {a.get("name"): a.get("value")
                      for a in node.iter("attribute")}
        own = node.find("attributelist")
        if own is not None:
            attributes = {a.get("name"): a.get("value")
                          for a in own.findall("attribute")}
        if attributes.get("kind") == "function" and \
                attributes.get("storage") != "typedef" and \
                str(attributes.get("name")).startswith("libxl_"):
            names.add(attributes["name"])
    return names


def stubs():
    """external's C name -> the text of its function."""
    found = {}
    for path in sorted((ROOT / "bindings/ocaml").glob("stub_*.c")):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(
                r"^value (xlchild_ml_\w+)\(.*?^}", text,
                flags=re.M | re.S):
            found[match.group(1)] = match.group(0)
    return found


def supporting():
    """The C text outside externals: what they call in turn."""
    text = "".join(p.read_text(encoding="utf-8")
                   for p in sorted((ROOT / "bindings/ocaml").glob("stub_*.c")))
    return re.sub(r"^value xlchild_ml_\w+\(.*?^}", "", text,
                  flags=re.M | re.S)


def main():
    functions = public_functions()
    if "libxl_ctx_alloc" not in functions or len(functions) < 30:
        sys.exit(f"parity: only {len(functions)} functions in the interface")
    declared = {name for path in (ROOT / "ocaml").glob("*/*.ml")
                for name in re.findall(r'"(xlchild_ml_\w+)"',
                                       path.read_text(encoding="utf-8"))}
    defined = stubs()
    wrong = [f"{name}: an external without a stub"
             for name in sorted(declared - set(defined))]
    wrong += [f"{name}: a stub without an external"
              for name in sorted(set(defined) - declared)]
    bodies = "".join(defined[name] for name in declared & set(defined)) \
        + supporting()
    for name in sorted(functions):
        bound = re.search(rf"\b{name}\(", bodies) is not None
        if bound and name in NOT_BOUND:
            wrong.append(f"{name}: bound, and listed as not bound")
        if not bound and name not in NOT_BOUND:
            wrong.append(f"{name}: no external and no reason")
    wrong += [f"{name}: listed, but no function of the interface"
              for name in sorted(set(NOT_BOUND) - functions)]
    if wrong:
        sys.exit("parity:\n" + "\n".join(wrong))
    print(f"parity: {len(functions)} functions")


if __name__ == "__main__":
    main()
