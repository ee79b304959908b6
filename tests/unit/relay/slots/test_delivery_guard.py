"""Careful delivering after crashes: which slots it begins for, and how long it lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from builders import ACME, delivery
from contract.spool_stores import DAY, OTHER, intake
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.counters import Counters
from hookline.relay.slots.delivery_guard import CAREFUL_DELIVERIES, CAREFUL_SECONDS, DeliveryGuard
from hookline.relay.spool.crash_guard import CRASHES_BEFORE_CARE, CrashGuard
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_thread import SpoolThread

pytestmark = pytest.mark.anyio


class Bench:
    """One relay's guard, on a spool that it holds."""

    def __init__(self, location: Path) -> None:
        self.now = 1000.0
        self.store = spool_store(str(location))
        self.spool = self.store.open(since="now")
        self.counters = Counters()
        log = Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0)
        clock = RelayClock(lambda: self.now, lambda: self.now)
        self.thread = SpoolThread(self.spool, log)
        self.crash_guard = CrashGuard(self.thread, clock=clock, log=log)
        self.guard = DeliveryGuard(self.crash_guard, self.thread, clock=clock, log=log, counters=self.counters)

    def starts(self) -> dict[str, int]:
        return {one.work: one.starts for one in self.store.statistics().spool_status(now=self.now).crashes}


@asynccontextmanager
async def opened(location: Path) -> AsyncIterator[Bench]:
    bench = Bench(location)
    try:
        yield bench
    finally:
        bench.thread.close()
        bench.spool.close()


async def crash(location: Path, times: int) -> None:
    for _ in range(times):
        async with opened(location) as bench:
            await bench.guard.count_starts()


async def store(location: Path) -> None:
    async with opened(location) as bench:
        bench.spool.enqueue(intake(delivery("a"), delivery("b", address=OTHER)), now=1.0, dedupe_window=DAY)


async def test_deliveries_are_taken_in_hand_after_three_crashes(tmp_path: Path) -> None:
    """Not before, and only so many, or for so long."""
    await store(tmp_path / "spool")
    await crash(tmp_path / "spool", CRASHES_BEFORE_CARE - 1)
    async with opened(tmp_path / "spool") as bench:
        await bench.guard.count_starts()
        assert bench.guard.take_in_hand(ACME) is None
    for seconds, most in ((0.0, CAREFUL_DELIVERIES), (CAREFUL_SECONDS, 1)):
        async with opened(tmp_path / "spool") as bench:
            await bench.guard.count_starts()
            take_in_hand = bench.guard.take_in_hand(ACME)
            assert take_in_hand is not None
            taken = 0
            while (in_hand := take_in_hand(b"id")) is not None:
                async with in_hand:
                    taken += 1
                bench.now += seconds
            assert most == taken


async def test_a_slot_without_deliveries_to_send_is_not_counted(tmp_path: Path) -> None:
    """No delivery can end a relay that has none, or whose webhooks are all paused."""
    await crash(tmp_path / "spool", 1)
    async with opened(tmp_path / "spool") as bench:
        assert {} == bench.starts()
    await store(tmp_path / "spool")
    async with opened(tmp_path / "spool") as bench:
        with bench.store.webhook_control() as control:
            control.pause(ACME, now=1.0)
            control.pause(OTHER, now=1.0)
        await bench.guard.count_starts()
        assert {} == bench.starts()
        with bench.store.webhook_control() as control:
            control.resume(OTHER, now=1.0)
        await bench.guard.count_starts()
        assert {"slot 0": 1} == bench.starts()


async def test_the_delivery_in_hand_is_counted_as_dead(tmp_path: Path) -> None:
    """The metrics name the reason."""
    await store(tmp_path / "spool")
    await crash(tmp_path / "spool", CRASHES_BEFORE_CARE)
    async with opened(tmp_path / "spool") as bench:
        await bench.guard.count_starts()
        take_in_hand = bench.guard.take_in_hand(ACME)
        assert take_in_hand is not None
        in_hand = take_in_hand(delivery("a").id)
        assert in_hand is not None
        with pytest.raises(ZeroDivisionError):
            async with in_hand:
                raise ZeroDivisionError
    async with opened(tmp_path / "spool") as bench:
        await bench.guard.count_starts()
        assert {"crashed": 1} == bench.counters.dead
        assert {OTHER} == bench.spool.pending()
