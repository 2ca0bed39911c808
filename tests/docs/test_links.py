"""No link of the documentation leads nowhere, and what a page says of another
file stands there.

Relative links of README, CONTRIBUTING and docs/, with their anchors, in the
tree as it is; the answers of docs/newcomer.md.
"""
import re
from pathlib import Path

import tree

PAGES = [p for p in tree.files() if p.suffix == ".md"
         and (len(p.parts) == 1 or p.parts[0] == "docs")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ANSWER = re.compile(r'^\d\. \[([^\]]+)\]\(([^)]+)\) has "(.*)"$', re.M)


def without_code(text):
    """The text between the blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S)


def anchors(path):
    """What a page's headings are called in links."""
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", without_code(tree.text(path)),
                              re.M):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


def target(page, link):
    """(the file, the part) that a link means."""
    place, _, part = link.partition("#")
    path = page if not place else Path(
        (tree.ROOT / page.parent / place).resolve()).relative_to(tree.ROOT)
    return path, part


def test_every_link_leads_somewhere():
    wrong = []
    count = 0
    for page in PAGES:
        for link in LINK.findall(without_code(tree.text(page))):
            if re.match(r"\w+:", link):
                continue
            count += 1
            path, part = target(page, link)
            if not (tree.ROOT / path).exists():
                wrong.append("%s: %s" % (page, link))
            elif part and path.suffix == ".md" and part not in anchors(path):
                wrong.append("%s: %s" % (page, link))
    assert count > 50 and wrong == []


def test_a_newcomer_finds_the_answers():
    page = Path("docs/newcomer.md")
    text = tree.text(page)
    questions = re.findall(r"^## (.*)$", text, re.M)
    assert len(questions) == 10
    assert all(question.endswith("?") for question in questions)
    for part in text.split("\n## ")[1:]:
        assert len(ANSWER.findall(part)) == 2, part
    wrong = [(link, words) for _, link, words in ANSWER.findall(text)
             if words not in tree.text(target(page, link)[0])]
    assert wrong == []


def test_every_page_can_be_reached():
    """From README, over links."""
    seen = set()
    todo = [Path("README.md")]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [target(page, link)[0]
                 for link in LINK.findall(without_code(tree.text(page)))
                 if not re.match(r"\w+:", link)
                 and (tree.ROOT / target(page, link)[0]).is_file()]
    assert [str(p) for p in PAGES if p not in seen
            and p.parts[0] == "docs" and p.name != "README.md"] == []
