"""What README and docs show can be typed, and does what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import blocks, commands, name, pages
from docs.running import matches, run_page

_RUNNABLE = {"console", "python"}
PAGES = [page for page in pages() if any(block.language in _RUNNABLE for block in blocks(page.read_text()))]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_can_be_followed(page: Path, tmp_path: Path) -> None:
    """Every command and every piece of Python on the page runs, in order, and prints what the page shows."""
    assert [] == run_page(page.read_text(), tmp_path)


def test_there_are_pages_to_follow() -> None:
    """README and the tutorial are among the pages that are run."""
    assert {"README.md", "docs/tutorial.md"} <= {name(page) for page in PAGES}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "printed"),
        ("```console\n$ echo one\n```\n", "printed"),
        ("```console\n$ false\n```\n", "ended with 1"),
        ("```python\nraise SystemExit(3)\n```\n", "ended with 3"),
        ("```console\n$ exit 0\n$ true\n```\n", "was not reached"),
        ("```console\n$ echo one &\ntwo\n```\n", "printed"),
    ],
)
def test_a_wrong_page_is_found(text: str, part: str, tmp_path: Path) -> None:
    """A page that shows another output, or a command that fails, does not pass."""
    (message,) = run_page(text, tmp_path)[:1]
    assert part in message


def test_blocks_share_a_shell(tmp_path: Path) -> None:
    """Files, variables and background processes of one block are there in the next; a failure shows its status."""
    text = (
        "<!-- file: a/b.txt -->\n```yaml\nport: 8443\n```\n"
        "```console\n$ export GREETING=hello\n$ cat a/b.txt\nport: 8443\n$ sleep 60 &\n```\n"
        "```console\n$ echo $GREETING\nhello\n$ jobs -r | wc -l\n1\n$ (exit 3)\n$ echo $?\n3\n```\n"
    )
    assert [] == run_page(text, tmp_path)


def test_anything_is_anything() -> None:
    """Three dots stand for any lines, or for any text within a line, and for nothing else."""
    assert matches("a\n...\nz", "a\nb\nc\nz\n")
    assert matches("a ... z", "a b c z\n")
    assert not matches("a ... z", "a b\nc z\n")
    assert not matches("a.c", "abc\n")


def test_console_block_begins_with_a_command() -> None:
    """Output that belongs to no command is a mistake of the page."""
    (block,) = blocks("```console\noutput\n```\n")
    with pytest.raises(ValueError, match="line 2: output without a command"):
        commands(block)
