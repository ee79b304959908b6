"""Statements that write many rows at once.

The sqlite3 module gives the interpreter's lock away in each step of a statement, and `executemany` makes a step for
each row. Beside a busy event loop, most of its time goes into getting the lock back. One statement for many rows is
one step, and the loop runs meanwhile.

The statements must say OR FAIL where a constraint may fail: the default, OR ABORT, keeps a copy of each changed page
until the statement ends. The caller's transaction is rolled back after any error, so nothing depends on the copy.
(https://www.sqlite.org/lang_conflict.html)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Final, TypeVar

Item = TypeVar("Item")

# Rows of one statement. Few sizes, because SQLite compiles a statement for each, and the connection keeps it.
STATEMENT_ROWS: Final = (64, 16, 4, 3, 2, 1)


def grouped(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items in groups of STATEMENT_ROWS, the largest first."""
    start = 0
    for size in STATEMENT_ROWS:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size


def padded(numbers: Sequence[int]) -> Iterator[Sequence[int | None]]:
    """The numbers in groups of STATEMENT_ROWS, for `IN`. NULL, which equals nothing, fills the last group."""
    largest = STATEMENT_ROWS[0]
    for start in range(0, len(numbers), largest):
        group = numbers[start : start + largest]
        size = min(size for size in STATEMENT_ROWS if size >= len(group))
        yield (*group, *[None] * (size - len(group)))


@cache
def values(columns: int, rows: int) -> str:
    """A VALUES clause with a parameter for each column of each row."""
    return f"VALUES {placeholders(rows, f'({placeholders(columns)})')}"


@cache
def placeholders(number: int, one: str = "?") -> str:
    """A list of parameters."""
    return ", ".join([one] * number)


def insert(connection: sqlite3.Connection, statement: Callable[[int], str], rows: Sequence[Sequence[object]]) -> int:
    """Insert rows with the `statement` for a number of rows. Returns the number of inserted or changed rows."""
    return sum(
        connection.execute(statement(len(group)), list(chain.from_iterable(group))).rowcount
        for group in grouped(rows)
    )
