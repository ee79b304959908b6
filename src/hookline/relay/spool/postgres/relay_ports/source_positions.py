"""The positions of sources in a shared spool, and the messages of streams that it remembers.

The positions of files belong to the name of their reader. Those of a log belong to all readers, each of which may
continue from any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hookline.errors import PositionMoved
from hookline.relay.sources.checkpoints import MAX_CHECKPOINTS
from hookline.relay.sources.files.other_names import NamedPosition
from hookline.relay.sources.source import Messages, Position
from hookline.relay.spool.postgres.binary_arrays import ints, storable
from hookline.relay.spool.postgres.spool_connection import SpoolRow, Step

_FIELDS: Final = tuple(field for field in Position.__struct_fields__ if field != "follows")
_COLUMNS: Final = ", ".join(f'"{field}"' for field in _FIELDS)
READ_POSITIONS: Final = f"SELECT {_COLUMNS} FROM spool.position WHERE reader IN ('', %s) ORDER BY at, name"
# Parameters: the own name, a limit.
READ_POSITIONS_OF_OTHERS: Final = f"""
SELECT reader, {_COLUMNS} FROM spool.position WHERE reader NOT IN ('', %s) AND head_length > 0
ORDER BY at DESC LIMIT %s
"""
_INSERT: Final = f"INSERT INTO spool.position (reader, {_COLUMNS}) VALUES (%s{', %s' * len(_FIELDS)})"
# The same content, or the row of the same file from before anything was read of it.
_REMOVE_SUPERSEDED: Final = """
DELETE FROM spool.position WHERE reader = %(reader)s
  AND ((key = %(key)s AND key != '') OR (key = '' AND device = %(device)s AND inode = %(inode)s))
"""
_LOCK: Final = """SELECT "offset" FROM spool.position WHERE reader = %s AND key = %s FOR UPDATE"""
FIND_STREAM: Final = "SELECT n FROM spool.stream WHERE identity = %s"
ADD_STREAM: Final = "INSERT INTO spool.stream (identity) VALUES (%s) ON CONFLICT (identity) DO NOTHING"
_FORGET: Final = "DELETE FROM spool.message WHERE stream = %s AND number > %s AND number <= %s"
_REMEMBER: Final = "INSERT INTO spool.message (stream, number) SELECT %s, unnest(%s::bigint[])"
FIND_MESSAGES: Final = "SELECT number FROM spool.message WHERE stream = %s AND number = ANY(%s::bigint[])"


def as_positions(rows: Sequence[SpoolRow]) -> list[Position]:
    """The positions in rows of READ_POSITIONS."""
    return [Position(**dict(zip(_FIELDS, row, strict=True))) for row in rows]


def others_query(reader: str) -> Step:
    """The query for `as_named_positions`."""
    return READ_POSITIONS_OF_OTHERS, (reader, MAX_CHECKPOINTS)


def as_named_positions(rows: Sequence[SpoolRow]) -> list[NamedPosition]:
    """The positions in rows of `others_query`."""
    return [NamedPosition(row[0], *as_positions([row[1:]])) for row in rows]


def position_steps(position: Position, reader: str, now: float) -> list[Step]:
    """The statements that replace a position, in the transaction of the lines before it."""
    owner = _owner(position, reader)
    values = msgspec.structs.asdict(position) | {"at": now}
    for field in ("name", "target"):
        values[field] = storable(values[field])
    superseded = {"reader": owner, **{field: values[field] for field in ("key", "device", "inode")}}
    inserted = (owner, *(values[field] for field in _FIELDS))
    return [(_REMOVE_SUPERSEDED, superseded), (_INSERT, inserted)]


def _owner(position: Position, reader: str) -> str:
    """The name to which a position belongs: that of its reader for a file, and none for a log."""
    return reader if position.inode else ""


def follows_guard(position: Position, reader: str) -> Step:
    """Locks the stored position of a log or a file."""
    return _LOCK, (_owner(position, reader), position.key)


def require_follows(position: Position, rows: Sequence[SpoolRow]) -> None:
    """Raises PositionMoved if the stored position is not the one that `position` follows."""
    stored = rows[0][0] if rows else 0
    if stored != position.follows:
        raise PositionMoved(
            f"{position.name}: another reader has moved the position to {stored}, not {position.follows}"
        )


def message_steps(stream: int, messages: Messages, *, forgotten: int) -> list[Step]:
    """The statements that remember messages, and forget those from `forgotten` to their floor."""
    numbers = [one for one in messages.numbers if one > messages.floor]
    return [(_FORGET, (stream, forgotten, messages.floor)), (_REMEMBER, (stream, ints(numbers)))]
