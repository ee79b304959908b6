"""The voice of docstrings and docs: plain words, short lines, and a changelog that names each change once."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.pages import ROOT, pages

SOURCE = ROOT / "src" / "hookline"
MAX_MARKERS_PER_1000_WORDS = 3.0
MAX_LINE_CHARACTERS = 110

# Words and phrases that a reader stumbles over. Each has a plainer form: "the message names …", "remains", "again".
MARKERS = re.compile(
    r"\b(?:tell(?:s|ing)?|told|say(?:s|ing)?|said|stand(?:s|ing)?|stood|whoever|whatever|anew|meanwhile"
    r"|go(?:es)? on|so many|what (?:is|was|has)|is there)\b",
    re.IGNORECASE,
)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
# Names are no prose: `code`, paths, links' targets.
CODE = re.compile(r"``[^`]*``|`[^`]*`|\]\([^)]*\)|https?://\S+")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def prose_of_module(text: str) -> str:
    """The docstrings and comments of a module."""
    parts = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            parts.append(token.string.lstrip("# "))
    return "\n".join(parts)


def prose_of_page(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


def markers(prose: str) -> tuple[list[str], int]:
    """The marker words of a text, and the number of its words."""
    plain = CODE.sub(" ", prose)
    return [found[0].lower() for found in MARKERS.finditer(plain)], len(WORD.findall(plain))


def _rate(texts: Iterator[str]) -> tuple[float, Counter[str]]:
    found: Counter[str] = Counter()
    words = 0
    for text in texts:
        some, count = markers(text)
        found.update(some)
        words += count
    return 1000 * found.total() / words, found


def test_docstrings_and_comments_are_in_plain_words() -> None:
    """At most 3 marker words in 1,000 words of the source's docstrings and comments."""
    rate, found = _rate(prose_of_module(path.read_text()) for path in sorted(SOURCE.rglob("*.py")))
    assert rate <= MAX_MARKERS_PER_1000_WORDS, f"{rate:.1f} in 1,000 words: {found.most_common(12)}"


def test_docs_are_in_plain_words() -> None:
    """At most 3 marker words in 1,000 words of README, CHANGELOG and docs."""
    rate, found = _rate(prose_of_page(page.read_text()) for page in pages())
    assert rate <= MAX_MARKERS_PER_1000_WORDS, f"{rate:.1f} in 1,000 words: {found.most_common(12)}"


def test_markers_are_found() -> None:
    """The count finds each form, and neither code nor a longer word."""
    text = "Whoever reads it is told what is left; `what is` and standards and foretell do not count. It goes on."
    assert ["whoever", "told", "what is", "goes on"] == markers(text)[0]
    assert ["anew"] == markers(prose_of_module('"""Read it."""\nx = "told"  # read anew\n'))[0]


def _long_lines(text: str) -> Iterator[int]:
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        breakable = " " in re.sub(r"^\s*([-*]|\d+\.)?\s*", "", line)
        if not fenced and len(line) > MAX_LINE_CHARACTERS and not line.lstrip().startswith("|") and breakable:
            yield number


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_are_short(page: Path) -> None:
    """Markdown is wrapped at 110 characters, except for tables, code and what cannot be broken."""
    assert [] == list(_long_lines(page.read_text()))


def test_the_changelog_names_each_change_once() -> None:
    """No entry of a version occurs twice."""
    for version in re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]:
        titles = Counter(re.findall(r"^- \*\*(.+?)\.?\*\*", version, re.MULTILINE))
        assert titles
        assert [] == [title for title, count in titles.items() if count > 1]
