"""The columns and the connection that both ends of a move of a shared spool use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Self

from psycopg.rows import dict_row

from hookline.relay.delivery_record import DeadLine
from hookline.relay.sources.source import Position
from hookline.relay.spool.postgres.spool_connection import Connection, SpoolConnection
from hookline.relay.spool.spool_values import EndpointState, State
from hookline.relay.spool.transfer import MovedDelivery

RECORD_NAMES: Final = (
    *("id", "state", "attempts", "settled", "order_key", "request_id", "channel", "status", "event_time", "source"),
    *("line", "reason", "http", "detail", "history", "execution_id"),
)
_ONLY_PENDING: Final = ("due", "tries", "refusals", "body")  # a record has none of these
DELIVERY_NAMES: Final = (*RECORD_NAMES, *_ONLY_PENDING)
# A webhook's own clock: its time at the Unix time of the parameter.
CLOCK: Final = "least(%s, coalesce(w.held_since, 'infinity')) - w.held_seconds"
LINE_NAMES: Final = tuple(name for name in DeadLine.__struct_fields__ if name != "n")
POSITION_NAMES: Final = tuple(name for name in Position.__struct_fields__ if name != "follows")
POSITION_COLUMNS: Final = ", ".join(f'"{name}"' for name in POSITION_NAMES)
STATE_NAMES: Final = EndpointState.__struct_fields__
_COUNT: Final = "INSERT INTO spool.tally_change (name, count) VALUES (%s, %s)"


class MovingSpool:
    def __init__(self, spool: SpoolConnection) -> None:
        self._spool = spool
        spool.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._spool.close()

    def rows(self, connection: Connection, statement: str, *values: object) -> list[dict[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(self._spool.sql(statement), values).fetchall()

    def count(self, connection: Connection, counts: Counter[str]) -> None:
        rows = [(name, count) for name, count in counts.items() if count]
        with connection.cursor() as cursor:
            cursor.executemany(self._spool.sql(_COUNT), rows)


def pending_among(deliveries: Sequence[MovedDelivery]) -> int:
    return sum(one.state is State.PENDING for one in deliveries)
