"""The contents of a spool that a move takes to another one, and the reading of a spool for comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from builders import ACME
from contract.spool_stores import LOCATIONS, OTHER
from hookline.relay.delivery_record import DeadLine
from hookline.relay.sources.source import Position
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import EndpointState, State
from hookline.relay.spool.transfer import (
    Contents,
    MoveBatch,
    MovedDelivery,
    MovedLine,
    MovedMessage,
    MovedPosition,
    MovedWebhook,
)
from postgres_server import new_state

NOW = 1_000_000.0
GONE = EndpointState(gone_reason="http 410", gone_configuration="c0ffee", not_before=5.0, retry_now_at=4.0)
PAUSED = EndpointState(paused=900.0, not_before=NOW + 60)
_numbers = count(1)
_databases = cache(new_state)
MOVE_LOCATIONS: dict[str, Callable[[Path], str]] = {
    **LOCATIONS, "shared": lambda _: f"{_databases()}?spool=moved_{next(_numbers)}",
}  # fmt: skip


def location_of(kind: str, directory: Path) -> str:
    """The location of a new spool."""
    return MOVE_LOCATIONS[kind](directory)


def moved_delivery(number: int, state: State = State.PENDING, **fields: Any) -> MovedDelivery:
    """A delivery whose id and body come from `number`. A record has no body."""
    has_body = state in (State.PENDING, State.DEAD)
    return MovedDelivery(**{
        "id": number.to_bytes(16, "big"), "address": ACME, "state": state, "age": float(number), "due": None,
        "order_key": number % 7, "attempts": 0, "tries": 0, "refusals": 0, "settled": None if has_body else 50.0,
        "request_id": f"request-{number}", "channel": "email", "status": "sent", "event_time": None,
        "source": "events", "line": number, "reason": None, "http": None, "detail": None, "history": None,
        "execution_id": None, "body": b'{"n": %d}' % number if has_body else None, **fields,
    })  # fmt: skip


def moved_line(number: int, *, replayed: bool = False, data: bytes = b"broken") -> MovedLine:
    line = DeadLine(n=number, at=float(number), reason="not JSON", source="events", line=number, part=-1, data=data,
                    length=len(data), sha256=hashlib.sha256(data).digest())  # fmt: skip
    return MovedLine(line, replayed)


def position(name: str, offset: int = 10, key: bytes = b"", **fields: Any) -> MovedPosition:
    inode = int.from_bytes(key) or 7
    return MovedPosition("", Position(**{
        "name": name, "offset": offset, "key": key, "line": offset // 10, "inode": inode, "device": 3, "at": 80.0,
        "marks": b"m", **fields,
    }))  # fmt: skip


RETRY = moved_delivery(
    2, due=NOW + 30, attempts=5, tries=3, refusals=1, history='[[1.0,5,"http 503",503]]', http=503, detail="slow",
    event_time="2026-11-28T10:00:00Z", execution_id="execution", order_key=-(2**63), reason="http 503",
)  # fmt: skip
DEAD = moved_delivery(3, State.DEAD, settled=70.0, reason="http 422", http=422, attempts=1, address=OTHER)
CONTENTS = MoveBatch(
    deliveries=[
        moved_delivery(1), RETRY, DEAD, moved_delivery(4, order_key=None), moved_delivery(5, address=OTHER),
        moved_delivery(6, State.DELIVERED, attempts=2, http=200), moved_delivery(7, State.DISCARDED, reason="gone"),
    ],
    lines=[moved_line(1), moved_line(2, replayed=True)],
    messages=[MovedMessage(b"s" * 16, 8), MovedMessage(b"s" * 16, 2**40), MovedMessage(b"t" * 16, 8)],
    positions=[position("a.log", 200, b"a"), position("new.log", 0)],
)  # fmt: skip
WEBHOOKS = [
    MovedWebhook(address=ACME, state=PAUSED, held_since=900.0, held_seconds=12.5),
    MovedWebhook(address=OTHER, state=GONE, held_since=None, held_seconds=0.0),
]


def fill(store: SpoolStore, batch: MoveBatch = CONTENTS, webhooks: list[MovedWebhook] = WEBHOOKS) -> None:
    with store.move_target(since="now") as target:
        target.add_webhooks(webhooks, now=NOW)
        target.add(batch, now=NOW)


def drain(store: SpoolStore) -> MoveBatch:
    """Everything that a spool has, taken out of it."""
    found = MoveBatch()
    with store.move_source(since="now") as source:
        while True:
            with source.take(now=NOW) as batch:
                if not batch.size:
                    return found
                found = MoveBatch(
                    deliveries=[*found.deliveries, *batch.deliveries], lines=[*found.lines, *batch.lines],
                    messages=[*found.messages, *batch.messages],
                    positions=[*found.positions, *batch.positions],
                )  # fmt: skip


def webhooks_of(store: SpoolStore) -> list[MovedWebhook]:
    with store.move_source(since="now") as source:
        return sorted(source.webhooks(), key=lambda one: str(one.address))


def contents_of(store: SpoolStore) -> Contents:
    with store.move_source(since="now") as source:
        return source.contents()


def comparable(batch: MoveBatch, reader: str | None = None) -> tuple[object, ...]:
    """Without the numbers of lines, which each spool gives itself; records and positions have no order.

    `reader` replaces that of the positions.
    """
    kept = [one for one in batch.deliveries if one.body is not None]
    records = sorted((one for one in batch.deliveries if one.body is None), key=lambda one: one.id)
    lines = [msgspec.structs.replace(one, line=msgspec.structs.replace(one.line, n=0)) for one in batch.lines]
    positions = [MovedPosition(one.reader if reader is None else reader, one.position) for one in batch.positions]
    messages = sorted(batch.messages, key=lambda one: (one.stream, one.number))
    return kept, records, lines, messages, sorted(positions, key=lambda one: one.position.name)


_CONTENTS = """
SELECT (SELECT count(*) FILTER (WHERE state = 0) FROM spool.delivery),
  (SELECT count(*) FROM spool.delivery) + (SELECT count(*) FROM spool.record)
    + (SELECT count(*) FROM spool.rejected) + (SELECT count(*) FROM spool.position)
    + (SELECT count(*) FROM spool.message)
"""
_TALLY = """
SELECT name, sum(count)::bigint FROM (SELECT name, count FROM spool.tally UNION ALL
  SELECT name, count FROM spool.tally_change WHERE n > (SELECT folded FROM spool.meta)) t GROUP BY name
"""


def tally(store: SpoolStore) -> dict[str, int]:
    """The counts of a spool, with its number of pending deliveries, and ``rows``: all that can be moved."""
    if not isinstance(store, SharedStore):
        contents = contents_of(store)
        status = store.statistics().spool_status(now=NOW)
        return {**status.tally, "records": status.records, "pending": contents.pending, "rows": contents.rows}
    connection = store.connection()
    [(pending, rows)] = connection.query(_CONTENTS)
    found = {**dict(connection.query(_TALLY)), "pending": pending, "rows": rows}
    connection.close()
    return found
