"""The ports of the relay: the durable queue between ingest and delivery. The ports of operators are in admin.py.

Every call is one transaction. It is durable when the call returns. The results that `settle` records are an
exception: the disk has them half a second after the latest synced results at the latest, with the next
`changed_by_others`, or with `close`. So are the removals of `clean_up`. The relay makes all calls from one thread.
When the disk is full or another process keeps the spool locked, a call that writes changes nothing and raises
SpoolStalled; the relay repeats the call. Any call raises SpoolUnusable when the spool is damaged. Times are Unix
seconds. `limit` is the largest number of results or changes. Each port has a suite in tests/contract/, and every
registered store (factory.py) runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from hookline.model import Address
from hookline.observe.snapshot import RelayStatus
from hookline.relay.sources.source import Position
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.address_moves import AddressMoves
from hookline.relay.spool.crash_notes import CrashNotes
from hookline.relay.spool.spool_values import (
    DequeueRequest,
    EndpointState,
    Enqueued,
    IngestBatch,
    ProbeRequest,
    QueuedDelivery,
    ReplayedLine,
    Retention,
    Settlement,
)


class IngestSpool(Protocol):
    """Used by the ingester. After a crash, `positions` and the stored deliveries match exactly."""

    def positions(self) -> list[Position]:
        """The checkpoints of all sources. Called before the first read, and when a source gets a part of a log."""

    def replayed_lines(self, *, limit: int) -> list[ReplayedLine]:
        """Rejected lines that an operator replays, at most about as many bytes as one batch of a source. Each call
        returns a line until `replaced_lines` of a batch names it. Called until none remain: at the start, and after
        another process has written."""

    def enqueue(
        self, batch: IngestBatch, *, now: float, dedupe_window: float, requests: Sequence[DequeueRequest] = ()
    ) -> Enqueued:
        """Store a group of lines together with their position. Called for every group.

        Afterwards the source may forget the lines, and the note of the work `progress_of` is gone with its items. A
        delivery whose id is pending, dead, or was delivered in the last `dedupe_window` seconds counts as a duplicate
        and is not stored.

        The spool remembers the numbers of `batch.messages`, by their stream, whatever the messages led to. It forgets
        those of the same stream up to `batch.messages.floor`.

        Raises PositionMoved, and stores nothing, if the stored position is not the one that the batch's position
        `follows`, or if the reader's lease with the batch's `epoch` was lost. The ingester then drops the group.

        Args:
            batch: The group.
            now: The time.
            dedupe_window: 0 turns the window off, also for a delivery that was settled after `now` because the clock
                was set back.
            requests: At most one for each webhook, with the place up to which its lane has taken everything. The
                answer is the one that `dequeue_new` would give after this call, from memory. A store may leave any
                request without an answer; it must do so if it has to read the spool for the answer's deliveries.

        Raises:
            PositionMoved: The stored position is not the one that the batch's position `follows`. Nothing was stored.
                The ingester drops the group.
            MovesUnknown: The spool has followed a move after `batch.moves`, and the batch has deliveries. Nothing was
                stored. The ingester routes the group again.
            MessagesKnown: The spool remembers some of `batch.messages`: it has all of these. Nothing was stored or
                forgotten. The ingester calls again without them, with `redelivered`.
        """


class DequeueSpool(Protocol):
    """Used by the dispatcher for the webhooks whose lanes it runs. No other process delivers to them.

    These calls only read. Later calls return a delivery again until it is settled.
    """

    def dequeue_new(self, requests: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        """New deliveries, which were never attempted, in the order of reading. Called when lanes have room.

        One answer per request: the deliveries, and the `after` of the lane's next request. No delivery that is
        committed later has a `seq` below that number.
        """

    def dequeue_due(
        self, address: Address, *, now: float, limit: int, without: Collection[int]
    ) -> list[QueuedDelivery]:
        """The deliveries whose retry is due, the longest due first, except the `seq`s in `without`. Called at the
        time of a lane's next retry."""

    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        """The delivery next to the requested place that was never attempted; if all were, one whose retry is due.
        None if the search, which is bounded, finds none. Called before each probe. Omits the `seq`s in `without`."""

    def next_due(self, address: Address, *, after: float) -> float | None:
        """The time of the webhook's first retry after `after`. Called after `dequeue_due` has returned all."""

    def next_dues(self, addresses: Collection[Address]) -> dict[Address, float]:
        """The time of the first retry of each of these webhooks, without those that have none. Called when lanes
        start, when another process has written, and after `dead_letter` or `expire`."""

    def pending(self) -> set[Address]:
        """The webhooks that have pending deliveries, with or without a lane. A long backlog costs no more time.
        Called when the state has changed, when the input has ended, and while a full spool stops ingest."""


class SettleSpool(Protocol):
    """Used by the dispatcher, for the webhooks whose lanes it runs, or that have no lane because they were deleted.

    A delivery that is no longer pending is neither changed nor counted again.
    """

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        """Record results of any number of webhooks. Returns the deliveries that waited for one of these and may be
        sent now. Called for every some hundred results, or every few milliseconds."""

    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        """Make pending deliveries of a webhook dead letters. Returns their number; less than `limit`: none remain.

        Called while an endpoint is gone or its webhook is deleted, until none remain.

        Args:
            address: The webhook.
            reason: The reason of the dead letters.
            now: The time of death.
            without: The `seq`s of deliveries to leave pending.
            limit: At most this many.
        """

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        """Make the oldest pending deliveries of a webhook dead letters. Returns their number, as `dead_letter`.

        Called every ten seconds for each webhook whose circuit breaker is not closed. The age of a delivery is
        counted by the clock of its webhook, which stops while the webhook is disabled or paused: also now, and from
        the moment of an operator's `pause` on.

        Args:
            address: The webhook.
            before: They were read or replayed before this time.
            now: The time of death, and the time until which a current pause has lasted.
            without: The `seq`s of deliveries to leave pending.
            limit: At most this many.
        """

    def make_due(self, address: Address, *, now: float, limit: int, after: float | None = None) -> int:
        """Make up to `limit` pending retries of a webhook due at `now`.

        Called when the clock was set back, and with `after` when a lane starts.

        Args:
            address: The webhook.
            now: The time.
            limit: At most this many.
            after: Only retries that are due later, without replays that are spaced by a rate. None: all.

        Returns:
            Their number. Less than `limit`: no such retry waits for a time after `now`.
        """


class EndpointStates(Protocol):
    """Used by the state watcher and the dispatcher, for the state of webhooks that outlives the relay."""

    def endpoint_states(self) -> dict[Address, EndpointState]:
        """By webhook, for all that the spool knows. Called when webhooks change or another process has written."""

    def set_disabled(self, address: Address, *, disabled: bool, now: float) -> None:
        """Called when a webhook is applied as disabled or enabled. Disabled or paused, its deliveries do not age."""

    def save_endpoint_state(
        self, address: Address, *, gone_reason: str | None, gone_configuration: str | None, not_before: float | None
    ) -> None:
        """Replace the part of EndpointState that the endpoint decides. Called when that changes.

        Args:
            address: The webhook.
            gone_reason: Why the endpoint is gone. None: it is not gone.
            gone_configuration: The hash of the configuration that it was found with.
            not_before: The endpoint asked for no requests until then.
        """


class MaintenanceSpool(Protocol):
    """Used by the dispatcher, the status collector and the activity recorder."""

    def changed_by_others(self) -> bool:
        """Whether another process (`dead replay`, `pause`) has written since the last call. Called each second.
        Afterwards the results of all earlier calls of `settle` are on the disk."""

    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        """Remove up to `limit` records, dead letters and rejected lines whose retention is over: of each kind the
        oldest, and of dead letters the oldest of some webhooks. Called every ten seconds, and again after some other
        work while it returns True: more may remain."""

    def record_activity(self, rows: Sequence[MinuteActivity]) -> None:
        """Add rows of one minute to the ring (activity.py), and remove the minutes that it has no room for. Rows of
        webhooks that it knows in this minute are added to theirs. Called once a minute if any webhook was active, and
        at the end of the run. A power cut or a lost connection may lose a call, or count it twice."""

    def tally(self) -> dict[str, int]:
        """The counts of the spool's whole life: ``read``, ``replayed``, ``delivered``, ``skipped:REASON``,
        ``rejected``, ``dead``, ``duplicates``, ``attempts``; ``moved_in`` and ``moved_out``, the pending deliveries
        that `spool move` brought or took; and the number of ``pending``. Called each second."""

    def close(self) -> None:
        """Called once, last. Afterwards everything is on the disk, and another relay may open the spool."""


class Spool(
    IngestSpool, DequeueSpool, SettleSpool, EndpointStates, AddressMoves, CrashNotes, MaintenanceSpool, Protocol
):
    """All ports of a relay. One process owns the spool, or its share of the endpoints, from opening to `close`."""


class StatusPublisher(Protocol):
    """Shows other commands the status of a running relay, if it can be written. Called from any thread."""

    def publish(self, status: RelayStatus) -> None:
        """Replace the status, not durably. Called at most once a second by the relay that owns the spool."""

    def withdraw(self) -> None:
        """Remove the status. Called once, when the relay ends; a later `publish` has no effect."""
