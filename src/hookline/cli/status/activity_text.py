"""The activity of webhooks in the last hour as cells of a table: a plot of the rate, and the duration of attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from hookline.relay.spool.activity import MinuteActivity

HEADINGS: Final = ("LAST HOUR", "PER MIN", "MEDIAN")
PLOT_COLUMNS: Final = 20
MINUTES_PER_COLUMN: Final = 3
_BLOCKS: Final = "▁▂▃▄▅▆▇█"


class ActivityCells(NamedTuple):
    """The cells of one webhook: accepted attempts as a plot, their number in the last minute, and the median of the
    duration of an attempt in it."""

    plot: str
    per_minute: str
    median: str


NO_ACTIVITY: Final = ActivityCells("", "", "")


def activity_cells(activity: Iterable[MinuteActivity], minute: int) -> dict[str, ActivityCells]:
    """The cells by webhook. `minute` is the present one, which is not recorded yet."""
    by_webhook: dict[str, dict[int, MinuteActivity]] = {}
    for one in activity:
        if one.address is not None and one.minute > minute - 1 - PLOT_COLUMNS * MINUTES_PER_COLUMN:
            by_webhook.setdefault(str(one.address), {})[one.minute] = one
    return {webhook: _cells(rows, minute - 1) for webhook, rows in by_webhook.items()}


def _cells(rows: dict[int, MinuteActivity], last: int) -> ActivityCells:
    columns: Counter[int] = Counter()
    for minute, one in rows.items():
        columns[PLOT_COLUMNS - 1 - (last - minute) // MINUTES_PER_COLUMN] += one.accepted
    latest = rows.get(last)
    median = None if latest is None else latest.median_seconds
    return ActivityCells(
        plot=plot([columns[n] for n in range(PLOT_COLUMNS)]),
        per_minute=f"{0 if latest is None else latest.accepted:,}",
        median="" if median is None else _milliseconds(median),
    )


def plot(values: list[int]) -> str:
    """One character for each value: a blank for 0, and otherwise a block whose height is its part of the largest."""
    largest = max(values, default=0)
    return "".join(_BLOCKS[(value * len(_BLOCKS) - 1) // largest] if value else " " for value in values)


def _milliseconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1.0 else f"{1000 * seconds:.0f} ms"
