"""Which ids a dry run has come across, however many they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hookline.errors import HooklineError
from hookline.relay.ingest.dry_run import SeenIds

MANY = 300_000


def ids(most: int) -> Iterator[bytes]:
    """Scattered like hashes."""
    return ((number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(16, "little") for number in range(most))


def resident() -> int:
    """Bytes of memory that this process has at the moment."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_id_is_new_once() -> None:
    """The first time an id comes, and no other time."""
    with closing(SeenIds()) as seen:
        assert [True, True, False] == [seen.add(identity) for identity in (b"a" * 16, b"b" * 16, b"a" * 16)]


def test_any_number_of_ids_costs_disk_and_not_memory() -> None:
    """A huge log is rehearsed in the memory of a small one, and every repetition in it is found."""
    with closing(SeenIds()) as seen:
        before = resident()
        assert MANY == sum(seen.add(identity) for identity in ids(MANY))
        assert resident() - before < 10 << 20
        assert 0 == sum(seen.add(identity) for identity in ids(1000))


def test_no_room_is_said() -> None:
    """Where the file for it cannot grow, the dry run ends with a message that names the way out."""
    with closing(SeenIds()) as seen:
        seen._connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(HooklineError, match="cannot store the delivery ids"):
            sum(map(seen.add, ids(MANY)))
