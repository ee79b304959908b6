"""The relay: reads its sources into the spool while the dispatcher empties it, to the end or until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from itertools import groupby
from typing import Final

import msgspec

from hookline.errors import HooklineError
from hookline.observe.log import Log
from hookline.relay.dispatch import Dispatcher, SpoolThread
from hookline.relay.intake import Reading, take, take_again
from hookline.relay.routing import Defaults, Routes
from hookline.relay.sources.port import LineSource, Position
from hookline.relay.spool.port import Intake
from hookline.state.port import StateStore

SUSPICIOUS_LINES: Final = 1000
WATCH_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 0.05

OpenSource = Callable[[Iterable[Position]], LineSource]
"""Opens everything that was named, from the checkpoints of the spool."""


class Ending(Enum):
    """Why a run is over."""

    SETTLED = auto()
    WAITED_LONG_ENOUGH = auto()
    STOPPED = auto()
    WRONG_FORMAT = auto()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; `spool_max` in pending deliveries."""

    format: str = "auto"
    defaults: Defaults
    dedupe_window: float = 24 * 3600.0
    max_wait: float = 600.0
    grace: float = 20.0
    spool_max: int = 1_000_000


class Progress(msgspec.Struct, frozen=True):
    """For a progress bar: bytes of the input read so far and in all (None for a pipe), and the spool's tally."""

    bytes_read: int
    bytes_total: int | None
    tally: dict[str, int]


class Relay:
    """One run. `report` is called some times a second when given. `clock` gives Unix seconds."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: StateStore,
        thread: SpoolThread,
        dispatcher: Dispatcher,
        open_source: OpenSource,
        log: Log,
        clock: Callable[[], float],
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._thread = thread
        self._spool = thread.spool
        self._dispatcher = dispatcher
        self._open_source = open_source
        self._log = log
        self._clock = clock
        self._report = report
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._asked_to_stop = asyncio.Event()
        self._reload_now = asyncio.Event()
        self._version: tuple[str | None, int] = (None, 0)
        self._reading: Reading | None = None
        self._source: LineSource | None = None
        self._lines = 0
        self._any_readable = False

    def stop(self) -> None:
        """Stop reading, finish what is in flight, commit, end."""
        self._asked_to_stop.set()

    async def run(self) -> Ending:
        """Raises SpoolUnusable when the disk refuses, HooklineError when a source cannot be read."""
        await self._configure()
        stopped = asyncio.create_task(self._asked_to_stop.wait())
        main = asyncio.create_task(self._read_and_settle())
        background = [
            asyncio.create_task(work) for work in (self._dispatcher.run(), self._watch(), self._keep_reporting())
        ]
        tasks = [stopped, main, *background]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for failed in (task for task in (main, *background) if task.done()):
                failed.result()
            return main.result() if main.done() else Ending.STOPPED
        finally:
            await self._end(tasks)

    async def _end(self, tasks: list[asyncio.Task[object]] | list[asyncio.Task]) -> None:  # type: ignore[type-arg]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._reader.shutdown)
        if self._source is not None:
            self._source.close()
        await self._dispatcher.stop(self._settings.grace)

    # -- reading

    async def _read_and_settle(self) -> Ending:
        await self._read_again()
        self._source = self._open_source(await self._thread.call(self._spool.positions))
        if not await self._read(self._source):
            return Ending.WRONG_FORMAT
        return await self._settle()

    async def _read_again(self) -> None:
        """Rejected lines that `dead replay` put back: their cause may be gone."""
        while lines := await self._thread.call(self._spool.to_read_again, limit=500):
            assert self._reading is not None
            for source, group in groupby(lines, key=lambda one: one.source):
                await self._append(take_again(list(group), source, self._reading))

    async def _read(self, source: LineSource) -> bool:
        """Take a source into the spool to its end. False: it looks like the wrong format."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_for_room()
            intake, end = await loop.run_in_executor(self._reader, self._next_intake, source)
            if intake.read or intake.position is not None:
                await self._append(intake)
                if self._looks_wrong(intake):
                    return False
            if end:
                for name, size in source.unfinished():
                    self._log.warning("unfinished last line left for the next run", source=name, bytes=size)
                return True

    async def _append(self, intake: Intake) -> None:
        window = self._settings.dedupe_window
        await self._thread.call(self._spool.append, intake, now=self._clock(), dedupe_window=window)
        self._dispatcher.arrived({taken.delivery.address for taken in intake.deliveries})
        for refused in intake.rejected:
            self._log.info("rejected", source=intake.source, line=refused.line.number, reason=refused.reason)

    def _next_intake(self, source: LineSource) -> tuple[Intake, bool]:
        """In the reader's thread."""
        assert self._reading is not None
        batch = source.read()
        return take(batch, self._reading), batch.end

    def _looks_wrong(self, intake: Intake) -> bool:
        self._lines += intake.read
        self._any_readable |= len(intake.rejected) < intake.read
        return not self._any_readable and self._lines >= SUSPICIOUS_LINES

    async def _wait_for_room(self) -> None:
        """A full spool stops reading for all; the pipe's writer waits, a file's position stays."""
        warned = False
        while (pending := (await self._thread.call(self._spool.tally))["pending"]) >= self._settings.spool_max:
            if not warned:
                self._log.warning("spool full, reading pauses", pending=pending, most=self._settings.spool_max)
                warned = True
            await asyncio.sleep(LOOK_SECONDS)

    # -- settling

    async def _settle(self) -> Ending:
        """Wait until nothing is pending but what stands behind disabled webhooks, or for `max_wait` seconds."""
        deadline = self._clock() + self._settings.max_wait
        while self._clock() < deadline:
            if self._dispatcher.idle() and not await self._still_pending():
                return Ending.SETTLED
            await asyncio.sleep(LOOK_SECONDS)
        return Ending.WAITED_LONG_ENOUGH

    async def _still_pending(self) -> bool:
        held = {address for address, lane in self._dispatcher.lanes.items() if lane.held}
        return bool(await self._thread.call(self._spool.pending) - held)

    # -- configuration

    async def _watch(self) -> None:
        """Pick up every apply while running; a state that cannot be read meanwhile changes nothing."""
        while True:
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._reload_now.wait()
            except TimeoutError:
                pass
            self._reload_now.clear()
            try:
                if await asyncio.to_thread(self._store.version) != self._version:
                    await self._configure()
            except HooklineError as error:
                self._log.warning("state cannot be read, going on as before", reason=error.message)

    async def _configure(self) -> None:
        snapshot = await asyncio.to_thread(self._store.read)
        self._version = (snapshot.lineage, snapshot.serial)
        self._reading = Reading(
            routes=Routes.of(snapshot), defaults=self._settings.defaults, format=self._settings.format
        )
        await self._dispatcher.configure({address: one.webhook for address, one in snapshot.webhooks.items()})
        self._log.debug("state read", serial=snapshot.serial, webhooks=len(snapshot.webhooks))

    # -- being watched, being told

    async def _keep_reporting(self) -> None:
        while self._report is not None:
            done, total = self._source.progress() if self._source is not None else (0, None)
            self._report(Progress(done, total, await self._thread.call(self._spool.tally)))
            await asyncio.sleep(REPORT_SECONDS)
        await asyncio.Event().wait()

    def obey_signals(self) -> None:
        """SIGTERM and SIGINT stop, a second one ends at once (nothing is lost either way); SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload_now.set)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        if self._asked_to_stop.is_set():
            os._exit(128 + number)
        self._log.info("stopping", signal=number.name, grace=self._settings.grace)
        self.stop()
