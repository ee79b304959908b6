"""How far back the activity for a drain forecast is read."""

from __future__ import annotations

import pytest

from builders import ACME
from contract.memory_spool import Data
from contract.memory_store import SPOOLS, MemoryStore
from hookline.cli.status import status_report
from hookline.cli.status.status_report import recent_activity
from hookline.relay.spool.activity import MinuteActivity

MINUTE = 5000
OLD, NEW = (MinuteActivity(minute, ACME, 1, 0, 0.1, 0.1, 0, 0.1) for minute in (MINUTE - 600, MINUTE - 5))


def read(monkeypatch: pytest.MonkeyPatch, *rows: MinuteActivity) -> list[MinuteActivity]:
    monkeypatch.setitem(SPOOLS, "memory://report", Data(activity=list(rows)))
    return list(recent_activity(MemoryStore("memory://report"), 60.0 * MINUTE, {str(ACME)}))


def test_the_last_hour_is_enough_if_it_has_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the whole day is read: an endpoint may have been down for hours."""
    assert [NEW] == read(monkeypatch, OLD, NEW)
    assert [OLD] == read(monkeypatch, OLD)


def test_with_many_active_webhooks_a_day_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have more than a million rows."""
    monkeypatch.setattr(status_report, "MAX_HOUR_ROWS", 1)
    failed = [MinuteActivity(MINUTE - n, ACME, 0, 1, 0.1, 0.1, 0, 0.1) for n in (2, 1)]
    assert failed == read(monkeypatch, OLD, *failed)
