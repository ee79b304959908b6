"""Remembers the messages of streams that are stored. Functions on a connection.

A stream delivers a message again until it is acknowledged, so the spool knows each by its number (Messages).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from hookline.relay.sources.source import Messages

_KNOWN: Final = """
SELECT number FROM message WHERE stream = (SELECT n FROM stream WHERE identity = ?)
  AND number IN (SELECT value FROM json_each(?))
"""
_ADD_STREAM: Final = "INSERT INTO stream (identity) VALUES (?) ON CONFLICT (identity) DO NOTHING"
_ADD: Final = "INSERT INTO message (stream, number) SELECT ?, value FROM json_each(?)"


def known_messages(connection: sqlite3.Connection, messages: Messages) -> frozenset[int]:
    """Returns the numbers of those messages that are remembered."""
    found = connection.execute(_KNOWN, (messages.stream, json.dumps(list(messages.numbers))))
    return frozenset(number for (number,) in found)


def remember(connection: sqlite3.Connection, messages: Messages) -> None:
    """Remembers the messages, and forgets those up to their floor. Called in the transaction that stores them."""
    connection.execute(_ADD_STREAM, (messages.stream,))
    (n,) = connection.execute("SELECT n FROM stream WHERE identity = ?", (messages.stream,)).fetchone()
    connection.execute("DELETE FROM message WHERE stream = ? AND number <= ?", (n, messages.floor))
    connection.execute(_ADD, (n, json.dumps([one for one in messages.numbers if one > messages.floor])))
