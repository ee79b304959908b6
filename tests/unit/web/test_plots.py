"""The plots of the last hour."""

from __future__ import annotations

from hookline.model import Address
from hookline.relay.spool.activity import MinuteActivity
from hookline.web.plots import PLOT_HEIGHT, PLOT_WIDTH, minute_plots, plots_by_webhook, plots_of_all, seconds_text

ACME, OTHER = Address("acme", "prod"), Address("other", "prod")


def minute(
    number: int, accepted: int, failed: int, median: float | None = None, p99: float | None = None, *,
    address: Address | None = ACME,
) -> MinuteActivity:  # fmt: skip
    return MinuteActivity(number, address, accepted, failed, median, p99, 0)


def test_bars_and_lines_fit_the_plot() -> None:
    """The highest bar and the slowest response fill the plot. Minutes outside the hour are left out."""
    hour = [
        minute(40, 1, 0),
        minute(41, 30, 10, 0.02, 0.4),
        minute(42, 0, 20, 0.03, 0.2),
        minute(100, 5, 0, 0.01, 0.1),
    ]
    plots = minute_plots([*hour, minute(101, 999, 999)], 100)
    assert plots is not None
    assert "35 accepted, 30 failed in the last hour; at most 40 in a minute" == plots.rate_text
    assert "median 20 ms, 99 of 100 within 400 ms in each minute" == plots.latency_text
    bars = [*plots.accepted, *plots.failed]
    assert all(0 <= bar.x < PLOT_WIDTH and bar.y >= 0 and bar.y + bar.height <= PLOT_HEIGHT for bar in bars)
    assert min(bar.y for bar in bars) < 3
    # Accepted events stand on failed ones.
    assert plots.accepted[0].y + plots.accepted[0].height == plots.failed[0].y
    assert 2 == len(plots.p99s), "one line for each run of minutes"
    assert all(0 <= float(one.split(",")[1]) <= PLOT_HEIGHT for line in plots.p99s for one in line.split())


def test_an_hour_without_attempts_has_no_plot() -> None:
    """Nothing is drawn for a webhook that was not active."""
    assert minute_plots([], 100) is None
    assert minute_plots([minute(100, 0, 0)], 100) is None
    untimed = minute_plots([minute(100, 0, 3)], 100)
    assert untimed is not None
    assert "no response was timed in the last hour" == untimed.latency_text
    assert ("12 ms", "3.4 s") == (seconds_text(0.012), seconds_text(3.4))


def test_webhooks_and_their_sum() -> None:
    """Each webhook with rows of its own has plots. The sum includes the webhooks that have none."""
    rows = [minute(99, 1, 2, 0.1, 0.2), minute(99, 10, 0, 0.1, 0.2, address=OTHER), minute(99, 100, 0, address=None)]
    assert {str(ACME), str(OTHER)} == plots_by_webhook(rows, 100).keys()
    whole = plots_of_all(rows, 100)
    assert whole is not None
    assert "111 accepted, 2 failed in the last hour; at most 113 in a minute" == whole.rate_text
    assert "no response was timed in the last hour" == whole.latency_text
