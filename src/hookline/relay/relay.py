"""The relay: ingests its sources into the spool and delivers from it, until all is settled or it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any, Final

import msgspec

from hookline.errors import HooklineError
from hookline.observe.log import Log
from hookline.relay.activity_recorder import ActivityRecorder
from hookline.relay.clock import monotonic_microseconds
from hookline.relay.ingest.ingester import IngestResult
from hookline.relay.routing import Defaults
from hookline.relay.service_manager import READY, STOPPING, reloading
from hookline.relay.slots.ownership import Ownership
from hookline.relay.spool.spool_values import Retention
from hookline.relay.status_collector import RelayParts, StatusCollector
from hookline.relay.summary import InputEnd

WATCH_SECONDS: Final = 1.0
PROGRESS_SECONDS: Final = 0.2
# A run that ends asks this often whether the other processes have settled their share.
SETTLED_POLL_SECONDS: Final = 0.25


class Ending(Enum):
    """Why a run ended. SETTLED: nothing of its input is pending, nor anything that was stored before. HELD: only
    deliveries of disabled and paused webhooks are."""

    SETTLED = auto()
    HELD = auto()
    TIMED_OUT = auto()
    STOPPED = auto()
    WRONG_FORMAT = auto()
    SPOOL_FULL = auto()


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run. `max_pending` limits pending deliveries, `max_records` the records of settled ones.
    `until_stopped`: the run goes on after the end of its input."""

    format: str = "auto"
    defaults: Defaults
    dedupe_window_seconds: float = 24 * 3600.0
    retain_seconds: float = 30 * 24 * 3600.0
    max_records: int = 5_000_000
    max_wait_seconds: float = 600.0
    grace_seconds: float = 20.0
    max_pending: int = 1_000_000
    until_stopped: bool = False

    @property
    def retention(self) -> Retention:
        """How long, and how many, records of settled deliveries the spool keeps."""
        return Retention(self.retain_seconds, self.max_records)


class Progress(msgspec.Struct, frozen=True):
    """Values for a progress bar.

    `bytes_read` and `bytes_total` count the input (None for a pipe). `tally` counts this run, except `pending`:
    all pending deliveries. `oldest` is the age of the oldest pending delivery in seconds. `draining`:
    the input has ended. `at`: seconds since the start.
    """

    bytes_read: int
    bytes_total: int | None
    tally: dict[str, int]
    oldest: float | None
    draining: bool
    at: float


class Relay:
    """One run."""

    def __init__(
        self,
        settings: RelaySettings,
        parts: RelayParts,
        *,
        status_collector: StatusCollector,
        activity_recorder: ActivityRecorder,
        log: Log,
        notify: Callable[[str], None],
        on_progress: Callable[[Progress], None] | None = None,
        ownership: Ownership | None = None,
    ) -> None:
        """Create a relay that has not started.

        Args:
            settings: The settings.
            parts: The parts that do the work.
            status_collector: Collects their status.
            activity_recorder: Records the activity of each minute.
            log: Receives the lines about signals.
            notify: Sends a state to the service manager.
            on_progress: Called several times per second, if given.
            ownership: The endpoints that this process owns on a shared spool. None: it owns all.
        """
        self._ownership = ownership
        self._settings = settings
        self._parts = parts
        self._thread = parts.thread
        self._status_collector = status_collector
        self._activity_recorder = activity_recorder
        self._log = log
        self._notify = notify
        self._on_progress = on_progress
        self._stop_requested = asyncio.Event()
        self._reload_now = asyncio.Event()
        self._draining = False

    @asynccontextmanager
    async def lease_kept(self) -> AsyncIterator[None]:
        """Renew the lease on a shared spool, also while the relay stops and its last attempts end."""
        if self._ownership is None:
            yield
            return
        self._ownership.start()
        try:
            yield
        finally:
            await self._ownership.close()

    async def run(self) -> Ending:
        """Run to the end.

        Raises:
            SpoolUnusable: The spool is damaged.
            HooklineError: A source or the state cannot be read.
        """
        try:
            ending = await self._run()
        except (HooklineError, OSError):  # no line and no delivery raises these
            await self._parts.crash_guard.end()
            raise
        await self._parts.crash_guard.end()
        return ending

    async def _run(self) -> Ending:
        if self._ownership is None:  # otherwise, when it takes slots over
            await self._parts.delivery_guard.count_starts()
        if not await self._read_state():
            return Ending.STOPPED
        self._status_collector.ready()
        self._notify(READY)
        stopped = asyncio.create_task(self._stop_requested.wait())
        reading = asyncio.create_task(self._parts.ingester.run())
        main = asyncio.create_task(self._drain_after(reading))
        works = [self._deliver(), self._watch(), self._report_progress(), self._status_collector.run(),
                 self._activity_recorder.run()]  # fmt: skip
        if self._ownership is not None:
            works.append(self._ownership.run())
        background = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait([stopped, main, *background], return_when=asyncio.FIRST_COMPLETED)
            if not main.done():
                await self._finish_reading(reading, background)
            for failed in (task for task in (main, *background) if task.done()):
                failed.result()
            return main.result() if main.done() else Ending.STOPPED
        finally:
            self._status_collector.stopping()
            self._notify(STOPPING)
            await self._end([stopped, reading, main, *background])

    async def _read_state(self) -> bool:
        """Read the state for the first time. A process of a shared spool waits while it cannot be read: the database
        may be away since this process has joined. Returns False if the relay is stopped before that."""
        if self._ownership is None:
            await self._parts.state_watcher.read()
            return True
        while not self._stop_requested.is_set():
            if await self._parts.state_watcher.refresh():
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._stop_requested.wait()
        return False

    async def _deliver(self) -> None:
        if await self._parts.delivery_guard.wait():
            await self._parts.dispatcher.run()
        await asyncio.Event().wait()

    async def _finish_reading(self, reading: asyncio.Task[IngestResult], background: list[asyncio.Task[Any]]) -> None:
        """Store the lines that were already read, because lines from a pipe exist nowhere else."""
        self._parts.ingester.finish()
        await asyncio.wait(
            [reading, *background], timeout=self._settings.grace_seconds, return_when=asyncio.FIRST_COMPLETED
        )

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._parts.ingester.finish()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._parts.ingester.close()
        await self._parts.dispatcher.stop(self._settings.grace_seconds)
        await self._activity_recorder.record_last()

    async def _drain_after(self, reading: asyncio.Task[IngestResult]) -> Ending:
        match await asyncio.shield(reading):
            case IngestResult.WRONG_FORMAT:
                return Ending.WRONG_FORMAT
            case IngestResult.NO_ROOM:
                return Ending.SPOOL_FULL
            case IngestResult.COMPLETE:
                return await self._drain()

    async def _drain(self) -> Ending:
        """Wait until only disabled and paused webhooks have pending deliveries, at most for `max_wait_seconds`. On a
        shared spool, these are the deliveries that are stored when the input ends, whoever settles them."""
        if self._settings.until_stopped:
            await asyncio.Event().wait()
        self._draining = True
        self._parts.dispatcher.expect_end()
        try:
            async with asyncio.timeout(self._settings.max_wait_seconds):
                if self._ownership is not None:
                    return await self._all_settled(self._ownership)
                return await self._own_settled()
        except TimeoutError:
            return Ending.TIMED_OUT

    async def _own_settled(self) -> Ending:
        """Wait for the lanes of this process, which owns all endpoints."""
        dispatcher = self._parts.dispatcher
        while True:
            dispatcher.round_ended.clear()  # before the check, so that a round that ends during it counts
            if dispatcher.idle():
                pending = await self._thread.run(self._thread.spool.pending)
                if pending <= dispatcher.suspended_addresses():
                    return Ending.HELD if pending else Ending.SETTLED
            await dispatcher.round_ended.wait()

    async def _all_settled(self, ownership: Ownership) -> Ending:
        """Wait for all processes of a shared spool. Others may store more in the meantime, which does not count."""
        place = await ownership.latest_place()
        while True:
            pending = await ownership.pending_until(place)
            if all(pending.values()):
                return Ending.HELD if pending else Ending.SETTLED
            await asyncio.sleep(SETTLED_POLL_SECONDS)

    async def _watch(self) -> None:
        """Check the clock and the state each second, and at once after SIGHUP."""
        while True:
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._reload_now.wait()
            except TimeoutError:
                pass
            reload_requested = self._reload_now.is_set()
            self._reload_now.clear()
            if step := self._parts.clock.take_step():
                self._parts.dispatcher.clock_stepped(step)
            await self._parts.state_watcher.refresh()
            if reload_requested:
                self._notify(READY)
            if self._parts.dispatcher.has_replayed_lines:
                self._parts.dispatcher.has_replayed_lines = False
                await self._parts.ingester.replay.read()

    async def _report_progress(self) -> None:
        before: dict[str, int] = {}
        while self._on_progress is not None:
            source = self._parts.ingester.source
            done, total = source.progress() if source is not None else (0, None)
            whole = await self._thread.run(self._thread.spool.tally)
            before = before or whole
            tally = {name: n - (before.get(name, 0) if name != "pending" else 0) for name, n in whole.items()}
            oldest = await self._status_collector.oldest()
            self._on_progress(Progress(done, total, tally, oldest, self._draining, self._parts.clock.elapsed()))
            await asyncio.sleep(PROGRESS_SECONDS)
        await asyncio.Event().wait()

    @property
    def input_end(self) -> InputEnd:
        """The rests of the sources, after the run."""
        return self._parts.ingester.input_end

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT stop the relay, a second one ends it at once; neither loses events. SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._stop_requested.is_set():
            os._exit(128 + number)
        self._stop_requested.set()
        self._parts.crash_guard.end_waits()
        self._log.info("stopping", signal=number.name, grace=self._settings.grace_seconds)

    def _on_reload_signal(self) -> None:
        self._parts.state_watcher.reload()
        self._reload_now.set()
        self._log.info("reloading", signal="SIGHUP")
        self._notify(reloading(monotonic_microseconds()))
