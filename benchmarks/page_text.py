"""The Markdown of a page about results: figures with their units, tables and wrapped paragraphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import Final

from results import Results, Row

Measured = Mapping[str, Results]  # by benchmark

LINE_WIDTH: Final = 110
DIGITS: Final = {"µs": 1, "ms": 1, "s": 2, "%": 2, "": 2}  # of other units: 0


def number(row: Row, value: float | None = None) -> str:
    """A value of a row with its unit; the median if none is given."""
    shown = row.value if value is None else value
    return f"{shown:,.{DIGITS.get(row.unit, 0)}f} {row.unit.replace('1/s', '/s')}".rstrip().replace(" /s", "/s")


def spread(row: Row) -> str:
    """The lowest and the highest round, if there is more than one."""
    return f"{number(row, min(row.rounds))} to {number(row, max(row.rounds))}" if len(row.rounds) > 1 else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def paragraph(text: str, *, bullet: str = "") -> str:
    """The text in lines. With a `bullet`, the lines after the first are indented by its width."""
    return fill(
        bullet + " ".join(text.split()),
        width=LINE_WIDTH,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )


def row_table(rows: Iterable[Row]) -> str:
    return table(("", "median", "lowest to highest"), ([row.title, number(row), spread(row)] for row in rows))


def rows_of(measured: Measured, benchmark: str, measures: Iterable[str] | None = None) -> list[Row]:
    """The rows of a benchmark that were measured, all of them or those with these names."""
    if (results := measured.get(benchmark)) is None:
        return []
    found = results.rows if measures is None else map(results.get, measures)
    return [row for row in found if row is not None]
