"""The counts beside the progress bar."""

from __future__ import annotations

import pytest

from hookline.cli.output.tables import duration_text, size_text
from hookline.cli.progress.relay_progress import progress_counter
from hookline.relay.relay import Progress


def progress(*, draining: bool = False, pending: int = 214, oldest: float | None = 3.0) -> Progress:
    return Progress(10, None, {"read": 1500, "delivered": 1286, "pending": pending}, oldest, draining, 0.0)


def test_what_is_counted() -> None:
    """Shows read, delivered with its rate, pending, and the age of the oldest pending delivery."""
    assert "1,500 read, 1,286 delivered (430/s), 214 pending, oldest 3 s" == progress_counter(progress(), 430.2)
    assert "1,500 read, 1,286 delivered, 0 pending" == progress_counter(progress(pending=0, oldest=None), None)
    assert "1,286 delivered, 214 pending, oldest 3 s" == progress_counter(progress(draining=True), None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (400_000, "4.6 d")],
)
def test_spans(seconds: float, text: str) -> None:
    """A duration has one unit, small numbers, and no false precision."""
    assert text == duration_text(seconds)


@pytest.mark.parametrize(
    ("amount", "text"), [(712, "712 B"), (2048, "2.0 KiB"), (41_943_040, "40.0 MiB"), (1 << 31, "2.0 GiB")]
)
def test_sizes(amount: int, text: str) -> None:
    """Amounts of data in binary units."""
    assert text == size_text(amount)
