"""Reads a spool in PostgreSQL past the relay: the questions that the checks ask, as SQL.

Only this folder of the simulation knows the tables of the shared spool (relay/spool/postgres/spool_tables.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from hookline.model import Address
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery_record import Line
from hookline.relay.spool.postgres.tally_balance import READ_TALLY
from hookline.relay.spool.spool_values import State
from simulation.checks.spool_view import SavedWait
from simulation.events import SimulatedEvent, number_of

# Runs a statement, with the schema of the spool as `spool.`.
Query = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]

_ROWS: Final = (
    "(SELECT request_id, seq, state, reason FROM spool.delivery"
    " UNION ALL SELECT request_id, seq, state, reason FROM spool.record) AS d"
)
_ELIGIBLE: Final = (
    "SELECT 1 FROM spool.delivery d JOIN spool.webhook w ON w.n = d.webhook"
    " WHERE d.state = 0 AND w.organization = %s AND w.sandbox = %s AND (d.due IS NULL OR d.due <= %s)"
)
_ELIGIBLE_IN_ORDER: Final = (
    _ELIGIBLE + " AND NOT EXISTS (SELECT 1 FROM spool.delivery p WHERE p.state = 0"
    " AND p.webhook = d.webhook AND p.order_key = d.order_key AND p.seq < d.seq)"
)
_TWICE: Final = f"SELECT request_id FROM {_ROWS} GROUP BY request_id HAVING count(*) > 1"
_NO_OWNER: Final = (
    "SELECT slot FROM spool.slot s WHERE process IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM spool.process p WHERE p.token = s.process)"
)


class SharedView:
    """Implements SpoolView. Events are named by their numbers."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def problem(self) -> str | None:
        """A contradiction between rows; None if there is none."""
        if twice := self._query(_TWICE, ()):
            return f"{twice[0][0]} has two rows"
        if unowned := self._query(_NO_OWNER, ()):
            return f"slot {unowned[0][0]} belongs to a process without a row"
        return None

    def tally(self) -> dict[str, int]:
        """The counters of the spool, by name. A shared spool counts its records by their rows."""
        rows = self.deliveries_by_state()
        records = rows.get(State.DELIVERED, 0) + rows.get(State.DISCARDED, 0)
        return {**dict(self._query(READ_TALLY, ())), "records": records}

    def deliveries_by_state(self) -> dict[int, int]:
        """The number of deliveries in each state that occurs."""
        return dict(self._query(f"SELECT state, count(*) FROM {_ROWS} GROUP BY state", ()))

    def pending(self) -> int:
        """The number of pending deliveries."""
        return self.deliveries_by_state().get(State.PENDING, 0)

    def states(self) -> dict[int, int]:
        """The state of every delivery."""
        return {number: state for number, (state, _) in self.results().items()}

    def results(self) -> dict[int, tuple[int, str | None]]:
        """The state of every delivery, and the reason of a dead letter."""
        rows = self._query(f"SELECT request_id, state, reason FROM {_ROWS}", ())
        return {number_of(request_id): (state, reason) for request_id, state, reason in rows}

    def places(self, events: Iterable[SimulatedEvent]) -> dict[int, tuple[int, int]]:
        """The sequence number and the state of each of these events that is in the spool."""
        wanted = [event.request_id for event in events]
        rows = self._query(f"SELECT request_id, seq, state FROM {_ROWS} WHERE request_id = ANY(%s)", (wanted,))
        return {number_of(request_id): (sequence, state) for request_id, sequence, state in rows}

    def in_hand(self) -> tuple[set[bytes], list[int]]:
        """The lines that are in hand, and the pending deliveries."""
        lines = self._query(
            "SELECT item FROM spool.work_start WHERE item IS NOT NULL AND work NOT LIKE %s", ("slot %",)
        )
        deliveries = self._query(
            "SELECT request_id FROM spool.work_start JOIN spool.delivery ON id = item"
            " WHERE work LIKE %s AND state = 0",
            ("slot %",),
        )
        return {bytes(item) for (item,) in lines}, [number_of(request_id) for (request_id,) in deliveries]

    def crashed_lines(self) -> list[Line]:
        """The lines that were rejected because they were in hand at a crash."""
        rows = self._query("SELECT line, data FROM spool.rejected WHERE reason = 'crashed' ORDER BY n", ())
        return [Line(number, bytes(data), len(data)) for number, data in rows]

    def saved_waits(self) -> dict[Address, SavedWait]:
        """The waits that a restarted relay will find."""
        rows = self._query("SELECT organization, sandbox, not_before, gone_reason FROM spool.webhook", ())
        return {Address(organization, sandbox): SavedWait(at, gone) for organization, sandbox, at, gone in rows}

    def has_eligible(self, lane: Lane, now: float) -> bool:
        """Whether the lane may deliver something at the Unix time `now`: it is due, and no predecessor is pending."""
        query = _ELIGIBLE_IN_ORDER if lane.ordered else _ELIGIBLE
        return bool(self._query(query + " LIMIT 1", (*lane.address, now)))
