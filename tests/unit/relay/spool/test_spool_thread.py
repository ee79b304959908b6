"""Calls of the spool from other threads."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from hookline.observe.log import Log
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool


def test_a_source_asks_before_the_relay_does(tmp_path: Path) -> None:
    """A source that reaches its broker at once reads its positions before the relay has called the spool."""
    log = Log(lambda line: None, level="info", format="text", clock=lambda: 0.0)

    async def ask(spool: SqliteSpool) -> list[object]:
        with closing(SpoolThread(spool, log, asyncio.get_running_loop())) as thread:
            return [*await asyncio.to_thread(thread.run_from_thread, spool.positions)]

    with closing(SqliteSpool(tmp_path / "spool", since="now")) as spool:
        assert [] == asyncio.run(ask(spool))
