"""Collects the status of a running relay: for metrics, `hookline status` and the service manager.

Values in memory are read in the event loop. Values that must be counted in the spool are counted in a thread of their
own, on a connection of their own, and at bounded cost. Deliveries and settlements therefore never wait for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Final

from msgspec.structs import replace

from hookline.errors import HooklineError
from hookline.key_rotation import TimedKey, end_of_keys
from hookline.model import JwtAuthentication, Webhook
from hookline.observe.snapshot import (
    LagStatus,
    LaneStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    StatusSnapshot,
)
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane
from hookline.relay.http.limits.connection_budget import ConnectionBudget
from hookline.relay.ingest.ingester import Ingester
from hookline.relay.service_manager import status_message
from hookline.relay.slots.delivery_guard import DeliveryGuard
from hookline.relay.sources.source import SourceLag
from hookline.relay.spool.activity import minute_of
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.drain_forecast import RECENT_MINUTES, DrainLimits, drain_status
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import StateWatcher

COLLECT_SECONDS: Final = 1.0
STATS_SECONDS: Final = 2.0
MAX_STATS_SECONDS: Final = 30.0
RATE_SAMPLES: Final = 10
STATUS_SECONDS: Final = 5.0
MAX_ATTEMPTING_IDS: Final = 200  # of one webhook
NO_PROGRESS_SECONDS: Final = 30.0
# The largest part of one core that publishing the status may take, and that counting in the spool may take.
_PUBLISH_SHARE: Final = 0.02
_STATS_SHARE: Final = 0.05
# The longest pause between two reports, as a multiple of COLLECT_SECONDS. With a shared spool, a report waits for the
# server, which costs no time of a core.
_MAX_PAUSE: Final = 10
_MAX_SHARED_PAUSE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayParts:
    """The parts of one relay that work together."""

    thread: SpoolThread
    dispatcher: Dispatcher
    ingester: Ingester
    state_watcher: StateWatcher
    crash_guard: CrashGuard
    delivery_guard: DeliveryGuard
    connections: ConnectionBudget
    clock: RelayClock


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayInfo:
    """The values in a relay's status that do not change during a run. `process` is the id of the process."""

    version: str
    process: int
    max_pending: int
    dedupe_window_seconds: float
    max_records: int


class StatusCollector:
    """Collects the status of one run."""

    def __init__(
        self,
        store: SpoolStore,
        parts: RelayParts,
        info: RelayInfo,
        *,
        counters: Counters,
        notify: Callable[[str], None],
        log_lines_lost: Callable[[], int] = lambda: 0,
    ) -> None:
        """Create it for a relay that has not started.

        Args:
            store: Gives the statistics of the spool, and publishes the status beside it.
            parts: The parts of the relay.
            info: The values that do not change.
            counters: The counts for metrics.
            notify: Sends a state to the service manager.
            log_lines_lost: Returns the number of log lines that could not be written.
        """
        self._statistics = store.statistics()
        self._shared = store.shared
        self._publisher = store.status_publisher()
        self._thread = parts.thread
        self._dispatcher = parts.dispatcher
        self._ingester = parts.ingester
        self._state_watcher = parts.state_watcher
        self._crash_guard = parts.crash_guard
        self._connections = parts.connections
        self._clock = parts.clock
        self._info = info
        self._counters = counters
        self._notify = notify
        self._log_lines_lost = log_lines_lost
        self._started = parts.clock.now()
        self._phase: str | None = "starting"
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=RATE_SAMPLES + 1)
        self._moved: dict[str, tuple[int, int, float]] = {}
        self._lags: Sequence[SourceLag] = ()
        self._lag_statuses: list[LagStatus] = []
        self._stats_lock = asyncio.Lock()
        self._stats: SpoolStatus | None = None
        self._processes = SpoolProcesses()
        self._next_stats = 0.0
        self._probe: asyncio.Task[None] | None = None

    def ready(self) -> None:
        self._phase = None

    def stopping(self) -> None:
        self._phase = "stopping"

    def close(self) -> None:
        """Withdraw the published status, because the relay has ended."""
        self._publisher.withdraw()

    async def run(self) -> None:
        """Publish the status once a second while it changes, otherwise every STATUS_SECONDS, until cancelled.

        Raises SpoolUnusable if the spool is damaged.
        """
        next_status, pause = 0.0, _MAX_SHARED_PAUSE if self._shared else _MAX_PAUSE
        published: RelayStatus | None = None
        while True:
            started = self._clock.elapsed()
            tally = await self._thread.run(self._thread.spool.tally)
            self._samples.append((started, tally.get("read", 0), tally.get("delivered", 0)))
            status = self.relay()
            if started >= next_status or published is None or status != replace(published, at=status.at):
                published = status
                await asyncio.to_thread(self._publisher.publish, status)
            if started >= next_status:
                next_status = started + STATUS_SECONDS
                self._notify(status_message(tally["pending"], await self.oldest(), self.unready()))
            cost = self._clock.elapsed() - started
            await asyncio.sleep(max(COLLECT_SECONDS, min(cost / _PUBLISH_SHARE, pause * COLLECT_SECONDS)))

    def unready(self) -> str | None:
        """Why the relay is not ready, or None.

        It starts or stops, waits after crashes, makes no progress, cannot write the spool, or cannot read the state.
        """
        if self._phase is not None:
            return self._phase
        if self._crash_guard.waiting is not None:
            return self._crash_guard.waiting
        if self._thread.stalled is not None:
            return self._thread.stalled
        if self._connections.without_descriptor:
            return "no file descriptor is left for a connection"
        silent = self._clock.elapsed() - self._dispatcher.round_ended_at
        if silent > NO_PROGRESS_SECONDS:  # a round ends each second, also under load
            return f"no progress for {silent:.0f} s: the spool does not respond"
        unreadable = self._state_watcher.unreadable
        return None if unreadable is None else f"the state cannot be read: {unreadable}"

    async def ping(self) -> None:
        """Return once the spool's thread has responded. Simultaneous callers wait for the same response."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._thread.run(lambda: None))
        await asyncio.shield(self._probe)

    async def oldest(self) -> float | None:
        """The age in seconds of the oldest pending delivery; None if none is pending or the spool cannot be read."""
        try:
            return (await self.spool()).oldest
        except HooklineError:
            return None

    async def spool(self) -> SpoolStatus:
        """The status of the spool, at most some seconds old. Raises SpoolUnusable."""
        async with self._stats_lock:
            started = self._clock.elapsed()
            if self._stats is None or started >= self._next_stats:
                self._stats = await asyncio.to_thread(self._statistics.spool_status, now=self._clock.now())
                if self._shared:
                    self._processes = await asyncio.to_thread(self._statistics.processes)
                cost = self._clock.elapsed() - started
                rest = max(STATS_SECONDS, min(cost / _STATS_SHARE, MAX_STATS_SECONDS))
                self._next_stats = started + cost + rest
            return self._stats

    async def report(self) -> StatusSnapshot:
        """The whole status. Raises SpoolUnusable."""
        spool, relay = await self.spool(), self.relay()
        first = minute_of(self._clock.now()) - RECENT_MINUTES
        activity = await asyncio.to_thread(self._statistics.activity, first) if spool.tally["pending"] else []
        drain = drain_status(spool, relay, self._processes, {}, activity)
        return StatusSnapshot(
            spool=spool, relay=relay, counts=self._counters.snapshot(), processes=self._processes, drain=drain
        )

    def relay(self) -> RelayStatus:
        """The status of the values in memory."""
        now = self._clock.now()
        read, delivered = self._rates()
        source = self._ingester.source
        if source is not None:
            self._update_lags(source.lags())
        return RelayStatus(
            version=self._info.version,
            process=self._info.process,
            started=self._started,
            at=now,
            unready=self.unready(),
            stalled=self._thread.stalled,
            unreadable=self._state_watcher.unreadable,
            full=self._ingester.room.full,
            unrecognized=self._ingester.unrecognized,
            stray_bytes=source.stray_bytes() if source is not None else 0,
            serial=self._state_watcher.serial,
            clock_steps=self._clock.steps,
            log_lines_lost=self._log_lines_lost(),
            read_rate=read,
            delivered_rate=delivered,
            spool_max=self._info.max_pending,
            dedupe_window=self._info.dedupe_window_seconds,
            records_max=self._info.max_records,
            connections=self._connections.open,
            connections_max=self._connections.limit,
            connections_awaited=self._connections.waiting,
            lanes=[_lane(lane, now) for lane in self._dispatcher.lanes.values()],
            lags=self._lag_statuses,
        )

    def _rates(self) -> tuple[float, float]:
        """Events read and delivered per second, over the last samples."""
        if len(self._samples) < 2:
            return 0.0, 0.0
        (then, read_then, delivered_then), (now, read, delivered) = self._samples[0], self._samples[-1]
        seconds = max(now - then, 0.001)
        return round((read - read_then) / seconds, 1), round((delivered - delivered_then) / seconds, 1)

    def _update_lags(self, lags: Sequence[SourceLag]) -> None:
        """Without unread bytes, the statuses are the same until the source returns another list."""
        if lags is self._lags and not any(one.behind or one.behind_messages for one in self._lag_statuses):
            return
        now = self._clock.elapsed()
        self._lags, self._lag_statuses = lags, [self._lag(one, now) for one in lags]
        self._moved = {one.source: self._moved[one.source] for one in lags}

    def _lag(self, lag: SourceLag, now: float) -> LagStatus:
        """The lag of one source. `seconds` counts from the first call that found it without progress."""
        line, offset = lag.position.line, lag.position.offset
        seen = self._moved.get(lag.source)
        has_more = bool(lag.unread_bytes or lag.unread_messages)
        is_known = lag.unread_bytes is not None or lag.unread_messages is not None
        if seen is None or seen[:2] != (line, offset) or (is_known and not has_more):
            seen = self._moved[lag.source] = (line, offset, now)
        return LagStatus(name=lag.source, line=line, offset=offset, behind=lag.unread_bytes,
                        behind_messages=lag.unread_messages,
                        seconds=max(0.0, now - seen[2]) if has_more else 0.0)  # fmt: skip


def _keys_end(webhook: Webhook, now: float) -> float | None:
    """The time from which a request would lack its token or its signature."""
    authentication, signature = webhook.authentication, webhook.signature
    keys: list[Sequence[TimedKey]] = []
    if isinstance(authentication, JwtAuthentication):
        keys.append(authentication.keys)
    if signature is not None:
        keys.append(signature.keys)
    end = min((end_of_keys(one, now) for one in keys), default=inf)
    return None if end == inf else end


def _lane(lane: Lane, now: float) -> LaneStatus:
    breaker, limits = lane.breaker, DrainLimits.of_policy(lane.webhook.delivery)
    return LaneStatus(
        webhook=str(lane.address),
        phase=str(breaker.phase),
        reason=breaker.reason,
        until=breaker.until if breaker.phase == "open" else None,
        in_flight=len(lane.attempts_in_flight),
        attempting=[one.hex() for one in islice(lane.attempts_in_flight.ids(), MAX_ATTEMPTING_IDS)],
        queued=len(lane.queue.known),
        next_due=lane.queue.next_due,
        ordered=lane.ordered,
        paused=lane.paused,
        disabled=not lane.webhook.enabled,
        concurrency=limits.concurrency,
        rate=limits.rate,
        max_age=limits.max_age_seconds,
        keys_end=_keys_end(lane.webhook, now),
        certificate_ends=lane.endpoint.certificate_ends(),
    )
