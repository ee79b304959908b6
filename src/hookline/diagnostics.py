"""Diagnostics: findings about files of the user. The core collects them as values and never prints them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A finding, its location and the next step.

    `code` is stable across releases (``HL012``). `line` and `column` count from 1; they are None if the finding has
    no single position. `excerpt` is the line of the source, for the caret.
    """

    code: str
    summary: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    severity: Severity = Severity.ERROR
    address: str | None = None
    hint: str | None = None
    excerpt: str | None = None

    @property
    def location(self) -> str:
        """``file:line:column``, without the parts that are None."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def sort_key(self) -> tuple[str, int, int, str, str]:
        """Sorts by file, then by position, so that the same findings always have the same order."""
        return (self.file or "", self.line or 0, self.column or 0, self.code, self.summary)


def nearest(text: str, known: Iterable[str], *, max_count: int = 1, min_similarity: float = 0.6) -> list[str]:
    """Returns the known names that `text` may be a misspelling of, the most similar first.

    The comparison ignores case, hyphens and underscores.

    Args:
        text: the possibly misspelled name.
        known: the correct names.
        max_count: the maximum number of results.
        min_similarity: the minimum share of equal characters, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only messages need it

    names: dict[str, str] = {}
    for name in known:
        names.setdefault(_folded(name), name)
    return [names[found] for found in get_close_matches(_folded(text), names, n=max_count, cutoff=min_similarity)]


def did_you_mean(near: Iterable[str], otherwise: str) -> str:
    """Returns a hint with the nearest names, or `otherwise` if no name is near."""
    names = " or ".join(near)
    return f"did you mean {names}?" if names else otherwise


def _folded(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def sorted_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Returns the diagnostics without duplicates, in the order of files and positions."""
    return tuple(sorted(set(diagnostics), key=Diagnostic.sort_key))
