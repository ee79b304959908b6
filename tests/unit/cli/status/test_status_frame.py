"""One screen of `status --watch`, and the cells of activity in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ACME
from contract.spool_stores import OTHER
from hookline.cli.status.activity_text import PLOT_COLUMNS, activity_cells, plot
from hookline.cli.status.status_frame import MIN_PLOT_COLUMNS, Screen, screen
from hookline.cli.status.status_report import StatusReport
from hookline.observe.drain import DrainForecast, DrainStatus
from hookline.observe.snapshot import SpoolProcesses, SpoolStatus, WebhookStatus
from hookline.relay.spool.activity import MinuteActivity

MINUTE = 1000
NOW = 60.0 * MINUTE


def row(minute: int, accepted: int, median: float | None = 0.1) -> MinuteActivity:
    return MinuteActivity(minute, ACME, accepted, 0, median, median, 0)


REPORT = StatusReport(
    spool=SpoolStatus(
        at=NOW - 12.0, tally={"pending": 7},
        webhooks=[WebhookStatus(webhook=str(ACME), pending=7, oldest=1.0), WebhookStatus(webhook=str(OTHER))],
    ),
    holder=None, relay=None, processes=SpoolProcesses(),
    drain=DrainStatus(
        whole=DrainForecast(seconds=720.0, expiring=3),
        webhooks={str(ACME): DrainForecast(seconds=720.0, expiring=3, per_second=1.0)},
    ),
    activity=[row(MINUTE - 1, 30)],
)  # fmt: skip


def shown(width: int = 100, height: int = 40, problem: str | None = None, *, everything: bool = False) -> Screen:
    return screen(REPORT, place="spool", now=NOW, problem=problem, everything=everything, size=(width, height))


def test_the_same_facts_as_status() -> None:
    """The title has the time of the status; totals, forecasts and webhooks follow."""
    frame = shown()
    assert frame.title.startswith("1970-01-01T16:39:48Z  spool")
    text = "\n".join(frame.body)
    assert "12 min, if no new events come and endpoints answer as before; 3 pass maxAge before" in text
    assert "12 min, 3 expire" in text
    assert "LAST HOUR" not in text


def test_a_wide_terminal_shows_the_last_hour() -> None:
    """The plot of accepted attempts, the number in the last minute and the median. The other webhook has none."""
    body = shown(MIN_PLOT_COLUMNS).body
    (own,) = [line for line in body if line.startswith(str(ACME))]
    assert "█  30       100 ms" in own
    assert "PER MIN" in next(line for line in body if line.startswith("WEBHOOK"))


def test_a_failed_read_is_shown_with_the_latest_status() -> None:
    """The second line has the reason and the age of the status, without control characters."""
    frame = shown(problem="the server\x1b[2J is away")
    assert frame.problem is not None
    assert frame.problem.startswith("12 s old: the server")
    assert "\x1b" not in frame.problem
    assert any(line.startswith(str(ACME)) for line in frame.body)


@pytest.mark.parametrize("width", [1, 40, 109, 110, 200])
@pytest.mark.parametrize("problem", [None, "away"])
def test_no_screen_is_larger_than_the_terminal(width: int, problem: str | None) -> None:
    """Whatever its size is. A cut end has a note."""
    whole = shown(width, 60).body
    for height in range(1, 30):
        body = shown(width, height, problem, everything=height % 2 == 0).body
        room = max(0, height - 1 - (problem is not None))
        assert len(body) <= room
        assert body == whole or room <= len(whole)
        if 0 < room < len(whole):
            assert "more lines than the terminal has room for" in body[-1]


def test_a_small_terminal_leaves_out_totals_first() -> None:
    """The backlog, its forecast and the webhooks that need attention remain."""
    body = shown(80, 9).body
    assert ["relay", "pending", "drain", "dead"] == [line.split()[0] for line in body[:4]]
    assert body[6].startswith(str(ACME))
    assert body[-1].startswith("... 4 more lines")


def test_a_plot_has_one_block_for_three_minutes() -> None:
    """The latest on the right. The present minute is not recorded yet, and older ones than an hour do not count."""
    activity = [row(MINUTE - 1, 5), row(MINUTE - 2, 3), row(MINUTE - 4, 16), row(MINUTE - 60, 1), row(MINUTE - 61, 9)]
    cells = activity_cells(activity, MINUTE)[str(ACME)]
    assert cells.plot == "▁" + " " * (PLOT_COLUMNS - 3) + "█▄"
    assert ("5", "100 ms") == (cells.per_minute, cells.median)
    assert ("0", "") == activity_cells([row(MINUTE - 9, 1, 2.5)], MINUTE)[str(ACME)][1:]
    assert "2.5 s" == activity_cells([row(MINUTE - 1, 1, 2.5)], MINUTE)[str(ACME)].median


@given(st.lists(st.integers(0, 10**9), max_size=30))
def test_a_plot_has_a_mark_for_each_value_above_zero(values: list[int]) -> None:
    """The largest is a whole block, and the smallest above 0 is no blank."""
    drawn = plot(values)
    assert [value > 0 for value in values] == [mark != " " for mark in drawn]
    assert all(mark == "█" for value, mark in zip(values, drawn, strict=True) if value == max(values) > 0)
