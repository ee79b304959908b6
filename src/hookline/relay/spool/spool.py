"""The ports of the relay: the durable queue between ingest and delivery. The ports of operators are in admin.py.

Every call is one transaction. It is durable when the call returns, except for the results that `settle` records: they
may reach the disk later, at the latest half a second after the last results that were synced, with the next
`changed_elsewhere`, or with `close`. The relay makes all calls from one thread. A call that writes raises
SpoolStalled, and has then changed nothing, when the disk is full or another process keeps the spool locked: the relay
repeats the same call. Any call raises SpoolUnusable when the spool is damaged. Times are Unix seconds.

Each port has a suite in tests/contract/, and every registered store (factory.py) runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

import msgspec

from hookline.model import Address
from hookline.observe.snapshot import RelayStatus
from hookline.relay.delivery_record import Delivery, Line
from hookline.relay.sources.source import Position


class State(IntEnum):
    """The state of a delivery."""

    PENDING = 0
    DELIVERED = 1
    DEAD = 2
    DISCARDED = 3


class NewDelivery(msgspec.Struct, frozen=True):
    """A delivery, and the line that it came from."""

    line: int
    delivery: Delivery


class RejectedLine(msgspec.Struct, frozen=True):
    """A line (`part` is WHOLE), or the event number `part` (from 0) of it, that is rejected."""

    line: Line
    part: int
    reason: str


class ReplayedLine(msgspec.Struct, frozen=True):
    """A rejected line or event that the relay reads once more; `n` is its number among the rejected."""

    n: int
    source: str
    line: Line
    part: int


class IngestBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A group of lines with their routing results, and the position that covers them.

    `read` counts the events that are new; `again` are the numbers of rejected ones that these results replace. If a
    batch holds too much for one transaction, only the last of its groups has the position.
    """

    source: str
    position: Position | None
    read: int
    again: Sequence[int] = ()
    deliveries: Sequence[NewDelivery]
    skipped: Mapping[str, int]
    rejected: Sequence[RejectedLine]


class QueuedDelivery(msgspec.Struct, frozen=True):
    """A pending delivery, with all that an attempt and its response policy need.

    `since` is when it was read, later by the time for which its webhook was held. `history` are its latest failed
    attempts (history.py). `request_id` is for the log.
    """

    seq: int
    id: bytes
    address: Address
    due: float | None
    order_key: int | None
    attempts: int
    tries: int
    refusals: int
    since: float
    event_time: str | None
    history: str | None
    body: bytes
    request_id: str = ""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one delivery's latest attempts: delivered, dead, or pending again at `due`.

    `address` is the webhook of the delivery: a store whose endpoints have several owners checks the owner by it.
    `attempts`, `tries`, `refusals` and `history` are the new totals; `posts` is how many requests this adds to the
    tally.
    """

    seq: int
    address: Address
    order_key: int | None
    state: State
    attempts: int
    tries: int
    refusals: int
    posts: int
    due: float | None = None
    reason: str | None = None
    http: int | None = None
    history: str | None = None


class DequeueRequest(msgspec.Struct, frozen=True):
    """A lane's request for never attempted deliveries of its webhook: at most `limit`, with a `seq` above `after`.

    If `ordered`, deliveries that wait for an earlier event of their message are left out: `settle` returns them when
    that event is settled.
    """

    address: Address
    after: int
    limit: int
    ordered: bool


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one webhook that outlives a relay and is not configuration.

    `paused`: since when an operator has paused it. `stopped`: why the endpoint is gone, found for the configuration
    with the hash `stopped_as`. `not_before`: the endpoint asked for no requests until then. `hurried`: the time of
    the last `retry-now`.
    """

    disabled: bool = False
    paused: float | None = None
    stopped: str | None = None
    stopped_as: str | None = None
    not_before: float | None = None
    hurried: float | None = None


class Retention(msgspec.Struct, frozen=True):
    """How long records, dead letters and rejected lines are kept, in seconds, and how many records at most."""

    seconds: float
    records: int


class IngestSpool(Protocol):
    """Used by the ingester. After a crash, `positions` and the stored deliveries fit each other exactly."""

    def positions(self) -> list[Position]:
        """The checkpoints of all sources. Called once, before the first read."""

    def to_read_again(self, *, limit: int) -> list[ReplayedLine]:
        """Rejected lines that `dead replay` put back. Called at the start, and each second while some are left.

        At most `limit`, and at most about as many bytes as one batch of a source. A line is returned by each call
        until an intake's `again` names it.
        """

    def append(self, intake: IngestBatch, *, now: float, dedupe_window: float) -> int:
        """Store a group of lines together with their position. Called for every group; returns how many are pending.

        Afterwards the source may forget the lines. A delivery whose id is pending, dead, or was delivered in the last
        `dedupe_window` seconds is counted as a duplicate and not stored.
        """


class DequeueSpool(Protocol):
    """Used by the dispatcher, which names the webhooks whose lanes it runs: no other process delivers to these.

    These calls only read. A delivery is returned again by a later call until it is settled.
    """

    def fresh(self, wanted: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        """Never attempted deliveries in the order of reading. Called when lanes have room; one answer per request.

        The number beside the deliveries is the `after` of the lane's next request. No delivery that is committed
        later has a `seq` below it.
        """

    def due(self, address: Address, *, now: float, limit: int, without: Collection[int]) -> list[QueuedDelivery]:
        """Deliveries whose retry is due, the longest due first, except for the `seq`s in `without`.

        Called when the time of a lane's next retry has come.
        """

    def next_due(self, address: Address, *, after: float) -> float | None:
        """When the webhook's first retry after the time `after` is due. Called after `due` has returned all."""

    def next_dues(self, addresses: Collection[Address]) -> dict[Address, float]:
        """When the first retry of each of these webhooks is due; without those that have none.

        Called when lanes start, when another process has written, and after `dead_letter` or `expire`.
        """

    def pending(self) -> set[Address]:
        """The webhooks that have pending deliveries, with a lane or without. Takes no longer if there are many.

        Called when the state has changed, when the input has ended, and while a full spool stops ingest.
        """


class SettleSpool(Protocol):
    """Used by the dispatcher, for the webhooks whose lanes it runs, or that have no lane because they were deleted.

    A delivery that is not pending any more stays as it is, and is not counted again.
    """

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        """Record results, of any number of webhooks. Called for every group of some hundred, or a few milliseconds.

        Returns the deliveries that waited for one of these and may be sent now.
        """

    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        """Make up to `limit` pending deliveries of a webhook dead letters, except for the `seq`s in `without`.

        Called while an endpoint is gone or its webhook is deleted, until fewer than `limit` are returned: then none
        are left.
        """

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        """Make dead letters of the oldest pending deliveries that were read or replayed before `before`.

        Called every ten seconds for each webhook whose circuit breaker is not closed. Returns how many; fewer than
        `limit`: none are left for now. The webhook's own clock counts, which stands still while it is held.
        """

    def make_due(self, address: Address, *, now: float, limit: int) -> int:
        """Make up to `limit` pending retries of a webhook due at `now`. Called when the clock was set back.

        Returns how many; fewer than `limit`: no retry waits for a time after `now`.
        """


class EndpointStates(Protocol):
    """Used by the state watcher and the dispatcher: state of webhooks that outlives the relay (Standing)."""

    def standing(self) -> dict[Address, EndpointState]:
        """Of every webhook that the spool knows. Called when webhooks change or another process has written."""

    def hold(self, address: Address, *, disabled: bool, now: float) -> None:
        """Record that the applied webhook is disabled, or is not. Called when that changes.

        The deliveries of a held (disabled or paused) webhook do not age.
        """

    def remember(
        self, address: Address, *, stopped: str | None, stopped_as: str | None, not_before: float | None
    ) -> None:
        """Replace the endpoint's part of the state (Standing). Called when its circuit breaker changes phase."""


class MaintenanceSpool(Protocol):
    """Used by the dispatcher and for reports."""

    def changed_elsewhere(self) -> bool:
        """Whether another process (`dead replay`, `pause`) has written since the last call. Called each second.

        Afterwards the results of all earlier calls of `settle` are on the disk.
        """

    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        """Remove up to `limit` of each kind that was kept for long enough. True: more is left.

        Called every ten seconds, and at once again while more is left.
        """

    def tally(self) -> dict[str, int]:
        """How often each thing has happened: ``read``, ``replayed``, ``delivered``, ``skipped:REASON``,
        ``rejected``, ``dead``, ``duplicates``, ``attempts``; and how many are ``pending``. Called each second."""

    def close(self) -> None:
        """Called once, last. Everything is on the disk afterwards, and another relay may open the spool."""


class Spool(IngestSpool, DequeueSpool, SettleSpool, EndpointStates, MaintenanceSpool, Protocol):
    """All that a relay needs. One process holds it, or its share of the endpoints, from opening to `close`."""


class StatusPublisher(Protocol):
    """Shows other commands the status of a running relay. A failure to write is no error: the status is then missing.

    Called from any thread, beside the calls of the spool's own thread.
    """

    def publish(self, facts: RelayStatus) -> None:
        """Replace the status. Called each second by the relay that holds the spool; not durable."""

    def withdraw(self) -> None:
        """Remove the status. Called once, when the relay ends; a later `publish` has no effect."""
