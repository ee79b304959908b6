"""Gathers what there is to tell of a running relay: for metrics and status, other commands, the service manager.

What is in memory is looked at in the event loop. What has to be counted in the spool is counted in a thread and on a
connection of its own, and not more often than it costs: neither deliveries nor outcomes wait for a question.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from hookline.errors import HooklineError
from hookline.observe.snapshot import LagStatus, LaneStatus, RelayStatus, SpoolStatus, StatusSnapshot
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane
from hookline.relay.ingest.ingester import Ingester
from hookline.relay.service_manager import status_message
from hookline.relay.sources.source import SourceLag
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import StateWatcher

COLLECT_SECONDS: Final = 1.0
STATS_SECONDS: Final = 2.0
MAX_STATS_SECONDS: Final = 30.0
RATE_SAMPLES: Final = 10
STATUS_SECONDS: Final = 5.0
# A beat costs at most this part of one core, a survey of the spool at most that of another.
_SHARE_OF_BEATS: Final = 0.02
_SHARE_OF_SURVEYS: Final = 0.05


class StatusCollector:
    """Of one run. `spool_max`, `dedupe_window` and `records_max` are daemon.Settings', `tell` speaks to a service
    manager."""

    def __init__(
        self,
        store: SpoolStore,
        *,
        thread: SpoolThread,
        dispatcher: Dispatcher,
        ingester: Ingester,
        applied: StateWatcher,
        counters: Counters,
        clock: RelayClock,
        process: int,
        version: str,
        spool_max: int,
        dedupe_window: float,
        records_max: int,
        tell: Callable[[str], None],
    ) -> None:
        self._statistics = store.statistics()
        self._thread = thread
        self._dispatcher = dispatcher
        self._ingester = ingester
        self._state_watcher = applied
        self._counters = counters
        self._clock = clock
        self._process = process
        self._version = version
        self._spool_max = spool_max
        self._dedupe_window = dedupe_window
        self._records_max = records_max
        self._notify_service_manager = tell
        self._publisher = store.status_publisher()
        self._started = clock.now()
        self._phase: str | None = "starting"
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=RATE_SAMPLES + 1)
        self._moved: dict[str, tuple[int, int, float]] = {}
        self._stats_lock = asyncio.Lock()
        self._stats: SpoolStatus | None = None
        self._next_stats = 0.0
        self._probe: asyncio.Task[None] | None = None

    # -- what the daemon tells

    def ready(self) -> None:
        self._phase = None

    def stopping(self) -> None:
        self._phase = "stopping"

    def close(self) -> None:
        """The relay has come to its end."""
        self._publisher.withdraw()

    async def run(self) -> None:
        """Say once a second how things are, until cancelled. Raises SpoolUnusable when the spool is damaged."""
        next_status = 0.0
        while True:
            started = time.monotonic()
            tally = await self._thread.call(self._thread.spool.tally)
            self._samples.append((started, tally.get("read", 0), tally.get("delivered", 0)))
            await asyncio.to_thread(self._publisher.publish, self.relay())
            if started >= next_status:
                next_status = started + STATUS_SECONDS
                self._notify_service_manager(status_message(tally["pending"], await self.oldest(), self.unready()))
            cost = time.monotonic() - started
            await asyncio.sleep(max(COLLECT_SECONDS, min(cost / _SHARE_OF_BEATS, 10 * COLLECT_SECONDS)))

    # -- what is asked

    def unready(self) -> str | None:
        """Why the relay does not do its work at the moment: it starts or stops, or a disk or the state is missing."""
        if self._phase is not None:
            return self._phase
        if self._thread.stalled is not None:
            return self._thread.stalled
        unreadable = self._state_watcher.unreadable
        return None if unreadable is None else f"the state cannot be read: {unreadable}"

    async def answers(self) -> None:
        """Return once the spool's thread does. Whoever asks meanwhile waits for the same answer."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._thread.call(lambda: None))
        await asyncio.shield(self._probe)

    async def oldest(self) -> float | None:
        """The age of the oldest pending delivery in seconds; None also when that cannot be found out."""
        try:
            return (await self.spool()).oldest
        except HooklineError:
            return None

    async def spool(self) -> SpoolStatus:
        """How the spool was some seconds ago at most. Raises SpoolUnusable."""
        async with self._stats_lock:
            started = time.monotonic()
            if self._stats is None or started >= self._next_stats:
                self._stats = await asyncio.to_thread(self._statistics.spool_status, now=self._clock.now())
                cost = time.monotonic() - started
                rest = max(STATS_SECONDS, min(cost / _SHARE_OF_SURVEYS, MAX_STATS_SECONDS))
                self._next_stats = started + cost + rest
            return self._stats

    async def report(self) -> StatusSnapshot:
        """Everything. Raises SpoolUnusable."""
        return StatusSnapshot(spool=await self.spool(), relay=self.relay(), counts=self._counters.copied())

    def relay(self) -> RelayStatus:
        """What is in memory, at this moment."""
        now = self._clock.now()
        read, delivered = self._rates()
        source = self._ingester.source
        lags = source.lags() if source is not None else []
        told = [self._lag(one, self._clock.elapsed()) for one in lags]
        self._moved = {one.source: self._moved[one.source] for one in lags}
        return RelayStatus(
            version=self._version,
            process=self._process,
            started=self._started,
            at=now,
            unready=self.unready(),
            stalled=self._thread.stalled,
            unreadable=self._state_watcher.unreadable,
            full=self._ingester.full,
            serial=self._state_watcher.serial,
            clock_steps=self._clock.steps,
            read_rate=read,
            delivered_rate=delivered,
            spool_max=self._spool_max,
            dedupe_window=self._dedupe_window,
            records_max=self._records_max,
            lanes=[_lane(lane) for lane in self._dispatcher.lanes.values()],
            lags=told,
        )

    def _rates(self) -> tuple[float, float]:
        """Events read and delivered by second, over the last beats."""
        if len(self._samples) < 2:
            return 0.0, 0.0
        (then, read_then, delivered_then), (now, read, delivered) = self._samples[0], self._samples[-1]
        seconds = max(now - then, 0.001)
        return round((read - read_then) / seconds, 1), round((delivered - delivered_then) / seconds, 1)

    def _lag(self, lag: SourceLag, now: float) -> LagStatus:
        """`seconds` is as exact as this is called often."""
        line, offset = lag.position.line, lag.position.offset
        seen = self._moved.get(lag.source)
        if seen is None or seen[:2] != (line, offset) or lag.unread_bytes == 0:
            seen = self._moved[lag.source] = (line, offset, now)
        return LagStatus(name=lag.source, line=line, offset=offset, behind=lag.unread_bytes,
                        seconds=max(0.0, now - seen[2]) if lag.unread_bytes else 0.0)  # fmt: skip


def _lane(lane: Lane) -> LaneStatus:
    gate = lane.breaker
    return LaneStatus(
        webhook=str(lane.address),
        phase=str(gate.phase),
        reason=gate.reason,
        until=gate.until if gate.phase == "open" else None,
        in_flight=lane.busy,
        queued=len(lane.known),
        next_due=lane.next_due,
        ordered=lane.ordered,
        paused=lane.paused,
        disabled=not lane.webhook.enabled,
    )
