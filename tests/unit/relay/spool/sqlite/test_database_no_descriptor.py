"""A spool whose process has no file descriptor left: a stall, and never the end of the relay."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from builders import delivery, settlement
from contract.spool_stores import bodies, fresh, put
from hookline.errors import SpoolStalled
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.sqlite.database import map_damage


def without_descriptors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every `os.open` fail; the names that were asked for."""
    asked = list[str]()

    def lacking(path: str, *_arguments: Any, **_named: Any) -> int:
        asked.append(str(path))
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    monkeypatch.setattr(os, "open", lacking)
    return asked


def test_a_settlement_is_recorded_once(tmp_path: Path) -> None:
    """A group of settlements that cannot be synced is recorded all the same, and a later call syncs it."""
    spool = spool_store(tmp_path / "spool").open(since="now")
    put(spool, delivery("a"), delivery("b"))
    a, b = fresh(spool)
    with pytest.MonkeyPatch.context() as patch:
        asked = without_descriptors(patch)
        assert [] == spool.settle([settlement(a)], now=1.0)
        assert not spool.changed_by_others()
        assert all(name.endswith("-wal") for name in asked)
        assert len(asked) == 2
    assert [] == spool.settle([settlement(b)], now=2.0)
    assert (2, 0) == (spool.tally()["delivered"], spool.tally()["pending"])
    assert [] == bodies(fresh(spool))
    spool.close()


def test_a_file_that_cannot_be_opened_is_a_stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite names no reason when it cannot open a file. Without a descriptor the error is temporary."""
    without_descriptors(monkeypatch)
    with pytest.raises(SpoolStalled, match="no file descriptor is left"), map_damage(tmp_path / "spool.db"):
        sqlite3.connect(tmp_path / "missing" / "spool.db")
