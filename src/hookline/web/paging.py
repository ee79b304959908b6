"""A part of a long list, for one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

ROWS_PER_PAGE: Final = 50

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class RowsOfPage(Generic[_Row]):
    """The rows of the page `number` (from 1) of `pages`. `total` counts the rows of all pages."""

    rows: Sequence[_Row]
    number: int
    pages: int
    total: int

    @property
    def first(self) -> int:
        """The number of the first row, from 1; 0 if there is none."""
        return (self.number - 1) * ROWS_PER_PAGE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return max(0, self.first + len(self.rows) - 1)


def rows_of_page(rows: Sequence[_Row], number: int) -> RowsOfPage[_Row]:
    """The page with this number, or the nearest one that exists."""
    pages = max(1, -(-len(rows) // ROWS_PER_PAGE))
    number = min(max(1, number), pages)
    start = (number - 1) * ROWS_PER_PAGE
    return RowsOfPage(rows[start : start + ROWS_PER_PAGE], number, pages, len(rows))


def page_number(text: str | None) -> int:
    """The page that a request names; 1 for any text that is no number."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else 1
