#!/usr/bin/python3
"""The site: the guide and the reference, in one place, searchable offline.

Called by `make site`. Writes pages for Debian's Sphinx into build/site/source,
of docs/*.md as they stand and of what reference.py reads from the sources, and
has Sphinx make build/site/html of them. --pages writes the pages alone.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import reference
import tree

SOURCE = tree.ROOT / "build/site/source"
HTML = tree.ROOT / "build/site/html"
LABEL = {"Before": "Before", "Effects": "Effects", "Owns": "Ownership",
         "Calls": "Callbacks", "Threads": "Threads",
         "Signals": "In a signal handler", "Fork": "In a forked child"}
CONF = '''\
project = "xlchild"
author = "the xlchild authors"
copyright = "the xlchild authors, MIT"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "alabaster"
html_theme_options = {"fixed_sidebar": False, "page_width": "64em",
                      "description": "children, statuses, no lies"}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_use_index = True
myst_heading_anchors = 3
nitpicky = False
highlight_language = "none"
suppress_warnings = ["myst.xref_missing", "toc.not_readable"]
smartquotes = False
'''
CSS = '''\
/* a phone shows the text in its width; what is wide scrolls in itself */
div.body { max-width: 100%; }
div.body pre, div.highlight { overflow-x: auto; }
div.body table { display: block; overflow-x: auto; max-width: 100%; }
div.body img { max-width: 100%; height: auto; }
div.body code { overflow-wrap: anywhere; }
div.body a { overflow-wrap: anywhere; }
dl.c, dl.py { overflow-x: auto; }
h1, h2, h3 { overflow-wrap: anywhere; }
@media screen and (max-width: 875px) {
  div.document, div.footer { width: auto; }
  div.body { padding: 0 12px; }
}
'''


def title(text, sign="="):
    """A heading."""
    return "%s\n%s\n\n" % (text, sign * max(len(text), 3))


def prose(text):
    """Words of a comment, with nothing in them that means anything to RST."""
    return re.sub(r"([*`|_\\])", r"\\\1", " ".join(text.split()))


def verbatim(text):
    """A block as it stands."""
    return "::\n\n" + "".join("    %s\n" % line if line else "\n"
                              for line in text.splitlines()) + "\n"


def code(language, text):
    """A block of code."""
    return ".. code-block:: %s\n\n" % language + "".join(
        "    %s\n" % line if line else "\n" for line in text.splitlines()) \
        + "\n"


def elsewhere(row):
    """The other languages' names and the kernel, as a list of fields."""
    python, ocaml, kernel = row
    shown = [(":Python:", python), (":OCaml:", ocaml)]
    return "".join("%s %s\n" % (field, "not needed there" if name == "-"
                                else "``%s``" % name)
                   for field, name in shown) + ":Linux: %s\n\n" % kernel


def write(name, text):
    """A page."""
    path = SOURCE / (name + ".rst")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def toctree(names, depth=1):
    """Where to go from a page."""
    return ".. toctree::\n   :maxdepth: %d\n\n" % depth + "".join(
        "   %s\n" % name for name in names) + "\n"


def c_pages(known):
    """A page a header, a page a member and a flag of a spec."""
    pages = {}
    for header, name, prototype, summary, parts in reference.functions():
        text = title(name, "-") + code("c", prototype + ";") \
            + prose(summary[:1].upper() + summary[1:]) + ".\n\n"
        text += elsewhere(known[name])
        for label, words in parts.items():
            if label != "Returns":
                text += ":%s: %s\n" % (LABEL[label], prose(words))
        if "Returns" in parts:
            text += "\nReturns " + verbatim(parts["Returns"])
        pages.setdefault(header, []).append(text + "\n")
    for header, name, definition, words in reference.types():
        pages.setdefault(header, []).append(
            title(name, "-") + (prose(words) + "\n\n" if words else "")
            + code("c", definition))
    for header in reference.HEADERS:
        write("reference/c/" + header, title("C: xlchild/%s.h" % header)
              + "".join(pages[header]))
    spec = []
    for name, kind, words in reference.members():
        spec.append("member-" + name)
        write("reference/spec/member-" + name, title("spec." + name)
              + code("c", kind if "(*" in kind else "%s %s" % (kind, name))
              + "A member of ``libxl_childproc_spec``.\n\n"
              + prose(words) + "\n\n" + elsewhere(known["spec." + name]))
    for name, bit, words in reference.flags():
        short = name[len("LIBXL_SPAWN_"):]
        spec.append("flag-" + short)
        write("reference/spec/flag-" + short, title(name)
              + code("c", "#define %s (1u << %d)" % (name, bit))
              + "A flag of ``libxl_childproc_spec``.\n\n" + prose(words)
              + "\n\n" + elsewhere(known[name]))
    write("reference/spec/index", title("What to start: each member and flag")
          + "Of ``libxl_childproc_spec``, with its names in Python and OCaml."
          "\n\n" + toctree(spec))


def python_pages():
    """A page a module."""
    pages = {}
    for module, name, kind, signature, words, methods in reference.python():
        text = title("%s.%s" % (module, name), "-")
        text += code("python", "%s%s" % (name, signature)) \
            if kind == "function" else ""
        text += (words or "") + "\n\n"
        for method, its, said in methods:
            text += title("%s.%s" % (name, method), "~") \
                + code("python", method + its) + (said or "") + "\n\n"
        pages.setdefault(module, []).append(text)
    for module, parts in pages.items():
        write("reference/python/" + module, title("Python: " + module)
              + "Times are seconds (float), signals Python's; what may be called "
              "from which thread is said under each name, and is any where "
              "nothing is said. Errors are subclasses of XlchildError, which "
              "carry ``code``, ``stage`` and ``errno``.\n\n"
              + "".join(parts))
    return sorted(pages)


def odoc(text):
    """Words of an OCaml comment as RST has them."""
    text = re.sub(r"\{!(?:[a-z]+-)?([^}]*)\}", r"[\1]", text)
    text = re.sub(r"\{[bei] ([^}]*)\}", r"\1", text)
    parts = re.split(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]", text)
    return "".join(prose_inside(part) if at % 2 == 0
                   else "\\ ``%s``\\ " % part.strip() if part.strip() else ""
                   for at, part in enumerate(parts))


def prose_inside(text):
    """As prose, the blanks at its ends kept."""
    return re.sub(r"([*`|_\\])", r"\\\1", text)


def ocaml_pages():
    """A page an interface."""
    made = []
    for path in reference.INTERFACES:
        module = Path(path).stem.capitalize()
        text = title("OCaml: " + module) \
            + "Times are seconds, signals OCaml's; from any thread and any " \
            "domain. Functions raise ``Error``; their twins in ``_result`` " \
            "return it.\n\n"
        for inside, declaration, words in reference.interface(path):
            head = re.match(r"(?:val|exception|type|module type|module|external"
                            r")\s+(?:nonrec\s+)?(?:\([^)]*\)\s+|'\w+\s+)?(\w+)",
                            declaration)
            name = head.group(1) if head else declaration.split()[0]
            text += title(".".join(filter(None, (module, inside, name))), "-")
            text += code("ocaml", declaration)
            text += odoc(words) + "\n\n"
        made.append(module)
        write("reference/ocaml/" + module, text)
    return made


def names_page(known):
    """The table of the three languages."""
    rows = "".join("   * - ``%s``\n     - %s\n     - %s\n     - %s\n" % (
        c, *("``%s``" % n if n != "-" else "" for n in row[:2]), row[2])
        for c, row in known.items())
    write("reference/names", title("One thing, three names")
          + ".. list-table::\n   :header-rows: 1\n\n   * - C\n     - Python\n"
          "     - OCaml\n     - Linux\n" + rows)


def linked(body, path):
    """Markdown whose links to what is no page of the site are its words."""
    def one(match):
        words, target = match.groups()
        place, _, part = target.partition("#")
        if re.match(r"\w+:", target) or not place:
            return match.group(0)
        if place.endswith(".svg"):
            return match.group(0)
        found = (path.parent / place)
        name = Path(*[p for p in found.parts])
        parts = []
        for each in name.parts:
            if each == "..":
                parts = parts[:-1]
            elif each != ".":
                parts.append(each)
        inside = Path(*parts) if parts else Path(".")
        if inside.suffix == ".md" and inside in guide():
            return match.group(0)
        return "%s (`%s`)" % (words, inside)
    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", one, body)


def guide():
    """The Markdown pages of docs/, in the order of the site."""
    return [p for p in tree.files() if p.parts[0] == "docs"
            and p.suffix == ".md" and "examples" not in p.parts]


def guide_pages():
    """docs/ as it stands."""
    made = []
    for path in guide():
        target = SOURCE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        body = re.sub(r"^<!--.*?-->\n", "", tree.text(path), flags=re.M | re.S)
        body = body.replace("```output", "```text")
        target.write_text(linked(body, path), encoding="utf-8")
        made.append(str(path.with_suffix("")))
    for path in tree.files():
        if path.suffix == ".svg" and path.parts[0] == "docs":
            target = SOURCE / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree.ROOT / path, target)
    return made


def pages():
    """Write all of them."""
    if SOURCE.exists():
        shutil.rmtree(SOURCE)
    (SOURCE / "_static").mkdir(parents=True)
    (SOURCE / "_static/site.css").write_text(CSS, encoding="utf-8")
    (SOURCE / "conf.py").write_text(CONF, encoding="utf-8")
    known = reference.names()
    c_pages(known)
    python = python_pages()
    ocaml = ocaml_pages()
    names_page(known)
    texts = guide_pages()
    write("reference/index", title("Reference")
          + toctree(["names", "spec/index"]
                    + ["c/" + name for name in reference.HEADERS]
                    + ["python/" + name for name in python]
                    + ["ocaml/" + name for name in ocaml]))
    first = [n for n in ("docs/problem", "docs/modes", "docs/tutorial",
                         "docs/guide", "docs/troubleshooting") if n in texts]
    write("index", title("xlchild")
          + "Start and reap children inside somebody else's program: in C, "
          "Python and OCaml, on Linux.\n\n"
          + toctree(first + [n for n in texts if n not in first]
                    + ["reference/index"]))


def main(arguments):
    """Make the site; the exit status."""
    pages()
    if "--pages" in arguments:
        return 0
    if HTML.exists():
        shutil.rmtree(HTML)
    done = subprocess.run(
        ["sphinx-build", "-q", "-W", "--keep-going", "-b", "html", str(SOURCE), str(HTML)],
        stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        print("build/site/html/index.html")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
