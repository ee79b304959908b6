"""The status for people."""

from __future__ import annotations

from typing import Any

import msgspec

from hookline.cli.status.status_text import MAX_REASON_ROWS, MAX_WEBHOOK_ROWS, status_text
from hookline.observe.snapshot import (
    Checkpoint,
    LagStatus,
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    WebhookStatus,
)
from hookline.observe.status import status_document


def text(
    spool: SpoolStatus, relay: RelayStatus | None = None, holder: str | None = None, **options: Any
) -> list[str]:
    return list(status_text(spool, relay, holder, **{"everything": False, **options}))


def spool(*webhooks: WebhookStatus, **tally: int) -> SpoolStatus:
    return SpoolStatus(at=100.0, tally={"pending": sum(one.pending for one in webhooks), **tally}, webhooks=webhooks)


def relay(*lanes: LaneStatus, at: float = 100.0, full: bool = False) -> RelayStatus:
    return RelayStatus(
        version="1", process=7, started=0.0, at=at, dedupe_window=86_400.0, records_max=10, lanes=lanes, full=full
    )  # fmt: skip


def names(lines: list[str]) -> list[str]:
    """The webhooks, in the order of the table."""
    start = next(n for n, line in enumerate(lines) if line.startswith("WEBHOOK"))
    return [line.split()[0] for line in lines[start + 1 :] if line and not line.startswith("...")]


def test_what_needs_attention_comes_first() -> None:
    """Unhealthy endpoints come first, then paused ones, then the oldest backlog, then dead letters, then the rest."""
    webhooks = [
        WebhookStatus(webhook="fine/x"),
        WebhookStatus(webhook="dead/x", dead=3),
        WebhookStatus(webhook="young/x", pending=9, oldest=1.0),
        WebhookStatus(webhook="old/x", pending=1, oldest=900.0),
        WebhookStatus(webhook="paused/x", pending=1, oldest=2.0, paused=50.0),
        WebhookStatus(webhook="waits/x", pending=1, oldest=3.0),
        WebhookStatus(webhook="gone/x", pending=1, oldest=8.0, gone_reason="http 410"),
    ]
    lane = LaneStatus(webhook="waits/x", phase="open", reason="http 503", until=160.0)
    lines = text(spool(*webhooks), relay(lane), "process 7")
    assert ["gone/x", "waits/x", "paused/x", "old/x", "young/x", "dead/x", "fine/x"] == names(lines)
    assert any("open until 1970-01-01T00:02:40Z: http 503" in line for line in lines)
    assert any("paused since 1970-01-01T00:00:50Z" in line for line in lines)
    assert any("15 min" in line for line in lines)


def test_both_kinds_of_dead_letters_are_counted() -> None:
    """Dead letters are counted as in `dead`: deliveries, and rejected lines."""
    one = msgspec.structs.replace(spool(WebhookStatus(webhook="a/x", dead=3)), lines=12)
    assert "dead letters  3 deliveries and 12 rejected lines" in text(one)
    document = status_document(one, None)
    assert (3, 12) == (document["deadLetters"], document["rejectedLines"])


def test_the_document_has_the_ends_of_keys_and_certificates() -> None:
    """They are moments, and null if they are not known."""
    ends = {"endpoint": 86400.0, "client": 172800.0}
    known = LaneStatus(webhook="a/x", phase="closed", keys_end=3600.0, certificate_ends=ends)
    names = ("keysEnd", "endpointCertificateEnd", "clientCertificateEnd")
    for lane, expected in (
        (known, ["1970-01-01T01:00:00Z", "1970-01-02T00:00:00Z", "1970-01-03T00:00:00Z"]),
        (LaneStatus(webhook="a/x", phase="closed"), [None, None, None]),
    ):
        document = status_document(spool(WebhookStatus(webhook="a/x")), relay(lane))
        assert expected == [document["webhooks"][0]["lane"][name] for name in names]


def test_hundreds_of_webhooks_are_a_bounded_table() -> None:
    """The other rows are counted, and --all shows them."""
    many = spool(*(WebhookStatus(webhook=f"w{n}/x", pending=1, oldest=1.0) for n in range(500)))
    lines = text(many)
    assert MAX_WEBHOOK_ROWS == len(names(lines))
    assert "... and 460 more; --all shows them" in lines
    assert 500 == len(names(text(many, everything=True)))


def test_the_relay_in_one_line() -> None:
    """Shows no relay, or one that works, is not ready, has not reported yet, or reports no more."""
    assert "not running" in text(spool())[0]
    assert "process 7 since then; it has not reported" in text(spool(), None, "process 7 since then")[0]
    assert "ready, reads 0.0/s" in text(spool(), relay(), "process 7")[0]
    assert "reading paused: the spool is full" in text(spool(), relay(full=True), "process 7")[0]
    assert "no report for 100 s" in text(spool(), relay(at=0.0), "process 7")[0]


def test_skip_reasons_are_few() -> None:
    """The most frequent reasons are listed, the others are counted."""
    tally = {f"skipped:r{n}": n for n in range(1, 11)}
    (line,) = [line for line in text(SpoolStatus(at=0.0, tally=tally)) if line.startswith("skipped for")]
    assert "r10 10, r9 9" in line
    assert line.endswith(f"and {10 - MAX_REASON_ROWS} more")


def test_a_shorter_duplicate_window_is_shown() -> None:
    """If --records-max removes records, the duplicate window is the age of the oldest record."""
    full = SpoolStatus(at=0.0, tally={}, records=10, oldest_record=300.0)
    assert any("for 5 min (not 24.0 h: --records-max)" in line for line in text(full, relay(), "process 7"))


def test_sources_with_what_is_not_read_yet() -> None:
    """Shows a checkpoint and the unread amount behind it; names cannot move the cursor."""
    facts = SpoolStatus(at=0.0, tally={}, checkpoints=[Checkpoint(name="a\x1b[2J", line=1234, offset=99, at=0.0)])
    lag = LagStatus(name="a\x1b[2J", line=1300, offset=999, behind=2048, seconds=65.0)
    busy = RelayStatus(version="1", process=7, started=0.0, at=0.0, lags=[lag])
    line = text(facts, busy, "process 7")[-1]
    assert line.startswith("a\\u001b[2J  1,234  99")
    assert line.endswith("2.0 KiB, 65 s without a line")


def test_a_log_with_messages_that_are_not_read_yet() -> None:
    """The stream of a broker counts messages, not bytes."""
    facts = SpoolStatus(at=0.0, tally={}, checkpoints=[Checkpoint(name="nats://host/S", line=9, offset=0, at=0.0)])
    lag = LagStatus(name="nats://host/S", line=9, offset=0, behind=None, seconds=0.0, behind_messages=1200)
    busy = RelayStatus(version="1", process=7, started=0.0, at=0.0, lags=[lag])
    assert text(facts, busy, "process 7")[-1].endswith("  1,200 messages")


def test_a_reason_is_cut_for_a_terminal_only() -> None:
    """A file or another program gets the whole reason."""
    lane = LaneStatus(webhook="a/x", phase="open", reason="network: " + "long " * 50 + "end", until=160.0)
    one = spool(WebhookStatus(webhook="a/x", pending=1))
    assert any(line.endswith("long end") for line in text(one, relay(lane), "process 7"))
    cut = list(status_text(one, relay(lane), "process 7", everything=False, max_reason_characters=60))
    assert any(line.endswith("…") for line in cut)


def test_the_one_relay_of_a_spool_has_no_slots() -> None:
    """It is in the first line. Only processes of a shared spool have a block of their own."""
    one = SpoolProcesses(processes=[ProcessStatus(holder="process 7", status=relay())])
    lines = text(spool(), relay(), "process 7", processes=one)
    assert lines[0].startswith("relay")
    assert [] == [line for line in lines if "slots" in line or "lease" in line]
