"""The payloads of pending deliveries and of dead letters, in a table of their own: a record keeps none.

Functions on a connection, called inside a transaction. The transaction that stores or revives a delivery stores its
payload. The one that makes it a record, or removes it, removes its payload.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from hookline.relay.spool.sqlite.multi_row import insert, values

# The payload of the delivery with the alias `d`, as a column of a query. NULL for a record.
BODY: Final = "(SELECT b.content FROM body b WHERE b.seq = d.seq) AS body"

_INSERT_IF_STORED: Final = "INSERT INTO body SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM delivery WHERE seq = ?1)"
_REMOVE: Final = "DELETE FROM body WHERE seq BETWEEN ? AND ?"
_REMOVE_IF_RECORD: Final = f"""
{_REMOVE} AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.seq = body.seq AND d.state IN (0, 2))
"""


@cache
def _insert(rows: int) -> str:
    return f"INSERT OR FAIL INTO body {values(2, rows)}"


def store_bodies(connection: sqlite3.Connection, bodies: Sequence[tuple[int, bytes]], *, all_stored: bool) -> None:
    """Store payloads by `seq`. Unless `all_stored`, it omits those whose delivery is not stored, a duplicate."""
    if all_stored:
        insert(connection, _insert, bodies)
    else:
        connection.executemany(_INSERT_IF_STORED, bodies)


def remove_bodies(connection: sqlite3.Connection, seqs: Iterable[int], *, all_settled: bool) -> None:
    """Remove the payloads of deliveries. Unless `all_settled`, it keeps those of pending and dead deliveries."""
    connection.executemany(_REMOVE if all_settled else _REMOVE_IF_RECORD, _runs(seqs))


def _runs(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each run of consecutive numbers. Deliveries are settled almost in their order, and a
    range costs half of what its rows cost one by one."""
    first = last = None
    for seq in sorted(seqs):
        if first is None or last is None:
            first = seq
        elif seq > last + 1:
            yield first, last
            first = seq
        last = seq
    if first is not None and last is not None:
        yield first, last
