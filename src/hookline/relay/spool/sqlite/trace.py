"""Finding what became of one API request, or of one delivery, in a spool: read beside whatever works on it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from hookline.relay.delivery_record import parse_history
from hookline.relay.ids import request_prefix
from hookline.relay.spool.admin import SHORTEST_TRACE_ID, Trace, TracedDelivery, TracedLine
from hookline.relay.spool.spool import State
from hookline.relay.spool.sqlite.database import DATABASE_FILE, damage_named, open_existing

MAX_DELIVERIES: Final = 1000
MAX_TRACED_LINES: Final = 20
# The rejected have no index by what is in them: so many of the newest are looked through.
LINES_LOOKED_THROUGH: Final = 100_000
_COLUMNS: Final = """
SELECT d.seq, lower(hex(d.id)), w.organization || '/' || w.sandbox, d.channel, d.status, d.detail, d.request_id,
  d.source, d.line, d.since + w.idle, w.idle = 0 AND w.held IS NULL, d.event_time, d.state, d.attempts, d.due,
  d.settled, d.reason, d.http, d.history, d.body, d.order_key, w.disabled, w.paused, w.stopped, w.not_before
FROM delivery d JOIN webhook w ON w.n = d.webhook
"""
_IN_RANGE: Final = f"{_COLUMNS} WHERE d.id BETWEEN ? AND ? ORDER BY d.seq LIMIT {MAX_DELIVERIES}"
_OF_REQUEST: Final = (
    f"{_COLUMNS} WHERE d.id BETWEEN ? AND ? AND d.request_id = ? ORDER BY d.seq LIMIT {MAX_DELIVERIES}"
)
_PREDECESSOR: Final = """
SELECT lower(hex(id)) FROM delivery WHERE state = 0 AND order_key = ? AND seq < ? ORDER BY seq LIMIT 1
"""
_LINES: Final = f"""
SELECT n, at, source, line, reason, data, again FROM
  (SELECT * FROM rejected ORDER BY n DESC LIMIT {LINES_LOOKED_THROUGH})
WHERE instr(data, ?) OR instr(data, ?) LIMIT {MAX_TRACED_LINES}
"""


def trace(directory: Path, what: str) -> Trace:
    """Everything that is known of a request id; or of a delivery id, whole or at least its first 8 digits.

    At most 1,000 deliveries and 20 rejected lines. Raises SpoolUnusable when there is no spool that can be read.
    """
    what = what.encode("utf-8", "replace").decode()  # an argument may be any bytes; ids in a spool are text
    with closing(open_existing(directory, mode="ro")) as connection, damage_named(directory / DATABASE_FILE):
        connection.execute("BEGIN")
        deliveries = list(_of_request(connection, what)) or list(_by_id(connection, what.lower()))
        escaped = json.dumps(what)[1:-1].encode()
        lines = [
            TracedLine(f"line-{n}", at, source, line, reason, data, bool(again))
            for n, at, source, line, reason, data, again in connection.execute(_LINES, (what.encode(), escaped))
        ]
    return Trace(deliveries, lines[::-1])


def _of_request(connection: sqlite3.Connection, request_id: str) -> Iterator[TracedDelivery]:
    prefix = request_prefix(request_id)
    return _traced(connection, _OF_REQUEST, prefix.ljust(16, b"\0"), prefix.ljust(16, b"\xff"), request_id)


def _by_id(connection: sqlite3.Connection, digits: str) -> Iterator[TracedDelivery]:
    if not SHORTEST_TRACE_ID <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return iter(())
    first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    return _traced(connection, _IN_RANGE, first, last)


def _traced(connection: sqlite3.Connection, statement: str, *parameters: object) -> Iterator[TracedDelivery]:
    for (
        seq, identity, webhook, channel, status, detail, request_id, source, line, read, exact, event_time, state,
        attempts, due, settled, reason, http, history, body, order_key, disabled, paused, stopped, not_before,
    ) in connection.execute(statement, parameters).fetchall():  # fmt: skip
        earlier = None
        if state == State.PENDING and order_key is not None:
            earlier = connection.execute(_PREDECESSOR, (order_key, seq)).fetchone()
        yield TracedDelivery(
            id=identity, webhook=webhook, channel=channel, status=status, detail=detail, request_id=request_id,
            source=source, line=line, read=read, exact=bool(exact), event_time=event_time,
            state=State(state), attempts=attempts, due=due, settled=settled, reason=reason, http=http,
            history=parse_history(history), body=body, disabled=bool(disabled), paused=paused, stopped=stopped,
            not_before=not_before, predecessor=None if earlier is None else earlier[0],
        )  # fmt: skip
