"""The dedupe window of the groups that are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import delivery, settlement
from contract.spool_stores import fresh, intake
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.ingest.group_writer import GroupWriter
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_thread import SpoolThread
from no_lanes import NoLanes


@pytest.mark.anyio
@pytest.mark.parametrize(("window", "duplicates"), [(0.0, 0), (60.0, 1)])
async def test_a_window_of_zero_is_off_after_the_clock_was_set_forward(
    tmp_path: Path, window: float, duplicates: int
) -> None:
    """Other windows begin before the clock was set."""
    wall, even = [1000.0], [0.0]
    clock = RelayClock(lambda: wall[0], lambda: even[0])
    spool = spool_store(str(tmp_path / "spool")).open(since="now")
    log = Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0)
    thread = SpoolThread(spool, log)
    writer = GroupWriter(thread, NoLanes(), dedupe_window=window, clock=clock, log=log)
    wall[0], even[0] = 5000.0, 1.0
    assert 1 == await writer.write(intake(delivery("a")))
    spool.settle([settlement(fresh(spool)[0])], now=5000.0)
    wall[0], even[0] = 5001.0, 2.0
    assert 1 - duplicates == await writer.write(intake(delivery("a")))
    assert duplicates == spool.tally().get("duplicates", 0)
    thread.close()
    spool.close()
