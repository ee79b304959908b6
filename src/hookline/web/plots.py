"""The last hour of a webhook as two small plots: events per minute, and the time until an endpoint answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from hookline.relay.spool.activity import MinuteActivity

PLOT_MINUTES: Final = 60
PLOT_WIDTH: Final = 180
PLOT_HEIGHT: Final = 36
_STEP: Final = PLOT_WIDTH // PLOT_MINUTES


@dataclass(frozen=True, slots=True)
class PlotBar:
    """A bar in units of the plot, from its upper left corner."""

    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MinutePlots:
    """The shapes of both plots. A text describes each for those who cannot see it.

    The lines are the points of SVG polylines, one for each run of minutes with attempts.
    """

    accepted: Sequence[PlotBar]
    failed: Sequence[PlotBar]
    medians: Sequence[str]
    p99s: Sequence[str]
    rate_text: str
    latency_text: str


def plots_by_webhook(activity: Iterable[MinuteActivity], now_minute: int) -> dict[str, MinutePlots]:
    """The plots of each webhook that has rows of its own."""
    rows: dict[str, list[MinuteActivity]] = {}
    for one in activity:
        if one.address is not None:
            rows.setdefault(str(one.address), []).append(one)
    plots = {webhook: minute_plots(found, now_minute) for webhook, found in rows.items()}
    return {webhook: one for webhook, one in plots.items() if one is not None}


def plots_of_all(activity: Iterable[MinuteActivity], now_minute: int) -> MinutePlots | None:
    """The plots of all webhooks together. They have no times, because endpoints differ."""
    sums: dict[int, MinuteActivity] = {}
    for one in activity:
        rest = msgspec.structs.replace(one, address=None, median_seconds=None, p99_seconds=None)
        if (known := sums.get(one.minute)) is not None:
            rest = msgspec.structs.replace(
                rest, accepted=known.accepted + one.accepted, failed=known.failed + one.failed
            )
        sums[one.minute] = rest
    return minute_plots(sums.values(), now_minute)


def minute_plots(minutes: Iterable[MinuteActivity], now_minute: int) -> MinutePlots | None:
    """The plots of the hour that ends with `now_minute`; None if nothing was attempted in it."""
    first = now_minute - PLOT_MINUTES + 1
    known = {one.minute - first: one for one in minutes if first <= one.minute <= now_minute}
    accepted = sum(one.accepted for one in known.values())
    failed = sum(one.failed for one in known.values())
    if not accepted + failed:
        return None
    peak = max(one.accepted + one.failed for one in known.values())
    timed = {at: one for at, one in known.items() if one.median_seconds is not None and one.p99_seconds is not None}
    slowest = max((one.p99_seconds or 0.0 for one in timed.values()), default=0.0)
    medians = {at: one.median_seconds or 0.0 for at, one in timed.items()}
    return MinutePlots(
        accepted=[_bar(at, one.failed, one.accepted, peak) for at, one in sorted(known.items()) if one.accepted],
        failed=[_bar(at, 0, one.failed, peak) for at, one in sorted(known.items()) if one.failed],
        medians=_lines(medians, slowest),
        p99s=_lines({at: one.p99_seconds or 0.0 for at, one in timed.items()}, slowest),
        rate_text=f"{accepted:,} accepted, {failed:,} failed in the last hour; at most {peak:,} in a minute",
        latency_text=_latency_text(list(medians.values()), slowest),
    )


def _bar(at: int, below: int, amount: int, peak: int) -> PlotBar:
    scale = (PLOT_HEIGHT - 2) / peak
    height = max(1.0, round(amount * scale, 2))
    return PlotBar(at * _STEP, round(PLOT_HEIGHT - below * scale - height, 2), height)


def _lines(values: dict[int, float], highest: float) -> list[str]:
    """The points of each run of consecutive minutes. A single minute is a short line."""
    runs: list[list[int]] = []
    for at in sorted(values):
        if runs and runs[-1][-1] == at - 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    scale = (PLOT_HEIGHT - 2) / highest if highest else 0.0
    lines = []
    for run in runs:
        points = [(at * _STEP, PLOT_HEIGHT - 1 - values[at] * scale) for at in run]
        points.append((run[-1] * _STEP + _STEP, points[-1][1]))
        lines.append(" ".join(f"{x},{y:.2f}" for x, y in points))
    return lines


def _latency_text(medians: list[float], slowest: float) -> str:
    if not medians:
        return "no response was timed in the last hour"
    middle = sorted(medians)[len(medians) // 2]
    return f"median {seconds_text(middle)}, 99 of 100 within {seconds_text(slowest)} in each minute"


def seconds_text(seconds: float) -> str:
    """``12 ms``, ``3.4 s``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
