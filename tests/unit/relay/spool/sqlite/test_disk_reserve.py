"""The disk space that is reserved for outcomes: which writes may use it, and when."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hookline.errors import SpoolFull, SpoolStalled
from hookline.model import Address
from hookline.relay.spool.spool_values import IngestBatch
from hookline.relay.spool.sqlite import database
from hookline.relay.spool.sqlite.disk_reserve import DiskReserve
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

NOTHING = IngestBatch(source="events", position=None, read=0, deliveries=[], skipped={"journey": 1}, rejected=[])


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteSpool]:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    one = SqliteSpool(tmp_path / "spool", since="now")
    yield one
    one.close()


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(descriptor: int, offset: int, length: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refused)


def test_nothing_is_read_while_it_is_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk has no room for the reserve, ingest waits and outcomes are recorded."""
    with monkeypatch.context() as full:
        refuse(full, errno.ENOSPC)
        spool = SqliteSpool(tmp_path / "spool", since="now")
        with pytest.raises(SpoolFull, match="less room than the 40 MiB that are kept for outcomes"):
            spool.enqueue(NOTHING, now=0.0, dedupe_window=0.0)
        spool.settle([], now=1.0)
    spool.enqueue(NOTHING, now=2.0, dedupe_window=0.0)
    assert {"skipped:journey": 1, "pending": -1} == spool.tally()
    spool.close()


def test_a_file_system_without_reservations_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot reserve space is not full: ingest continues."""
    refuse(monkeypatch, errno.EOPNOTSUPP)
    assert DiskReserve(tmp_path).acquire()


def test_a_busy_spool_is_not_a_full_one(spool: SqliteSpool, tmp_path: Path) -> None:
    """When another process locks the spool for long, the reserve remains."""
    with closing(sqlite3.connect(tmp_path / "spool" / "spool.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SpoolStalled, match="another process"):
            spool.set_disabled(Address("acme", "prod"), disabled=True, now=1.0)
    assert (tmp_path / "spool" / "reserve").exists()
