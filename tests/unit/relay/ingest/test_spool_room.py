"""The pauses of a full spool."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.observe.log import Log
from hookline.relay.ingest.spool_room import SpoolRoom
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_thread import SpoolThread


@pytest.mark.anyio
async def test_a_full_spool_is_reported_once_a_minute(tmp_path: Path) -> None:
    """Reading resumes when a tenth of the spool is free. A spool that fills again at once is not reported again."""
    lines: list[str] = []
    spool = spool_store(str(tmp_path / "spool")).open(since="now")
    log = Log(lines.append, level="warning", format="text", clock=lambda: 0.0)
    thread = SpoolThread(spool, log)
    room = SpoolRoom(thread, held=frozenset, max_pending=10, max_wait=None, log=log)
    tallies = iter([9, 8, 9, 8, 9, 8])
    spool.tally = lambda: {"pending": next(tallies)}  # type: ignore[method-assign]
    for _ in range(3):
        assert await room.wait(10)
        assert not room.full
    assert ["spool full, reading pauses", "reading resumes"] == [
        next(text for text in ("spool full, reading pauses", "reading resumes") if text in line) for line in lines
    ]
    assert [] == list(tallies)
    thread.close()
    spool.close()
