"""A delivery in the model of a spool."""

from __future__ import annotations

from dataclasses import dataclass

from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, Delivery
from hookline.relay.spool.spool_values import State

RECORD = (State.DELIVERED, State.DISCARDED)


@dataclass(kw_only=True, eq=False)
class Entry:
    """A delivery. `since` is by its webhook's clock. `life` grows when it becomes pending again."""

    delivery: Delivery
    source: str
    line: int
    place: int
    since: float
    order_key: int | None
    state: State = State.PENDING
    due: float | None = None
    attempts: int = 0
    tries: int = 0
    refusals: int = 0
    settled: float | None = None
    reason: str | None = None
    http: int | None = None
    history: str | None = None
    life: int = 0

    @property
    def address(self) -> Address:
        return self.delivery.address

    @property
    def pending(self) -> bool:
        return self.state is State.PENDING

    def end(self, state: State, now: float) -> None:
        self.state, self.settled, self.due = state, now, None

    def letter(self) -> DeadDelivery:
        """The dead letter."""
        one = self.delivery
        assert self.settled is not None
        return DeadDelivery(
            id=one.id, at=self.settled, reason=self.reason or "", http=self.http, attempts=self.attempts,
            history=self.history, webhook=self.address, request_id=one.request_id, channel=one.channel,
            status=one.status, event_time=one.time, detail=one.detail, source=self.source, line=self.line,
            body=one.body,
        )  # fmt: skip


def due_of(entry: Entry) -> float:
    assert entry.due is not None
    return entry.due
