"""The rows of the lanes."""

from __future__ import annotations

import pytest

from hookline.escaping import without_recipients
from hookline.observe.snapshot import (
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    WebhookStatus,
)
from hookline.web.lanes_view import LaneRow, lane_rows, lane_webhooks, spool_summary
from hookline.web.spool_reader import SpoolView

PROD = "acme/prod"


def view(webhook: WebhookStatus, lane: LaneStatus | None, processes: SpoolProcesses | None = None) -> SpoolView:
    status = SpoolStatus(at=1000.0, tally={"pending": webhook.pending}, webhooks=[webhook], lines=2)
    return SpoolView(status, processes or SpoolProcesses(), {} if lane is None else {PROD: lane})


def row(shown: SpoolView) -> LaneRow:
    found = lane_webhooks(shown, "")
    (one,) = lane_rows(found, shown, mask=without_recipients, plots={}, forecasts={PROD: "2 min"})
    return one


WEBHOOK = WebhookStatus(webhook=PROD, pending=5, oldest=60.0, dead=1)


@pytest.mark.parametrize(
    ("webhook", "lane", "expected"),
    [
        ({}, {"phase": "closed"}, ("closed", "good", None, None)),
        (
            {},
            {"phase": "open", "reason": "http 503 for a@b.example", "until": 60.0},
            ("open", "bad", "http 503 for [recipient]", "1970-01-01T00:01:00Z"),
        ),
        ({}, {"phase": "half_open", "reason": "http 503"}, ("half-open", "warning", "http 503", None)),
        ({"paused": 5.0}, {"phase": "open"}, ("paused", "quiet", "by an operator, since 1970-01-01T00:00:05Z", None)),
        ({}, {"phase": "closed", "disabled": True}, ("disabled", "quiet", "in the applied configuration", None)),
        ({"gone_reason": "http 410"}, None, ("gone", "bad", "http 410", None)),
        (
            {"not_before": 60.0},
            None,
            ("waits", "warning", "requested by the endpoint (Retry-After)", "1970-01-01T00:01:00Z"),
        ),
        ({}, None, ("no relay", "quiet", None, None)),
    ],
)
def test_states(webhook: dict[str, object], lane: dict[str, object] | None, expected: tuple[str | None, ...]) -> None:
    """The strongest reason why a webhook receives nothing comes before the phase of its circuit breaker."""
    fields = {name: getattr(WEBHOOK, name) for name in WebhookStatus.__struct_fields__} | webhook
    shown = view(
        WebhookStatus(**fields),
        None if lane is None else LaneStatus(webhook=PROD, **lane),  # type: ignore[arg-type]
    )
    found = row(shown)
    assert expected == (found.state, found.tone, found.reason, found.until)
    assert (5, 60.0, 1, "2 min") == (found.pending, found.oldest_seconds, found.dead, found.forecast)


def test_the_processes_are_named() -> None:
    """The summary has one line for each process: that of an embedded spool, or those of a shared one."""
    relay = RelayStatus(version="1", process=7, started=0.0, at=0.0, unready="starting", delivered_rate=2.5)
    one = SpoolProcesses(processes=[ProcessStatus(holder="process 7 since", status=relay)])
    (line,) = spool_summary(view(WEBHOOK, None, one)).relays
    assert "process 7 since 1970-01-01T00:00:00Z: not ready: starting, reads 0.0/s, delivers 2.5/s" == line
    assert ("no relay runs",) == spool_summary(view(WEBHOOK, None)).relays
    waits = SpoolProcesses(processes=[ProcessStatus(holder="process 7 since")])
    assert ("process 7 since; it has not reported its status yet",) == spool_summary(
        view(WEBHOOK, None, waits)
    ).relays
    both = SpoolProcesses(
        processes=[
            ProcessStatus(host="a", pid=1, slots=[0, 1], lease_seconds=5.0, status=relay),
            ProcessStatus(host="b", pid=2, kind="deliver", slots=[2], lease_seconds=0.0),
        ],
        slots=4,
    )
    assert ("relay a/1: 2 of 4 slots, delivers 2.5/s", "deliver b/2: gone") == spool_summary(
        view(WEBHOOK, None, both)
    ).relays


def test_webhooks_are_searched() -> None:
    """All words must be in the address, in any case."""
    shown = view(WEBHOOK, None)
    assert [PROD] == [one.webhook for one in lane_webhooks(shown, "PROD acm")]
    assert [] == lane_webhooks(shown, "prod x")
