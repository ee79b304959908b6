"""The relay: reads its sources into the spool while the dispatcher empties it, to the end or until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

import msgspec

from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.ingest.ingester import Ingester, IngestResult
from hookline.relay.routing import Defaults
from hookline.relay.service_manager import READY, STOPPING, reloading
from hookline.relay.spool.spool import Retention
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import StateWatcher
from hookline.relay.status_collector import StatusCollector

WATCH_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 0.2
PENDING_CHECK_SECONDS: Final = 0.05
MAX_PENDING_CHECK_SECONDS: Final = 0.5


class Ending(Enum):
    """Why a run is over."""

    SETTLED = auto()
    WAITED_LONG_ENOUGH = auto()
    STOPPED = auto()
    WRONG_FORMAT = auto()
    NO_ROOM = auto()


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; `spool_max` in pending deliveries, `records_max` in records of settled ones."""

    format: str = "auto"
    defaults: Defaults
    dedupe_window: float = 24 * 3600.0
    retain: float = 30 * 24 * 3600.0
    records_max: int = 5_000_000
    max_wait: float = 600.0
    grace: float = 20.0
    spool_max: int = 1_000_000

    @property
    def retention(self) -> Retention:
        """How much is kept of what is settled."""
        return Retention(self.retain, self.records_max)


class Progress(msgspec.Struct, frozen=True):
    """For a progress bar: bytes of the input read so far and in all (None for a pipe), the spool's tally, and the age
    in seconds of the oldest pending delivery. `draining`: nothing is read any more; `at` is in seconds
    since the start."""

    bytes_read: int
    bytes_total: int | None
    tally: dict[str, int]
    oldest: float | None
    draining: bool
    at: float


class Relay:
    """One run. `report` is called some times a second when given, `notify` with what a service manager is told."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        applied: StateWatcher,
        dispatcher: Dispatcher,
        ingester: Ingester,
        thread: SpoolThread,
        status_collector: StatusCollector,
        clock: RelayClock,
        log: Log,
        notify: Callable[[str], None],
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        self._settings = settings
        self._state_watcher = applied
        self._dispatcher = dispatcher
        self._ingester = ingester
        self._thread = thread
        self._spool = thread.spool
        self._status_collector = status_collector
        self._clock = clock
        self._log = log
        self._notify = notify
        self._report = report
        self._asked_to_stop = asyncio.Event()
        self._reload_now = asyncio.Event()
        self._settling = False

    def stop(self) -> None:
        """Stop reading, finish what is in flight, commit, end."""
        self._asked_to_stop.set()

    async def run(self) -> Ending:
        """Raises SpoolUnusable when the spool is damaged, HooklineError when a source or the state cannot be read."""
        await self._state_watcher.read()
        self._status_collector.ready()
        self._notify(READY)
        stopped = asyncio.create_task(self._asked_to_stop.wait())
        reading = asyncio.create_task(self._ingester.run())
        main = asyncio.create_task(self._settle_after(reading))
        background = [
            asyncio.create_task(work)
            for work in (self._dispatcher.run(), self._watch(), self._keep_reporting(), self._status_collector.run())
        ]
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

    async def _finish_reading(self, reading: asyncio.Task[IngestResult], background: list[asyncio.Task[Any]]) -> None:
        """What was taken out of a pipe is nowhere else any more: it goes into the spool before the end."""
        self._ingester.finish()
        await asyncio.wait([reading, *background], timeout=self._settings.grace, return_when=asyncio.FIRST_COMPLETED)

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        self._ingester.finish()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._ingester.close()
        await self._dispatcher.stop(self._settings.grace)

    async def _settle_after(self, reading: asyncio.Task[IngestResult]) -> Ending:
        match await asyncio.shield(reading):
            case IngestResult.WRONG_FORMAT:
                return Ending.WRONG_FORMAT
            case IngestResult.NO_ROOM:
                return Ending.NO_ROOM
            case IngestResult.COMPLETE:
                return await self._settle()

    async def _settle(self) -> Ending:
        """Wait until nothing is pending but what stands behind held webhooks, or for `max_wait` seconds."""
        self._settling = True
        even = asyncio.get_running_loop().time  # a clock that is set must not end the wait
        deadline = even() + self._settings.max_wait
        pause = PENDING_CHECK_SECONDS
        while even() < deadline:
            if self._dispatcher.idle():
                if not await self._still_pending():
                    return Ending.SETTLED
                pause = min(2 * pause, MAX_PENDING_CHECK_SECONDS)
            else:
                pause = PENDING_CHECK_SECONDS
            await asyncio.sleep(pause)
        return Ending.WAITED_LONG_ENOUGH

    async def _still_pending(self) -> bool:
        if not (await self._thread.call(self._spool.tally))["pending"]:
            return False
        return bool(await self._thread.call(self._spool.pending) - self._dispatcher.held())

    # -- being watched, being told

    async def _watch(self) -> None:
        """Each second, and when told to: is the clock still right, was something applied or put back?"""
        while True:
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._reload_now.wait()
            except TimeoutError:
                pass
            told_to = self._reload_now.is_set()
            self._reload_now.clear()
            if step := self._clock.take_step():
                self._dispatcher.clock_stepped(step)
            await self._state_watcher.refresh()
            if told_to:
                self._notify(READY)
            await self._ingester.read_replayed_lines()

    async def _keep_reporting(self) -> None:
        while self._report is not None:
            source = self._ingester.source
            done, total = source.progress() if source is not None else (0, None)
            tally = await self._thread.call(self._spool.tally)
            oldest = await self._status_collector.oldest()
            self._report(Progress(done, total, tally, oldest, self._settling, self._clock.elapsed()))
            await asyncio.sleep(REPORT_SECONDS)
        await asyncio.Event().wait()

    def obey_signals(self) -> None:
        """SIGTERM and SIGINT stop, a second one ends at once (nothing is lost either way); SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._asked_to_stop.is_set():
            os._exit(128 + number)
        self._log.info("stopping", signal=number.name, grace=self._settings.grace)
        self.stop()

    def _on_reload_signal(self) -> None:
        self._log.info("reloading", signal="SIGHUP")
        self._notify(reloading())
        self._state_watcher.reload()
        self._reload_now.set()
