"""The site: no link leads nowhere, and a browser has nothing to complain of.

Called by `make check-site`, which has made build/site/html. Links are looked at
as they stand in the files. Then one headless Chromium shows every page in a
frame as wide as a phone, from a server of this machine's, and tells what it
saw.
"""
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "build/site/html"
PHONE = 390
CHECKER = """<!doctype html><title>checker</title><pre id=found></pre><script>
const pages = %s, found = [];
function load(url) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.style = "width:%dpx;height:800px;border:0";
    frame.onload = () => done(frame);
    document.body.appendChild(frame);
    frame.src = url;
  });
}
async function main() {
  for (const page of pages) {
    const frame = await load(page);
    const doc = frame.contentDocument, root = doc.documentElement;
    const body = doc.querySelector("div.body");
    found.push({page, width: root.scrollWidth, words:
      doc.body.innerText.length, size: body ? parseFloat(
        getComputedStyle(body).fontSize) : 0});
    frame.remove();
  }
  const search = await load("search.html?q=%s");
  for (let tries = 0, count = 0, same = 0; tries < 900 && same < 20; tries++) {
    const now = search.contentDocument.querySelectorAll(
      "#search-results li").length;
    same = now && now == count ? same + 1 : 0;
    count = now;
    await new Promise(done => setTimeout(done, 50));
  }
  found.push({search: Array.from(search.contentDocument.querySelectorAll(
    "#search-results li a"), a => a.getAttribute("href"))});
  document.getElementById("found").textContent = JSON.stringify(found);
}
main();
</script>"""


class Links(HTMLParser):
    """What a page names, and what it can be asked for."""

    def __init__(self):
        super().__init__()
        self.targets = []
        self.ids = set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        for name in ("href", "src"):
            if values.get(name):
                self.targets.append(values[name])
        for name in ("id", "name"):
            if values.get(name):
                self.ids.add(values[name])


@functools.lru_cache(maxsize=None)
def parsed(path):
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


PAGES = sorted(HTML.rglob("*.html"))


def test_there_are_pages():
    names = {str(p.relative_to(HTML)) for p in PAGES}
    assert {"index.html", "search.html", "reference/c/childproc.html",
            "reference/spec/flag-NEW_GROUP.html",
            "reference/spec/member-cgroup.html",
            "reference/python/xlchild.html",
            "reference/ocaml/Xlchild.html"} <= names


def test_no_link_leads_nowhere():
    wrong = []
    for page in PAGES:
        for target in parsed(page).targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                if url.scheme not in ("mailto",) and "src" in target:
                    wrong.append((page.name, target))
                continue
            place = (page.parent / unquote(url.path)).resolve() \
                if url.path else page
            if place.is_dir():
                place /= "index.html"
            if not place.is_file():
                wrong.append((str(page.relative_to(HTML)), target))
            elif url.fragment and place.suffix == ".html" \
                    and unquote(url.fragment) not in parsed(place).ids \
                    and place.name not in ("genindex.html", "search.html"):
                wrong.append((str(page.relative_to(HTML)), target))
    assert wrong == []


def test_nothing_is_fetched_from_elsewhere():
    """It is read offline."""
    wrong = [(page.name, found) for page in PAGES for found in re.findall(
        r'(?:src|<link[^>]*href)="(?:https?:)?//[^"]*"',
        page.read_text(encoding="utf-8"))]
    assert wrong == []


@pytest.fixture(name="seen", scope="module")
def seen_fixture(tmp_path_factory):
    """(what the checker saw, what was not found, Chromium's own words)."""
    missing = []

    class Server(http.server.SimpleHTTPRequestHandler):
        """The site's files and the checker."""

        def do_GET(self):
            if self.path != "/checker.html":
                return super().do_GET()
            names = [str(p.relative_to(HTML)) for p in PAGES]
            body = (CHECKER % (json.dumps(names), PHONE, "group")).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)
            return None

        def log_message(self, form, *arguments):
            pass

        def send_error(self, code, *rest, **more):
            missing.append((code, self.path))
            super().send_error(code, *rest, **more)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = subprocess.run(
            [shutil.which("chromium"), "--headless", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage",
             "--enable-logging=stderr", "--no-first-run",
             "--user-data-dir=%s" % tmp_path_factory.mktemp("profile"),
             "--virtual-time-budget=600000", "--dump-dom",
             "http://127.0.0.1:%d/checker.html" % server.server_port],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=900)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert text and text.group(1), done.stderr[-4000:]
    import html
    return json.loads(html.unescape(text.group(1))), missing, done.stderr


def test_every_page_fits_a_phone(seen):
    rows = [row for row in seen[0] if "page" in row]
    assert len(rows) == len(PAGES)
    assert [(row["page"], row["width"]) for row in rows
            if row["width"] > PHONE] == []
    assert [row["page"] for row in rows if 0 < row["size"] < 14] == []


def test_the_console_is_silent(seen):
    assert [m for m in seen[1] if "favicon" not in m[1]] == []
    assert [line for line in seen[2].splitlines()
            if "CONSOLE" in line and "favicon" not in line] == []


def test_the_search_finds(seen):
    (results,) = [row["search"] for row in seen[0] if "search" in row]
    assert {"reference/spec/member-group.html", "docs/newcomer.html"} \
        <= set(results)
