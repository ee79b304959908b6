"""Faults that are planted on purpose, each named after the rule that it breaks: the simulation must catch every one.

A planted fault replaces one function of the relay. recorded_seeds.json has seeds of which at least one must catch it.
When the relay changes, other seeds may be needed: `python -m simulation.search_seeds` finds and records them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from msgspec.structs import replace

from hookline.model import Address, RetryPolicy, Webhook
from hookline.relay.clock import RelayClock
from hookline.relay.delivery import attempt as attempt_module
from hookline.relay.delivery import attempts_in_flight
from hookline.relay.delivery.attempt import AttemptSeries, Endpoint, FirstPost
from hookline.relay.delivery.attempts_in_flight import AttemptsInFlight
from hookline.relay.delivery.circuit_breaker import BreakerPhase, CircuitBreaker
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.hand_over import HandOver
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.lane_queue import LaneQueue
from hookline.relay.delivery.rate_limiter import RateLimiter
from hookline.relay.delivery.response_policy import Dead, EndpointGone, PolicyAction
from hookline.relay.delivery.rounds.endpoint_state import EndpointStateWriter, Handover
from hookline.relay.delivery.rounds.prefetch import Prefetcher
from hookline.relay.delivery.rounds.settlement_recorder import SettlementRecorder
from hookline.relay.spool.spool_values import (
    DequeueAnswer,
    EndpointState,
    Enqueued,
    IngestBatch,
    QueuedDelivery,
    Settlement,
    State,
)
from hookline.relay.spool.sqlite import enqueue as enqueue_module
from hookline.relay.spool.sqlite.memory.pending_messages import PendingMessages
from hookline.relay.spool.sqlite.progress import work_starts
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

# The delay of a late hand-over: longer than a query, an attempt and the write of its outcome.
LATE_SECONDS: Final = 0.2

Plant = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """One fault: the rule that it breaks, and how to plant it."""

    rule: str
    plant: Plant


def _positions_first() -> AbstractContextManager[Any]:
    """Commit the position of a batch before its rows."""
    real = SqliteSpool.enqueue

    def enqueue(self: SqliteSpool, batch: IngestBatch, **options: Any) -> Enqueued:
        if batch.position is not None:
            empty = IngestBatch(
                source=batch.source, position=batch.position, read=0, deliveries=(), skipped={}, rejected=()
            )
            real(self, empty, **{**options, "requests": ()})
        return real(self, replace(batch, position=None), **options)

    return patch.object(SqliteSpool, "enqueue", enqueue)


def _settle(change: Callable[[Sequence[Settlement]], Sequence[Settlement]]) -> Plant:
    """Change the settlements before they are recorded."""
    real = SqliteSpool.settle

    def settle(self: SqliteSpool, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        return real(self, change(settlements), now=now)

    return lambda: patch.object(SqliteSpool, "settle", settle)


def _without_last(settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Drop one settlement of several."""
    return settlements[:-1] if len(settlements) > 1 else settlements


def _without_due(settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Drop the due times of retries."""
    return [replace(one, due=None) if one.state is State.PENDING else one for one in settlements]


def _unordered_dequeue() -> AbstractContextManager[Any]:
    """Dequeue deliveries whose predecessors are pending."""
    real = SqliteSpool.dequeue_new
    return patch.object(
        SqliteSpool,
        "dequeue_new",
        lambda self, requests: real(self, [replace(one, ordered=False) for one in requests]),
    )


def _forgotten_at_once() -> AbstractContextManager[Any]:
    """Forget a delivery before its settlement is written."""
    real = SettlementRecorder.settled

    def settled(self: SettlementRecorder, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        real(self, lane, item, settlement)
        lane.queue.known.pop(item.seq, None)

    return patch.object(SettlementRecorder, "settled", settled)


def _no_successors() -> AbstractContextManager[Any]:
    """Do not dequeue the successor of a settled delivery."""
    real = SqliteSpool.settle

    def settle(self: SqliteSpool, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        real(self, settlements, now=now)
        return []

    return patch.object(SqliteSpool, "settle", settle)


def _impatient_stop() -> AbstractContextManager[Any]:
    """Stop a lane without waiting for its attempts."""

    async def stop(self: Lane, grace_seconds: float) -> None:
        self._stopping = True

    return patch.object(Lane, "stop", stop)


def _miscounted_dead() -> AbstractContextManager[Any]:
    """Count one dead letter too few in a group."""
    real = enqueue_module.add_to_tally

    def add_to_tally(connection: Any, amounts: Any) -> None:
        real(connection, [(name, amount - (name == "dead" and amount > 1)) for name, amount in amounts])

    return patch("hookline.relay.spool.sqlite.settle.add_to_tally", add_to_tally)


def _cursor_kept() -> AbstractContextManager[Any]:
    """Reload the prefetch without reading from the start."""
    real = LaneQueue.reload

    def reload(self: LaneQueue) -> None:
        cursor = self.cursor
        real(self)
        self.cursor = cursor

    return patch.object(LaneQueue, "reload", reload)


async def _do_nothing(self: object) -> None:
    """Replaces a method that writes."""


def _ignored_wait() -> AbstractContextManager[Any]:
    """Open the circuit breaker without the endpoint's Retry-After."""
    real = CircuitBreaker._open

    def _open(self: CircuitBreaker, event: Any, now: float, reason: str, asked: float | None = None) -> None:
        real(self, event, now, reason)

    return patch.object(CircuitBreaker, "_open", _open)


def _oldest_probe() -> AbstractContextManager[Any]:
    """Probe with the oldest delivery every time."""
    real = SqliteSpool.dequeue_probe
    return patch.object(
        SqliteSpool,
        "dequeue_probe",
        lambda self, request, **options: real(self, replace(request, place=0.0, other_than=None), **options),
    )


def _overtaking_probe() -> AbstractContextManager[Any]:
    """Probe with a delivery whose predecessor is pending."""
    real = SqliteSpool.dequeue_probe
    return patch.object(
        SqliteSpool,
        "dequeue_probe",
        lambda self, request, **options: real(self, replace(request, ordered=False), **options),
    )


def _turn_for_expired() -> AbstractContextManager[Any]:
    """Take a turn for a delivery before checking its age."""

    def _next_delivery(self: Lane) -> QueuedDelivery | None:
        while not self.full and (item := self.queue.first(probes=self.breaker.is_probing)) is not None:
            if (delay := self.rate_limiter.delay(self._clock.elapsed())) > 0:
                self._wake_in(delay)
                return None
            self.queue.take(item, probes=self.breaker.is_probing)
            if not self._is_expired(item):
                return item
            self._settle(item, AttemptSeries(0, Dead("expired"), None, item.history, self._clock.now()))
        return None

    return patch.object(Lane, "_next_delivery", _next_delivery)


async def _always(self: Lane, item: QueuedDelivery, times_opened: int) -> bool:
    """Start a confirming attempt without a turn."""
    return True


def _jumping_age() -> AbstractContextManager[Any]:
    """Measure ages with the wall clock as it is set."""
    return patch.object(RelayClock, "cautious_now", RelayClock.now)


@contextmanager
def _late_first_read() -> Iterator[None]:
    """Notice new deliveries of a lane only with the lane's own next request."""

    def on_enqueued(self: Prefetcher, lane: Lane) -> None:
        lane.queue.unread = True

    with patch.object(Prefetcher, "on_enqueued", on_enqueued):
        yield


def _saved_once() -> AbstractContextManager[Any]:
    """Save no later wait while the circuit breaker stays open."""
    real = EndpointStateWriter.changed

    def changed(self: EndpointStateWriter, lane: Lane) -> None:
        saved = self._saved.get(lane.address)
        if saved is None or saved.not_before is None or lane.breaker.phase is not BreakerPhase.OPEN:
            real(self, lane)

    return patch.object(EndpointStateWriter, "changed", changed)


def _dropped_410() -> AbstractContextManager[Any]:
    """Hand an endpoint over without its 410."""
    real = Handover.restored

    def restored(self: Handover, state: EndpointState, webhook: Webhook, configuration_hash: str) -> EndpointState:
        return real(self._replace(gone_reason=None), state, webhook, configuration_hash)

    return patch.object(Handover, "restored", restored)


def _late_wait_ignored() -> AbstractContextManager[Any]:
    """Ignore responses that arrive after the circuit breaker has opened, except a 410."""
    real = CircuitBreaker.record

    def record(self: CircuitBreaker, action: PolicyAction, now: float, *, late: bool) -> None:
        if isinstance(action, EndpointGone) or not late:
            real(self, action, now, late=late)

    return patch.object(CircuitBreaker, "record", record)


class _WallClock:
    """A relay's clock that measures durations by the wall clock of the machine."""

    def __init__(self, clock: RelayClock) -> None:
        self.now = clock.now
        self.elapsed = clock._wall


def _wall_durations() -> AbstractContextManager[Any]:
    real = attempt_module.attempt

    async def attempt(endpoint: Endpoint, item: QueuedDelivery, policy: RetryPolicy, **options: Any) -> AttemptSeries:
        return await real(endpoint, item, policy, **{**options, "clock": _WallClock(options["clock"])})

    return patch.object(attempts_in_flight, "attempt", attempt)


def _repeated_post() -> AbstractContextManager[Any]:
    """Post a delivery again whose quick post was not accepted, without a look at the result."""
    real = AttemptsInFlight._start_worker

    def _start_worker(self: AttemptsInFlight, item: QueuedDelivery, first: FirstPost | None = None) -> None:
        real(self, item)

    return patch.object(AttemptsInFlight, "_start_worker", _start_worker)


def _endless_quick_posts() -> AbstractContextManager[Any]:
    """Let the next quick post follow without a look at a pause or at the circuit breaker."""
    return patch.object(Lane, "following", Lane._next_delivery)


def _unlimited() -> AbstractContextManager[Any]:
    """Never wait for a turn."""
    return patch.object(RateLimiter, "delay", lambda self, now: 0.0)


def late_hand_over() -> AbstractContextManager[Any]:
    """Hand deliveries over after a while, when a query may have loaded them. No fault: the cursor decides."""
    real = HandOver.enqueued

    def enqueued(self: HandOver, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None:
        self._on_enqueued(deliveries)
        asyncio.get_running_loop().call_later(LATE_SECONDS, real, self, deliveries, answers)

    return patch.object(HandOver, "enqueued", enqueued)


@contextmanager
def _handed_over_and_loaded() -> Iterator[None]:
    """The same, and let the lane take them although its cursor is past them."""

    def take_new(self: LaneQueue, answer: DequeueAnswer) -> bool:
        self._queue(answer.items)
        self.cursor = max(self.cursor, answer.cursor)
        return True

    always_caught_up = property(lambda self: self.cursor >= 0)
    with (
        late_hand_over(),
        patch.object(LaneQueue, "take_new", take_new),
        patch.object(LaneQueue, "is_caught_up", always_caught_up),
    ):
        yield


def _order_of_this_life() -> AbstractContextManager[Any]:
    """Forget that deliveries of an earlier life, or too many of this one, are pending."""
    real = PendingMessages.forget
    return patch.object(PendingMessages, "forget", lambda self, addresses, last_seq: real(self, (), last_seq))


def _uncounted_crashed() -> AbstractContextManager[Any]:
    """Do not count the deliveries that were in hand at a crash as dead letters."""
    real = work_starts.dead_letter_crashed

    def dead_letter_crashed(connection: Any, work: str, now: float) -> int:
        dead = real(connection, work, now)
        enqueue_module.add_to_tally(connection, [("dead", -dead)])
        return dead

    return patch.object(work_starts, "dead_letter_crashed", dead_letter_crashed)


PLANTED_FAULTS = {
    "deliveries in hand at a crash are not counted": PlantedFault("complete accounting", _uncounted_crashed),
    "checkpoint before rows": PlantedFault("exactly-once ingest", _positions_first),
    "settlement dropped": PlantedFault("no duplicates", _settle(_without_last)),
    "predecessor check removed": PlantedFault("order per message", _unordered_dequeue),
    "breaker never probes": PlantedFault(
        "progress", lambda: patch.object(CircuitBreaker, "tick", lambda self, now: None)
    ),
    "unwritten outcomes counted as written": PlantedFault("no duplicates", _forgotten_at_once),
    "lost wake-up": PlantedFault("progress", _late_first_read),
    "due time lost": PlantedFault("progress", _settle(_without_due)),
    "due time not noticed": PlantedFault(
        "progress", lambda: patch.object(Prefetcher, "wake_at", lambda self, lane, due: None)
    ),
    "reconfiguration that does not wait": PlantedFault("no duplicates", _impatient_stop),
    "in-flight deliveries dead-lettered": PlantedFault(
        "complete accounting", lambda: patch.object(LaneQueue, "in_flight", lambda self: set())
    ),
    "Retry-After ignored": PlantedFault("Retry-After", _ignored_wait),
    "accounting off by one": PlantedFault("complete accounting", _miscounted_dead),
    "successors forgotten": PlantedFault("progress", _no_successors),
    "cursor not reset": PlantedFault("progress", _cursor_kept),
    "a delivery is handed over and loaded": PlantedFault("no duplicates", _handed_over_and_loaded),
    "handed over before its message": PlantedFault(
        "order per message", lambda: patch.object(PendingMessages, "waiting", lambda self, address, order_keys: set())
    ),
    "order of this life only": PlantedFault("order per message", _order_of_this_life),
    "successors not remembered": PlantedFault(
        "progress", lambda: patch.object(PendingMessages, "with_successors", lambda self, settlements: {})
    ),
    "last outcomes dropped": PlantedFault(
        "no duplicates", lambda: patch.object(Dispatcher, "_write_last", _do_nothing)
    ),
    "bound of unwritten outcomes removed": PlantedFault(
        "bounded duplicates", lambda: patch.object(Lane, "full", property(lambda self: False))
    ),
    "a probe that always takes the oldest": PlantedFault("no lockout by bad events", _oldest_probe),
    "a probe that overtakes its message": PlantedFault("order per message", _overtaking_probe),
    "exclusive section not exclusive": PlantedFault(
        "one owner",
        lambda: patch("hookline.relay.spool.sqlite.lock.try_lock", lambda descriptor, operation: True),
    ),
    "expired deliveries take turns": PlantedFault("progress", _turn_for_expired),
    "Retry-After forgotten by a restart": PlantedFault(
        "Retry-After", lambda: patch.object(EndpointStateWriter, "write", _do_nothing)
    ),
    "confirming attempts without a turn": PlantedFault(
        "rate limit", lambda: patch.object(Lane, "may_continue", _always)
    ),
    "a longer Retry-After is not saved": PlantedFault("Retry-After", _saved_once),
    "a late Retry-After is ignored": PlantedFault("Retry-After", _late_wait_ignored),
    "a 410 during a reconfiguration is dropped": PlantedFault("nothing after 410", _dropped_410),
    "a quick post repeated by its worker": PlantedFault("Retry-After", _repeated_post),
    "quick posts that ignore a pause": PlantedFault("nothing during a pause", _endless_quick_posts),
    "rate limit ignored": PlantedFault("rate limit", _unlimited),
    "durations by the wall clock": PlantedFault("true durations", _wall_durations),
    "due times by a clock that is set in between": PlantedFault(
        "progress", lambda: patch.object(RelayClock, "now", lambda self: self._wall())
    ),
    "a clock that is set ages deliveries": PlantedFault("no dead letter without a reason", _jumping_age),
}
