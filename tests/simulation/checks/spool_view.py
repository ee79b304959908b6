"""Reads the spool past the relay: the questions that the checks ask, as SQL.

Only this module of the simulation knows the tables of the embedded spool (relay/spool/sqlite/schema.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hookline.model import Address
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery_record import Line
from hookline.relay.spool.spool_values import State
from hookline.relay.spool.sqlite.database import DATABASE_FILE
from simulation.events import SimulatedEvent, number_of
from spool_payloads import payload_problem

_ELIGIBLE: Final = (
    "SELECT 1 FROM delivery d JOIN webhook w ON w.n = d.webhook"
    " WHERE d.state = 0 AND w.organization = ? AND w.sandbox = ? AND (d.due IS NULL OR d.due <= ?)"
)
_ELIGIBLE_IN_ORDER: Final = (
    _ELIGIBLE + " AND NOT EXISTS"
    " (SELECT 1 FROM delivery p WHERE p.state = 0 AND p.order_key = d.order_key AND p.seq < d.seq)"
)


@dataclass(frozen=True, slots=True)
class SavedWait:
    """The row of a webhook: no request before `not_before` (Unix time), and why its endpoint is gone."""

    not_before: float | None
    gone_reason: str | None


class SpoolView(Protocol):
    """The questions about one spool. Events are named by their numbers."""

    def problem(self) -> str | None:
        """A contradiction in the spool; None if it is intact."""

    def tally(self) -> dict[str, int]:
        """The counters of the spool, by name."""

    def deliveries_by_state(self) -> dict[int, int]:
        """The number of deliveries in each state that occurs."""

    def pending(self) -> int:
        """The number of pending deliveries."""

    def states(self) -> dict[int, int]:
        """The state of every delivery."""

    def results(self) -> dict[int, tuple[int, str | None]]:
        """The state of every delivery, and the reason of a dead letter."""

    def places(self, events: Iterable[SimulatedEvent]) -> dict[int, tuple[int, int]]:
        """The sequence number and the state of each of these events that is in the spool."""

    def in_hand(self) -> tuple[set[bytes], list[int]]:
        """The lines that are in hand, and the pending deliveries."""

    def crashed_lines(self) -> list[Line]:
        """The lines that were rejected because they were in hand at a crash."""

    def saved_waits(self) -> dict[Address, SavedWait]:
        """The waits that a restarted relay will find."""

    def has_eligible(self, lane: Lane, now: float) -> bool:
        """Whether the lane may deliver something at the Unix time `now`: it is due, and no predecessor is pending."""


class EmbeddedView:
    """Implements SpoolView on one open connection to an embedded spool."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def problem(self) -> str | None:
        """The finding of SQLite's integrity check, or about payloads; None if the file is intact."""
        text: str = self._connection.execute("PRAGMA integrity_check").fetchone()[0]
        return payload_problem(self._connection) if text == "ok" else text

    def tally(self) -> dict[str, int]:
        """The counters of the spool, by name."""
        return dict(self._connection.execute("SELECT name, count FROM tally"))

    def deliveries_by_state(self) -> dict[int, int]:
        """The number of deliveries in each state that occurs."""
        return dict(self._connection.execute("SELECT state, count(*) FROM delivery GROUP BY state"))

    def pending(self) -> int:
        """The number of pending deliveries."""
        return self.deliveries_by_state().get(State.PENDING, 0)

    def states(self) -> dict[int, int]:
        """The state of every delivery."""
        rows = self._connection.execute("SELECT request_id, state FROM delivery")
        return {number_of(request_id): state for request_id, state in rows}

    def results(self) -> dict[int, tuple[int, str | None]]:
        """The state of every delivery, and the reason of a dead letter."""
        rows = self._connection.execute("SELECT request_id, state, reason FROM delivery")
        return {number_of(request_id): (state, reason) for request_id, state, reason in rows}

    def places(self, events: Iterable[SimulatedEvent]) -> dict[int, tuple[int, int]]:
        """The sequence number and the state of each of these events that is in the spool."""
        rows = self._connection.execute(
            "SELECT request_id, seq, state FROM delivery WHERE request_id IN (SELECT value FROM json_each(?))",
            (json.dumps([event.request_id for event in events]),),
        )
        return {number_of(request_id): (sequence, state) for request_id, sequence, state in rows}

    def in_hand(self) -> tuple[set[bytes], list[int]]:
        """The lines that are in hand, and the pending deliveries."""
        lines = self._connection.execute("SELECT in_hand FROM work WHERE in_hand IS NOT NULL AND name != 'slot 0'")
        deliveries = self._connection.execute(
            "SELECT request_id FROM work JOIN delivery ON id = in_hand WHERE name = 'slot 0' AND state = 0"
        )
        return {item for (item,) in lines}, [number_of(request_id) for (request_id,) in deliveries]

    def crashed_lines(self) -> list[Line]:
        """The lines that were rejected because they were in hand at a crash."""
        rows = self._connection.execute("SELECT line, data FROM rejected WHERE reason = 'crashed' ORDER BY n")
        return [Line(number, data, len(data)) for number, data in rows]

    def saved_waits(self) -> dict[Address, SavedWait]:
        """The waits that a restarted relay will find."""
        rows = self._connection.execute("SELECT organization, sandbox, not_before, gone_reason FROM webhook")
        return {Address(organization, sandbox): SavedWait(at, gone) for organization, sandbox, at, gone in rows}

    def has_eligible(self, lane: Lane, now: float) -> bool:
        """Whether the lane may deliver something at the Unix time `now`: it is due, and no predecessor is pending."""
        query = _ELIGIBLE_IN_ORDER if lane.ordered else _ELIGIBLE
        return self._connection.execute(query + " LIMIT 1", (*lane.address, now)).fetchone() is not None


@contextmanager
def open_view(directory: Path) -> Iterator[SpoolView | None]:
    """Open the spool in `directory`. The view is None if no relay has created the spool yet."""
    path = directory / DATABASE_FILE
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(path)) as connection:
        yield EmbeddedView(connection)
