"""The metrics page, made from reports and read by the library's own parsers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from hookline.observe.drain import DrainForecast, DrainStatus
from hookline.observe.metric_labels import MAX_REASON_LABELS
from hookline.observe.metrics import Metrics
from hookline.observe.relay_metrics import RESPONSE_CLASSES
from hookline.observe.snapshot import (
    Counts,
    LagStatus,
    LaneStatus,
    LatencyStatus,
    RelayStatus,
    SpoolStatus,
    StatusSnapshot,
    WebhookStatus,
)

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8, text/plain;q=0.5"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def a_report(webhooks: int = 2, **skipped: int) -> StatusSnapshot:
    """Webhook n has n + 1 pending, n dead letters and 10 attempts; the first one waits, for http 503."""
    names = [f"acme/w{n}" for n in range(webhooks)]
    pending = sum(range(1, webhooks + 1))
    return StatusSnapshot(
        spool=SpoolStatus(
            at=100.0,
            tally={"read": pending + 5 + sum(skipped.values()), "delivered": 5, "pending": pending,
                   **{f"skipped:{reason}": n for reason, n in skipped.items()}},
            webhooks=[WebhookStatus(webhook=name, pending=n + 1, oldest=10.0 * n, dead=n)
                      for n, name in enumerate(names)],
            lines=12,
            sizes={"database": 4096},
        ),
        relay=RelayStatus(
            version="1.2.3", process=7, started=1.0, at=101.0, spool_max=50,
            lanes=[LaneStatus(webhook=names[0], phase="open", reason="http 503"),
                   *(LaneStatus(webhook=name, phase="closed") for name in names[1:])],
            lags=[LagStatus(name="a.ndjson", line=3, offset=30, behind=70, seconds=4.0),
                  LagStatus(name="-", line=9, offset=0, behind=None, seconds=0.0),
                  LagStatus(name="nats://host/S", line=9, offset=0, behind=None, seconds=2.0, behind_messages=7)],
        ),
        counts=Counts(
            attempts={(name, "delivered"): 10 for name in names},
            latency={name: LatencyStatus((1, 2, 3), 4.5) for name in names},
            bounds=(0.1, 1.0),
            dead={"http_422": 2},
            responses={(names[0], "5xx"): 6, (names[0], "none"): 1, **{(name, "2xx"): 3 for name in names[1:]}},
        ),
    )  # fmt: skip


def samples(text: str, read: Any = read_text) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples
    }


def page(report: StatusSnapshot, metrics: Metrics | None = None, accept: str = "") -> Samples:
    content_type, body = (metrics or Metrics(max_webhooks=1000)).page(report, accept)
    return samples(body.decode(), read_openmetrics if "openmetrics" in content_type else read_text)


def one(found: Samples, name: str, **labels: str) -> float:
    return found[f"hookline_{name}", tuple(sorted(labels.items()))]


def test_whether_we_are_late() -> None:
    """Pending and the age of the oldest by webhook, the lag of each source in bytes and seconds."""
    found = page(a_report())
    assert 2 == one(found, "pending", webhook="acme/w1")
    assert 10.0 == one(found, "oldest_undelivered_age_seconds", webhook="acme/w1")
    assert 70 == one(found, "source_lag_bytes", source="a.ndjson")
    assert 4.0 == one(found, "source_lag_seconds", source="a.ndjson")
    assert 7 == one(found, "source_lag_messages", source="nats://host/S")
    assert ("hookline_source_lag_bytes", (("source", "-"),)) not in found


def test_attempts_by_class_of_the_status() -> None:
    """Each class of each webhook is there from the start, and the webhooks beyond the limit share a label."""
    found = page(a_report(3), Metrics(max_webhooks=1))
    own = {name: one(found, "responses_total", webhook="acme/w0", **{"class": name}) for name in RESPONSE_CLASSES}
    assert {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 6, "none": 1} == own
    assert 6 == one(found, "responses_total", webhook="other", **{"class": "2xx"})


def test_time_until_no_key_is_active() -> None:
    """The soonest of the webhooks that share a label; none for keys without an end, and never negative."""
    report = a_report()
    ends = [150.0, 131.0, None, 90.0]
    lanes = [LaneStatus(webhook=f"acme/w{n}", phase="closed", keys_end=end) for n, end in enumerate(ends)]
    relay = msgspec.structs.replace(report.relay, lanes=lanes)
    found = page(msgspec.structs.replace(report, relay=relay))
    left = {dict(labels)["webhook"]: value for (name, labels), value in found.items() if "keys_left" in name}
    assert {"acme/w0": 49.0, "acme/w1": 30.0, "acme/w3": 0.0} == left


def test_time_until_certificates_expire() -> None:
    """The soonest of each kind of the webhooks that share a label; none if unknown, and never negative."""
    report = a_report()
    ends = [{"endpoint": 150.0, "client": 90.0}, {"endpoint": 131.0}, {}, {"endpoint": 120.0, "client": 140.0}]
    lanes = [LaneStatus(webhook=f"acme/w{n}", phase="closed", certificate_ends=one) for n, one in enumerate(ends)]
    found = page(
        msgspec.structs.replace(report, relay=msgspec.structs.replace(report.relay, lanes=lanes)),
        Metrics(max_webhooks=1),
    )
    left = {tuple(dict(labels).values()): value for (name, labels), value in found.items() if "certificate" in name}
    assert {
        ("endpoint", "acme/w0"): 49.0,
        ("client", "acme/w0"): 0.0,
        ("endpoint", "other"): 19.0,
        ("client", "other"): 39.0,
    } == left


def test_the_account_adds_up() -> None:
    """Read and replayed less everything settled is the sum of what is pending by webhook."""
    found = page(a_report(3, no_webhook=4, journey=1))
    pending = [value for (name, _), value in found.items() if name == "hookline_pending"]
    assert one(found, "unsettled") == sum(pending) == 6
    assert 4 == one(found, "skipped_total", reason="no_webhook")


def test_moved_deliveries_are_in_the_account() -> None:
    """What `spool move` brought is pending, and what it took is not."""
    report = a_report(3)
    tally = {**report.spool.tally, "read": 5, "moved_in": 9, "moved_out": 3}
    found = page(msgspec.structs.replace(report, spool=msgspec.structs.replace(report.spool, tally=tally)))
    assert (6, 9, 3) == tuple(one(found, name) for name in ("unsettled", "moved_in_total", "moved_out_total"))


@pytest.mark.parametrize(("queued", "due", "later"), [(0, 200.0, 2), (0, 100.0, 0), (1, 200.0, 0), (0, None, 0)])
def test_deliveries_due_later_wait(queued: int, due: float | None, later: int) -> None:
    """An open webhook of which nothing is due yet has nothing to send: it is not stuck."""
    report = a_report()
    lane = LaneStatus(webhook="acme/w1", phase="closed", queued=queued, next_due=due)
    relay = msgspec.structs.replace(report.relay, lanes=[report.relay.lanes[0], lane])
    assert later == one(page(msgspec.structs.replace(report, relay=relay)), "waiting_by_reason", reason="retry_later")


def test_one_phase_at_a_time() -> None:
    """Exactly one phase of a circuit breaker is 1, and the deliveries that wait for it are counted by its reason."""
    found = page(a_report())
    phases = {labels: value for (name, labels), value in found.items() if name == "hookline_circuit_breaker_state"}
    assert 8 == len(phases)
    assert 1 == one(found, "circuit_breaker_state", webhook="acme/w0", phase="open")
    assert 1 == one(found, "circuit_breaker_state", webhook="acme/w1", phase="closed")
    assert 2 == sum(phases.values())
    assert 1 == one(found, "waiting_by_reason", reason="http_503")


def test_the_histogram_is_cumulative() -> None:
    """Each bucket holds those before it, the last one all."""
    found = page(a_report())
    buckets = [one(found, "settle_seconds_bucket", webhook="acme/w0", le=bound) for bound in ("0.1", "1.0", "+Inf")]
    assert [1, 3, 6] == buckets
    assert (6, 4.5) == (
        one(found, "settle_seconds_count", webhook="acme/w0"), one(found, "settle_seconds_sum", webhook="acme/w0"),
    )  # fmt: skip


def test_labels_of_webhooks_are_bounded() -> None:
    """Beyond the limit webhooks are summed, and nothing is lost in the sums."""
    found = page(a_report(5), Metrics(max_webhooks=2))
    assert {"acme/w0", "acme/w1", "other"} == {dict(labels).get("webhook") for _, labels in found} - {None}
    assert 3 + 4 + 5 == one(found, "pending", webhook="other")
    assert 40.0 == one(found, "oldest_undelivered_age_seconds", webhook="other")
    assert 30 == one(found, "attempts_total", webhook="other", outcome="delivered")
    assert 18 == one(found, "settle_seconds_count", webhook="other")
    assert 3 == one(found, "circuit_breaker_state", webhook="other", phase="closed")
    assert 2 + 3 + 4 == one(found, "dead_letters", webhook="other")


def test_rejected_lines_are_dead_letters_of_no_webhook() -> None:
    """What could not be read is kept beside the dead deliveries, and counted by itself."""
    assert 12 == one(page(a_report()), "rejected_lines")


def test_dead_letters_of_a_deleted_webhook_are_counted() -> None:
    """A webhook without a lane and without anything pending has no label; its dead letters are there all the same."""
    report = a_report(1)
    gone = WebhookStatus(webhook="acme/gone", dead=7)
    spool = msgspec.structs.replace(report.spool, webhooks=[*report.spool.webhooks, gone])
    found = page(msgspec.structs.replace(report, spool=spool))
    assert 7 == one(found, "dead_letters", webhook="other")
    assert ("hookline_pending", (("webhook", "acme/gone"),)) not in found


def test_skip_reasons_are_bounded() -> None:
    """A spool that knows thousands of reasons shows some of them, and the sum of the others."""
    found = page(a_report(1, **{f"status_not_relayed:s{n}": 1 for n in range(1000)}))
    reasons = {labels: value for (name, labels), value in found.items() if name == "hookline_skipped_total"}
    assert MAX_REASON_LABELS + 1 == len(reasons)
    assert 1000 == sum(reasons.values())


def test_both_forms_say_the_same() -> None:
    """OpenMetrics where it is asked for, the older text elsewhere."""
    metrics, report = Metrics(max_webhooks=10), a_report()
    old, new = page(report, metrics), page(report, metrics, OPENMETRICS)
    assert metrics.page(report, OPENMETRICS)[1].endswith(b"# EOF\n")
    ours = {key: value for key, value in old.items() if key[0].startswith("hookline_")}
    assert ours == {key: value for key, value in new.items() if key[0].startswith("hookline_")}
    assert metrics.page(report, "text/html, */*")[0].startswith("text/plain; version=0.0.4")


def test_names_cannot_break_the_page() -> None:
    """Quotes, backslashes and line ends in a source's name stay inside of its label."""
    report = a_report(1)
    name = 'a"b\\c\nd'
    lag = LagStatus(name=name, line=0, offset=0, behind=1, seconds=0.0)
    relay = msgspec.structs.replace(report.relay, lags=[lag])
    assert 1 == one(page(msgspec.structs.replace(report, relay=relay)), "source_lag_bytes", source=name)


def test_the_process_is_measured() -> None:
    """Memory and processor time of the relay are on the page."""
    found = page(a_report())
    assert found["process_resident_memory_bytes", ()] > 0
    assert found["process_cpu_seconds_total", ()] > 0


def test_drain_forecasts() -> None:
    """The longest time and the sum of expiring deliveries of each label. A webhook without a forecast has no time."""
    drains = {
        "acme/w1": DrainForecast(seconds=60.0, expiring=3),
        "acme/w2": DrainForecast(seconds=None, expiring=0, reason="paused"),
        "acme/w3": DrainForecast(seconds=5.0, expiring=4),
    }
    found = page(msgspec.structs.replace(a_report(4), drain=DrainStatus(webhooks=drains)), Metrics(max_webhooks=2))
    assert [0.0, 60.0, 5.0] == [one(found, "drain_seconds", webhook=name) for name in ("acme/w0", "acme/w1", "other")]
    expiring = [one(found, "drain_expiring", webhook=name) for name in ("acme/w0", "acme/w1", "other")]
    assert [0.0, 3.0, 4.0] == expiring
    paused = page(msgspec.structs.replace(a_report(3), drain=DrainStatus(webhooks=drains)))
    assert ("hookline_drain_seconds", (("webhook", "acme/w2"),)) not in paused
