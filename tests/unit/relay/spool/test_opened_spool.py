"""Joining a shared spool while its database fails."""

from __future__ import annotations

import asyncio

import pytest

from hookline.errors import SpoolStalled
from hookline.observe.log import Log
from hookline.relay.spool import opened_spool
from hookline.relay.spool.opened_spool import join_shared
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from shared_spool import SharedSpoolDatabase


class FailingStore(SharedStore):
    """A store whose server does not answer the connections with these numbers."""

    def __init__(self, location: str, failing: range) -> None:
        super().__init__(location)
        self.opened = 0
        self._failing = failing

    def connection(self, *, read_only: bool = False) -> SpoolConnection:
        self.opened += 1
        if self.opened in self._failing:
            raise SpoolStalled("the server does not answer")
        return super().connection(read_only=read_only)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(opened_spool, "STALLED_RETRY_SECONDS", 0.001)
    return []


def join(store: SharedStore, lines: list[str]) -> None:
    log = Log(lines.append, level="info", format="text", clock=lambda: 0.0)
    opened = asyncio.run(join_shared(store, log, kind="relay", name="mail"))
    assert opened.shared is not None
    assert ("mail", 0, []) == (opened.shared.reader, opened.tally["pending"], opened.positions)
    opened.spool.close()


def test_a_process_that_has_had_an_answer_waits_for_the_next(lines: list[str]) -> None:
    """A failover in the moment of the start ends no process."""
    join(FailingStore(SharedSpoolDatabase().url(), range(2, 5)), lines)
    assert ["starting waits for the spool", "starting continues"] == [
        line.split("warning ")[1].split(" reason=")[0].strip() for line in lines
    ]


def test_a_database_that_never_answered_is_an_error(lines: list[str]) -> None:
    """The address may be wrong, so the command ends at once."""
    with pytest.raises(SpoolStalled):
        join(FailingStore(SharedSpoolDatabase().url(), range(1, 2)), lines)
    assert [] == lines
