"""The table of checkpoints."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from msgspec.structs import replace

from hookline.relay.sources.checkpoints import pipe_position
from hookline.relay.sources.source import Position
from hookline.relay.spool.sqlite.schema import POSITION_TABLE, read_positions, remove_oldest_positions, write_position

POSITION = Position(
    name="/logs/app.log", line=30, offset=3000, device=1, inode=2, head_length=1024, head_hash=b"\xaa",
    tail_length=3000, tail_hash=b"\xbb", packed=40, key=b"k",
)  # fmt: skip


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(POSITION_TABLE)
        yield connection


def test_read_as_written(connection: sqlite3.Connection) -> None:
    """Every field is read as it was written, and the time too."""
    write_position(connection, POSITION, now=5.0)
    assert [replace(POSITION, at=5.0)] == read_positions(connection)


def test_one_row_for_a_content(connection: sqlite3.Connection) -> None:
    """A later position replaces the earlier one, also when the content has moved to another file."""
    write_position(connection, POSITION, now=5.0)
    moved = replace(POSITION, inode=9, name="/logs/app.log.1.gz", offset=4000)
    write_position(connection, moved, now=6.0)
    assert [replace(moved, at=6.0)] == read_positions(connection)


def test_inode_used_again_has_two_rows(connection: sqlite3.Connection) -> None:
    """The content that the inode had before can still exist in another file."""
    other = replace(POSITION, key=b"other")
    write_position(connection, POSITION, now=5.0)
    write_position(connection, other, now=6.0)
    assert [replace(POSITION, at=5.0), replace(other, at=6.0)] == read_positions(connection)


def test_row_of_an_empty_file_is_superseded(connection: sqlite3.Connection) -> None:
    """An empty key means that nothing was read of the file. The first position in the file replaces it."""
    empty = Position(name=POSITION.name, device=POSITION.device, inode=POSITION.inode)
    write_position(connection, empty, now=5.0)
    assert [replace(empty, at=5.0)] == read_positions(connection)
    write_position(connection, POSITION, now=6.0)
    assert [replace(POSITION, at=6.0)] == read_positions(connection)


def test_each_pipe_has_its_row(connection: sqlite3.Connection) -> None:
    """Pipes have no inode, so their names distinguish them."""
    for position in (pipe_position("-", 1), pipe_position("/run/fifo", 2), pipe_position("-", 3)):
        write_position(connection, position, now=1.0)
    assert [("-", 3), ("/run/fifo", 2)] == [(one.name, one.line) for one in read_positions(connection)]


def test_the_oldest_are_forgotten(connection: sqlite3.Connection) -> None:
    """If there are too many rows, the latest ones remain."""
    for number in range(10):
        write_position(connection, replace(POSITION, key=b"%d" % number, line=number), now=float(number))
    remove_oldest_positions(connection, keep=3)
    assert [7, 8, 9] == [one.line for one in read_positions(connection)]
    remove_oldest_positions(connection, keep=3)
    assert 3 == len(read_positions(connection))
