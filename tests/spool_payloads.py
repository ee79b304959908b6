"""Whether an embedded spool has the payloads that it needs, and no other."""

from __future__ import annotations

import sqlite3
from typing import Final

_WITHOUT_PAYLOAD: Final = (
    "SELECT count(*) FROM delivery d WHERE state IN (0, 2) AND NOT EXISTS (SELECT 1 FROM body WHERE seq = d.seq)"
)
_WITHOUT_DELIVERY: Final = (
    "SELECT count(*) FROM body b WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE seq = b.seq AND state IN (0, 2))"
)


def payload_problem(connection: sqlite3.Connection) -> str | None:
    """What is wrong; None if exactly the pending and the dead deliveries have a payload."""
    (missing,), (left,) = (connection.execute(query).fetchone() for query in (_WITHOUT_PAYLOAD, _WITHOUT_DELIVERY))
    if not missing and not left:
        return None
    return f"{missing} pending or dead deliveries have no payload, and {left} payloads have no such delivery"
