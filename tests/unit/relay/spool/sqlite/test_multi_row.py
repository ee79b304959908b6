"""One statement for many rows does what one statement for each row does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.spool.sqlite.multi_row import STATEMENT_ROWS, grouped, insert, padded, placeholders, values


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT")
        yield connection


def statement(rows: int) -> str:
    return f"INSERT OR FAIL INTO t {values(2, rows)} ON CONFLICT (text) DO NOTHING"


@given(st.lists(st.integers()))
def test_groups_hold_all_items_in_order(items: list[int]) -> None:
    groups = list(grouped(items))
    assert items == [item for group in groups for item in group]
    assert {len(group) for group in groups} <= {*STATEMENT_ROWS}


@given(st.lists(st.integers(min_value=0), max_size=200))
def test_padded_groups_hold_all_numbers_in_order(numbers: list[int]) -> None:
    groups = list(padded(numbers))
    assert numbers == [number for group in groups for number in group if number is not None]
    assert {len(group) for group in groups} <= {*STATEMENT_ROWS}
    assert len(groups) == -(-len(numbers) // STATEMENT_ROWS[0])


@pytest.mark.parametrize("number", [0, 1, 5, 63, 64, 65, 500])
def test_rows_are_counted_and_known_ones_are_left_alone(connection: sqlite3.Connection, number: int) -> None:
    """The count is that of the new rows, wherever the known ones stand."""
    rows = [(n, f"text {n}") for n in range(number)]
    known = rows[::3]
    assert len(known) == insert(connection, statement, known)
    assert len(rows) - len(known) == insert(connection, statement, [(n + 1000, text) for n, text in rows])
    assert number == connection.execute("SELECT count(*) FROM t").fetchone()[0]
    assert known == connection.execute("SELECT * FROM t WHERE n < 1000 ORDER BY n").fetchall()


def test_null_fills_a_list_and_matches_nothing(connection: sqlite3.Connection) -> None:
    """An update by a padded list changes exactly the rows of the list."""
    insert(connection, statement, [(n, f"text {n}") for n in range(100)])
    (group,) = padded(range(10, 27))
    changed = connection.execute(f"UPDATE t SET text = text || '!' WHERE n IN ({placeholders(len(group))})", group)
    assert 17 == changed.rowcount
    assert [*range(10, 27)] == [n for (n,) in connection.execute("SELECT n FROM t WHERE text LIKE '%!' ORDER BY n")]


def test_an_error_leaves_nothing_after_the_rollback(connection: sqlite3.Connection) -> None:
    """OR FAIL keeps the rows before the one that fails. The caller's rollback removes them."""
    connection.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):
        insert(connection, statement, [(n, None if n == 50 else str(n)) for n in range(64)])
    assert connection.in_transaction
    connection.execute("ROLLBACK")
    assert 0 == connection.execute("SELECT count(*) FROM t").fetchone()[0]
