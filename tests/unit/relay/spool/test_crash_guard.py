"""The waits of starts after crashes, and the item in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.errors import SpoolStalled
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.spool.crash_guard import CrashGuard, start_wait_seconds
from hookline.relay.spool.crash_notes import CrashNote
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_thread import SpoolThread

pytestmark = pytest.mark.anyio
WORK = "source events"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = spool_store(str(tmp_path / "spool")).open(since="now")
    yield opened
    opened.close()


@pytest.fixture
def guard(spool: Spool) -> Iterator[CrashGuard]:
    log = Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0)
    thread = SpoolThread(spool, log)
    yield CrashGuard(thread, clock=RelayClock(), log=log)
    thread.close()


def test_the_waits_grow_up_to_a_limit() -> None:
    """The first start after progress waits for nothing."""
    assert [0, 1, 2, 4, 8, 16, 30, 30, 30] == [start_wait_seconds(n) for n in (*range(8), 10_000)]


async def test_a_wait_names_its_work_and_ends_with_the_relay(guard: CrashGuard) -> None:
    """Without a signal it would last for half a minute. No work begins afterwards."""
    waiting = asyncio.create_task(guard.wait("slot 0", CrashNote(8)))
    await asyncio.sleep(0)
    reasons = [guard.waiting]
    guard.end_waits()
    assert await waiting is False
    assert ["slot 0: crashed 8 times without progress, waits 30 s", None] == [*reasons, guard.waiting]
    assert await guard.wait("slot 0", CrashNote()) is False


async def test_one_item_is_in_hand_at_a_time(guard: CrashGuard, spool: Spool) -> None:
    """Of all works: after a crash, a second one in hand would be blamed too."""
    for work in (WORK, "slot 0"):
        await guard.count_start(work)
    order: list[str] = []

    async def take(work: str) -> None:
        async with guard.in_hand(work, b"item"):
            order.append(f"{work} begins")
            await asyncio.sleep(0.01)
            order.append(f"{work} ends")

    await asyncio.gather(take(WORK), take("slot 0"), take(WORK))
    assert [f"{work} {what}" for work in (WORK, "slot 0", WORK) for what in ("begins", "ends")] == order


@pytest.mark.parametrize(("error", "items"), [(asyncio.CancelledError, ()), (RecursionError, (b"item",))])
async def test_an_error_in_an_item_counts_like_a_crash(
    guard: CrashGuard, spool: Spool, error: type[BaseException], items: tuple[bytes, ...]
) -> None:
    """It ends the relay. A stop of the relay in between does not."""
    await guard.count_start(WORK)
    with pytest.raises(error):
        async with guard.in_hand(WORK, b"item"):
            raise error
    assert CrashNote(1, items) == spool.count_start(WORK, now=1.0)


async def test_a_start_that_cannot_be_counted_is_left_out(guard: CrashGuard, spool: Spool) -> None:
    """A full disk stops no delivery."""

    def full(*_arguments: object, **_options: object) -> CrashNote:
        raise SpoolStalled("the disk is full")

    spool.count_start = full  # type: ignore[method-assign]
    assert CrashNote() == await guard.count_start(WORK)
