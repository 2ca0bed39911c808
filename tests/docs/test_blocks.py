"""The reader of code blocks reads what its page says it does."""
from pathlib import Path

import pytest

import blocks

PAGE = Path("page.md")


def test_language_line_and_body():
    (block,) = blocks.in_markdown(PAGE, "text\n\n```c\nint x;\n\ny\n```\n")
    assert (block.language, block.line, block.body) == \
        ("c", 3, "int x;\n\ny\n")
    assert block.reason is None and block.output is None


def test_output_belongs_to_the_block_before():
    first, second = blocks.in_markdown(
        PAGE, "```sh\na\n```\n\nIt prints\n\n```output\n1\n```\n"
        "```sh\nb\n```\n")
    assert (first.output, second.output) == ("1\n", None)


def test_marker_holds_for_the_next_block_only():
    first, second = blocks.in_markdown(
        PAGE, "<!-- not run: needs root -->\n```sh\na\n```\n```sh\nb\n```\n")
    assert (first.reason, second.reason) == ("needs root", None)
    (third,) = blocks.in_markdown(
        PAGE, "<!-- not run: needs root -->\ntext\n\n```sh\na\n```\n")
    assert third.reason is None


def test_indented_block_loses_its_indent():
    (block,) = blocks.in_markdown(PAGE, "- a\n\n  ```sh\n  b\n    c\n  ```\n")
    assert block.body == "b\n  c\n"


@pytest.mark.parametrize("text", [
    "```c\nint x;\n", "```output\n1\n```\n", "```rust\nx\n```\n",
    "```sh\na\n```\n```output\n1\n```\n```output\n2\n```\n"])
def test_broken_pages_are_refused(text):
    with pytest.raises(ValueError):
        blocks.in_markdown(PAGE, text)


def test_manual_examples_are_unescaped():
    (block,) = blocks.in_manual(
        Path("x.3"), ".SH EXAMPLES\n.EX\nputs(\"a\\en\");\nx = \\-1;\n"
        "\\&.member = 1,\n.EE\n")
    assert block.body == 'puts("a\\n");\nx = -1;\n.member = 1,\n'
