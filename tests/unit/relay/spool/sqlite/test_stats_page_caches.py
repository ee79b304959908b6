"""Statistics read with a small page cache, so that counting a long backlog does not fill the relay's memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from builders import delivery
from contract.spool_stores import put
from hookline.relay.spool.admin import SpoolStatistics
from hookline.relay.spool.sqlite.embedded import EmbeddedStore
from hookline.relay.spool.sqlite.storage_access import StorageAccess

MOST_KIB: Final = 1024
CALLS: Final[dict[str, Callable[[SpoolStatistics], object]]] = {
    "spool_status": lambda statistics: statistics.spool_status(now=200.0),
    "processes": lambda statistics: statistics.processes(),
    "backlogs": lambda statistics: statistics.backlogs(),
    "endpoint_states": lambda statistics: statistics.endpoint_states(),
    "activity": lambda statistics: statistics.activity(0),
}


class Watched(sqlite3.Connection):
    """Remembers at its end how large its page cache could become."""

    cache_sizes: list[int]

    def close(self) -> None:
        self.cache_sizes.append(self.execute("PRAGMA cache_size").fetchone()[0])
        super().close()


def watching(cache_sizes: list[int]) -> StorageAccess:
    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, factory=Watched, **options)
        connection.cache_sizes = cache_sizes
        return connection

    return StorageAccess(connect=connect)


def test_every_call_is_watched() -> None:
    """A new call of the statistics needs an entry in CALLS."""
    assert {name for name in vars(SpoolStatistics) if not name.startswith("_")} == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_statistics_keep_few_pages(name: str, tmp_path: Path) -> None:
    """No call of the statistics may keep more than 1 MiB of the database in memory."""
    with_backlog = EmbeddedStore(tmp_path / "spool").open(since="now")
    put(with_backlog, delivery("a"), now=100.0)
    cache_sizes: list[int] = []
    CALLS[name](EmbeddedStore(tmp_path / "spool", watching(cache_sizes)).statistics())
    with_backlog.close()
    assert [] == [size for size in cache_sizes if not -MOST_KIB <= size < 0]  # negative: in KiB
    assert (name == "processes") == (not cache_sizes)
