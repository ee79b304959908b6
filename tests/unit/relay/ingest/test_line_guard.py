"""Which lines are read one by one, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import ingest_batch, line
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.ingest import line_guard
from hookline.relay.ingest.line_guard import CAREFUL_LINES, LineGuard, line_identity
from hookline.relay.spool import crash_guard
from hookline.relay.spool.crash_guard import CRASHES_BEFORE_CARE, CrashGuard
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_thread import SpoolThread

pytestmark = pytest.mark.anyio


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[CrashGuard]:
    spool = spool_store(str(tmp_path / "spool")).open(since="now")
    log = Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0)
    thread = SpoolThread(spool, log)
    yield CrashGuard(thread, clock=RelayClock(), log=log)
    thread.close()
    spool.close()


def awaits_progress(lines: LineGuard, work: str) -> bool:
    """Whether the next stored batch of the work is its progress."""
    return lines.with_progress(ingest_batch(), work).progress_of == work


async def test_the_start_of_a_work_is_counted_until_its_first_progress(guard: CrashGuard) -> None:
    """Its lines are read as usual, also ahead of the first progress."""
    lines = LineGuard(guard)
    assert not lines.trusts("source a")
    assert not await lines.start("source a")
    assert (True, True) == (lines.trusts("source a"), awaits_progress(lines, "source a"))
    lines.progressed("source a", 1)
    assert (True, False) == (lines.trusts("source a"), awaits_progress(lines, "source a"))
    assert not await lines.start("source a")
    assert 0 == guard.thread.spool.count_start("source b", now=1.0).crashes
    assert (False, False) == (lines.trusts("source b"), awaits_progress(lines, "source b"))


async def test_lines_are_read_one_by_one_for_a_while(guard: CrashGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the first progress, because the relay reads ahead."""
    monkeypatch.setattr(crash_guard, "MAX_START_WAIT_SECONDS", 0.0)
    for _ in range(CRASHES_BEFORE_CARE):
        await LineGuard(guard).start("source a")
    lines = LineGuard(guard)
    assert await lines.start("source a")
    lines.progressed("source a", CAREFUL_LINES - 1)
    assert await lines.start("source a")
    assert not lines.trusts("source a")
    lines.progressed("source a", 1)
    assert lines.trusts("source a")


async def test_what_is_remembered_of_sources_is_bounded(guard: CrashGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that follows a directory for years meets any number of names. The oldest is started again."""
    monkeypatch.setattr(line_guard, "MAX_TRUSTED_WORKS", 3)
    lines = LineGuard(guard)
    for number in range(5):
        assert not await lines.start(f"source {number}")
        lines.progressed(f"source {number}", 1)
    assert [False, False, True, True, True] == [lines.trusts(f"source {number}") for number in range(5)]
    assert not await lines.start("source 0")


def test_a_line_is_known_by_its_number_and_its_content() -> None:
    """The line of another file with the same name is another one."""
    identities = {line_identity(line(data, number)) for data in (b"a", b"b") for number in (1, 2)}
    assert 4 == len(identities)
    assert line_identity(line(b"a", 1)) in identities
