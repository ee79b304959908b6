"""The search of `trace` in a shared spool: in its deliveries, its records and its rejected lines."""

from __future__ import annotations

import json
from typing import Final

from hookline.relay.delivery_record import parse_history
from hookline.relay.ids import request_prefix
from hookline.relay.spool.admin import (
    MAX_LINES_SEARCHED,
    MAX_TRACED_DELIVERIES,
    MAX_TRACED_LINES,
    MIN_TRACE_ID_DIGITS,
    Trace,
    TracedDelivery,
    TracedLine,
)
from hookline.relay.spool.postgres.operator_ports.operator_port import Run, snapshot
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.spool_values import State

_COMMON: Final = (
    "seq, id, webhook, state, attempts, since, settled, order_key, request_id, channel, status, event_time, source, "
    "line, reason, http, detail, history, execution_id"
)
_FIELDS: Final = (
    "id", "webhook", "channel", "status", "detail", "request_id", "source", "line", "read", "exact", "event_time",
    "state", "attempts", "due", "settled", "reason", "http", "history", "body", "disabled", "paused", "not_before",
    "slot", "predecessor",
)  # fmt: skip
_SELECT: Final = f"""
WITH found AS (
  SELECT {_COMMON}, due, body FROM spool.delivery WHERE CONDITION
  UNION ALL
  SELECT {_COMMON}, NULL, NULL FROM spool.record WHERE CONDITION
)
SELECT encode(d.id, 'hex'), w.organization || '/' || w.sandbox, d.channel, d.status, d.detail, d.request_id, d.source,
  d.line, d.since + w.held_seconds, w.held_seconds = 0 AND w.held_since IS NULL, d.event_time, d.state, d.attempts,
  d.due, d.settled, d.reason, d.http, d.history, d.body, w.disabled, w.paused, w.not_before, w.slot,
  (SELECT encode(p.id, 'hex') FROM spool.delivery p
   WHERE d.state = 0 AND p.state = 0 AND p.webhook = d.webhook AND p.order_key = d.order_key AND p.seq < d.seq
   ORDER BY p.seq LIMIT 1)
FROM found d JOIN spool.webhook w ON w.n = d.webhook ORDER BY d.seq LIMIT {MAX_TRACED_DELIVERIES}
"""
_BY_ID: Final = _SELECT.replace("CONDITION", "id BETWEEN %(first)s AND %(last)s")
_BY_REQUEST: Final = _SELECT.replace("CONDITION", "id BETWEEN %(first)s AND %(last)s AND request_id = %(request_id)s")
_BY_EXECUTION: Final = _SELECT.replace("CONDITION", "execution_id = %(execution_id)s")  # reads all rows
_LINES: Final = f"""
SELECT n, at, source, line, reason, data, replayed FROM
  (SELECT * FROM spool.rejected ORDER BY n DESC LIMIT {MAX_LINES_SEARCHED}) newest
WHERE position(%s::bytea IN data) > 0 OR position(%s::bytea IN data) > 0 LIMIT {MAX_TRACED_LINES}
"""


class SharedTraceSearch:
    """Implements admin.TraceSearch."""

    def __init__(self, connection: SpoolConnection) -> None:
        self._connection = connection

    def trace(self, wanted: str) -> Trace:
        wanted = wanted.encode("utf-8", "replace").decode()  # an argument may hold any bytes; ids in a spool are text
        escaped = json.dumps(wanted)[1:-1].encode()
        try:
            with snapshot(self._connection) as run:
                deliveries = _of_request(run, wanted) or _of_id(run, wanted.lower())
                deliveries = deliveries or _traced(run, _BY_EXECUTION, execution_id=wanted)
                lines = [
                    TracedLine(f"line-{n}", at, source, line, reason, data, replayed)
                    for n, at, source, line, reason, data, replayed in run(_LINES, (wanted.encode(), escaped))
                ]
        finally:
            self._connection.close()
        return Trace(deliveries, lines[::-1])


def _of_request(run: Run, request_id: str) -> list[TracedDelivery]:
    prefix = request_prefix(request_id)
    first, last = prefix.ljust(16, b"\0"), prefix.ljust(16, b"\xff")
    return _traced(run, _BY_REQUEST, first=first, last=last, request_id=request_id)


def _of_id(run: Run, digits: str) -> list[TracedDelivery]:
    if not MIN_TRACE_ID_DIGITS <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return []
    first, last = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
    return _traced(run, _BY_ID, first=first, last=last)


def _traced(run: Run, statement: str, **parameters: object) -> list[TracedDelivery]:
    found = []
    for values in run(statement, parameters):
        row = dict(zip(_FIELDS, values, strict=True))
        row |= {"state": State(row["state"]), "history": parse_history(row["history"])}
        found.append(TracedDelivery(**row))
    return found
