"""A spool of an earlier format."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from contract.spool_stores import ACME, OTHER, balanced, bodies, fresh
from hookline.relay.identity import request_prefix
from hookline.relay.spool.port import Spool, Standing
from hookline.relay.spool.sqlite import SqliteSpool

Open = Callable[[Path], Spool]


@pytest.fixture
def opened() -> Open:
    return lambda directory: SqliteSpool(directory, since="now")


def test_a_spool_of_the_first_format_is_migrated_after_a_copy(opened: Open, tmp_path: Path) -> None:
    """Pending, delivered and held things are what they were, under ids that are found by their request."""
    directory = tmp_path / "spool"
    directory.mkdir()
    with closing(sqlite3.connect(directory / "spool.db")) as old:
        old.executescript((Path(__file__).parents[2] / "cases" / "spool-format-1.sql").read_text())
    spool = opened(directory)
    assert (directory / "spool.db.format-1").exists()
    assert [b"waiting"] == bodies(fresh(spool))
    assert [request_prefix("request-waiting") + b"0123456789ab"] == [item.id for item in fresh(spool)]
    assert {ACME: Standing(), OTHER: Standing(disabled=True)} == spool.standing()
    assert 1 == spool.tally()["records"]
    assert balanced(spool.tally())
    spool.close()
