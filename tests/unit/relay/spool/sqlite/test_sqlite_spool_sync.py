"""When the embedded spool syncs to the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders import delivery, settlement
from contract.spool_stores import fresh, put
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

Open = Callable[[Path], Spool]


@pytest.fixture
def opened() -> Open:
    return lambda directory: SqliteSpool(directory, since="now")


@pytest.fixture
def spool(opened: Open, tmp_path: Path) -> Iterator[Spool]:
    one = opened(tmp_path / "spool")
    yield one
    one.close()


def test_outcomes_are_synced_also_when_nothing_follows(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every group of outcomes is synced. The next `changed_by_others` syncs the rest, once."""
    synced: list[str] = []
    sync = os.fsync

    def counting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    put(spool, delivery("a"), now=100.0)
    spool.settle([settlement(fresh(spool)[0])], now=100.1)
    for _ in range(2):
        spool.changed_by_others()
    assert ["spool.db-wal"] == synced
