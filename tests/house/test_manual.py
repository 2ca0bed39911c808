"""The manual pages: well formed, complete, and true to the headers."""
import re
import subprocess

import pytest

import headers
import tree

PAGES = [p for p in tree.files()
         if p.parent.as_posix() == "docs/man" and p.suffix in (".3", ".7")]


def names(body):
    """The names before the dash of the NAME section."""
    line = re.search(r"^\.SH NAME\n(.*?) \\- ", body, flags=re.M | re.S)
    return [name.strip() for name in line.group(1).split(",")]


def squeezed(prototype):
    return re.sub(r"\s+", "", prototype)


def synopsis(body):
    """name -> prototype, without blanks, as the page shows it."""
    text = body.split(".SH SYNOPSIS\n", 1)[1].split(".SH ", 1)[0]
    text = "\n".join(line for line in text.splitlines()
                     if not line.startswith("."))
    found = {}
    for prototype in text.replace("\\-", "-").split(";"):
        name = re.search(r"\b(libxl_\w+)\s*\(", prototype)
        if name:
            found[name.group(1)] = squeezed(prototype)
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_is_well_formed(page):
    answer = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", str(tree.ROOT / page)],
        stderr=subprocess.PIPE, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_has_its_sections(page):
    sections = re.findall(r"^\.SH (.*)$", tree.text(page), flags=re.M)
    wanted = ["NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"]
    if page.suffix == ".3":
        wanted[1:1] = ["SYNOPSIS"]
        wanted.insert(3, "RETURN VALUE")
    assert [s for s in sections if s in wanted] == wanted
    assert page.stem == names(tree.text(page))[0]


@pytest.mark.parametrize("page", [p for p in PAGES if p.suffix == ".3"],
                         ids=str)
def test_synopsis_is_what_the_headers_declare(page):
    declared = {name: squeezed(prototype)
                for _, name, _, prototype in headers.documented()}
    body = tree.text(page)
    assert sorted(synopsis(body)) == sorted(names(body))
    for name, prototype in synopsis(body).items():
        assert prototype == declared[name]


def test_every_function_is_on_one_page():
    listed = [name for page in PAGES if page.suffix == ".3"
              for name in names(tree.text(page))]
    assert sorted(listed) == headers.declared()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pages_referred_to_exist(page):
    own = {name for p in PAGES for name in names(tree.text(p))}
    referred = re.findall(r"^\.RB? \(? ?((?:libxl|xlchild)\w*) ",
                          tree.text(page), flags=re.M)
    referred += re.findall(r"^\.BR ((?:libxl|xlchild)\w*) \(\d\)",
                           tree.text(page), flags=re.M)
    assert set(referred) - own == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_errors_named_exist(page):
    known = set(re.findall(r"X\((\w+), -",
                           tree.text("c/include/xlchild/ctx.h")))
    named = set(re.findall(r"\bERROR_([A-Z_]*[A-Z])(?!\.\.\.)",
                           tree.text(page)))
    assert named - known == set()


def declared_errors(name, seen=()):
    """The codes that a function's comment says it returns: its own, and those
    of the sibling that it refers to."""
    comments = {n: re.sub(r"\n \*", "\n", c)
                for _, n, c, _ in headers.documented()}
    returns = comments[name].split("Returns:", 1)[-1]
    found = set(re.findall(r"\bERROR_([A-Z_]*[A-Z])", returns))
    siblings = re.findall(r"\b[Aa]s (?:in )?(libxl_\w+)", returns) \
        + re.findall(r"\bwhat (libxl_\w+) returns", returns)
    if "Returns:" not in comments[name]:
        siblings = re.findall(r"\b[Aa]s (libxl_\w+)", comments[name])
    for sibling in siblings:
        if sibling in comments and sibling not in (name, *seen):
            found |= declared_errors(sibling, (name, *seen))
    return found


@pytest.mark.parametrize("page", [p for p in PAGES if p.suffix == ".3"],
                         ids=str)
def test_errors_listed_are_those_of_the_headers(page):
    body = tree.text(page)
    section = re.search(r"^\.SH ERRORS\n(.*?)(?=^\.SH )", body,
                        flags=re.M | re.S)
    listed = set(re.findall(r"\bERROR_([A-Z_]*[A-Z])", section.group(1))
                 if section else [])
    declared = set()
    for name in names(body):
        declared |= declared_errors(name)
    assert listed == declared
