"""From a batch of lines to what the spool makes durable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from builders import document, line, routes
from hookline.model import Address
from hookline.relay.delivery_record import WHOLE_LINE, Delivery, Line
from hookline.relay.formats.format import MAX_EVENT_BYTES_PER_LINE, MAX_EVENTS_PER_LINE
from hookline.relay.ingest.batch import MAX_COPIED_BYTES, IngestContext, build_batch, build_replay_batch
from hookline.relay.routing import MAX_SKIP_NAMES, Defaults
from hookline.relay.sources.source import Batch, Position
from hookline.relay.spool.spool_values import IngestBatch, RejectedLine, ReplayedLine

ROUTES = routes(document(Address("ACME@AdobeOrg", "prod"), channels=["email", "sms"]))
PLACED = Defaults(organization="ACME@AdobeOrg", sandbox="prod")


def sendgrid(number: int, event: str = "delivered") -> dict[str, Any]:
    return {"event": event, "email": f"a{number}@example.com", "timestamp": 1, "sg_event_id": f"e{number}"}


def groups(*documents: object, defaults: Defaults = PLACED) -> list[IngestBatch]:
    """What each transaction holds."""
    lines = [line(data, n) for n, data in enumerate((json.dumps(one).encode() for one in documents), 1)]
    batch, start = Batch("log", lines, Position(name="log"), True), 0
    found = []
    while start < len(lines):
        intake, more = build_batch(batch, IngestContext(routes=ROUTES, defaults=defaults), start)
        found.append(intake)
        start += more
    return found


def taken(*documents: object, defaults: Defaults = PLACED) -> IngestBatch:
    (intake,) = groups(*documents, defaults=defaults)
    return intake


def again(refused: RejectedLine, defaults: Defaults = PLACED) -> IngestBatch:
    """A rejected line or event, read once more."""
    rereading = ReplayedLine(n=7, source="log", line=refused.line, part=refused.part)
    intake, lines = build_replay_batch([rereading], "log", IngestContext(routes=ROUTES, defaults=defaults))
    assert (1, [7]) == (lines, intake.replaced_lines)
    return intake


def sinch(recipients: Sequence[str], batch: str = "b", **more: object) -> dict[str, Any]:
    """A full report of a batch, which lists its recipients."""
    group = {"status": "Delivered", "code": 0, "recipients": recipients}
    return {"type": "delivery_report_sms", "batch_id": batch, "statuses": [group], **more}


def test_each_event_of_a_line_is_a_delivery_of_its_own() -> None:
    """All of them are in the transaction that acknowledges their line."""
    intake = taken([sendgrid(1), sendgrid(2)], sendgrid(3))
    assert [1, 1, 2] == [one.line for one in intake.deliveries]
    assert len({one.delivery.id for one in intake.deliveries}) == intake.read == 3


def test_statuses_that_are_not_relayed_are_counted_by_name_within_a_bound() -> None:
    """A log of invented statuses makes no more counters than there may be."""
    intake = taken([sendgrid(n, f"novelty-{n}") for n in range(3 * MAX_SKIP_NAMES)])
    assert len(intake.skipped) == MAX_SKIP_NAMES + 1
    assert intake.skipped["status_not_relayed:other"] == 2 * MAX_SKIP_NAMES
    assert sum(intake.skipped.values()) == intake.read == 3 * MAX_SKIP_NAMES


def test_rejected_event_of_a_batch_keeps_its_own_item() -> None:
    """A thousand events without an organization are not kept as a thousand copies of their line."""
    intake = taken([sendgrid(1), sendgrid(2)], defaults=Defaults())
    assert [json.dumps(sendgrid(n), separators=(",", ":")).encode() for n in (1, 2)] == [
        one.line.data for one in intake.rejected
    ]
    assert [(1, WHOLE_LINE), (1, WHOLE_LINE)] == [(one.line.number, one.part) for one in intake.rejected]


def test_rejected_item_is_read_again_by_itself() -> None:
    """What was kept of a batch is an event of its own, in the same format, with the same id."""
    whole = taken([sendgrid(1), sendgrid(2)])
    refused = taken([sendgrid(1), sendgrid(2)], defaults=Defaults()).rejected[1]
    (one,) = again(refused).deliveries
    assert isinstance(one.delivery, Delivery)
    assert whole.deliveries[1].delivery.id == one.delivery.id


def test_line_of_one_kind_of_fault_is_kept_whole() -> None:
    """Where a line is one event, or its events are not its items, it is kept as it was."""
    ses = {"eventType": "Send", "mail": {"messageId": "m", "destination": ["a@example.com", "b@example.com"]}}
    intake = taken(ses, defaults=Defaults())
    assert [json.dumps(ses).encode()] * 2 == [one.line.data for one in intake.rejected]
    assert [0, 1] == [one.part for one in intake.rejected]


def test_a_line_is_not_kept_with_each_of_thousands_of_rejected_events() -> None:
    """A report on thousands of recipients that nobody can be told of is one dead letter, and read again as one."""
    report = sinch([str(n) for n in range(5_000)])
    intake = taken(report, defaults=Defaults())
    (refused,) = intake.rejected
    assert (1, WHOLE_LINE, json.dumps(report).encode()) == (intake.read, refused.part, refused.line.data)
    assert refused.reason.startswith("no organization: ")
    assert "(5,000 of the line's 5,000 events are rejected, too many to keep one by one;" in refused.reason
    replayed = again(refused)
    assert (
        5_000 == len({one.delivery.id for one in replayed.deliveries}) == replayed.read + len(replayed.replaced_lines)
    )


def test_a_few_rejected_events_do_not_hold_back_their_line() -> None:
    """Where the copies are small, the sound events of a line are delivered, and only the others are read again."""
    intake = taken(sinch(["1", "", "3"]))
    (refused,) = intake.rejected
    assert (2, 1, 3) == (len(intake.deliveries), refused.part, intake.read)
    replayed = again(refused)
    assert ([], 1, 0) == (replayed.deliveries, len(replayed.rejected), replayed.read)


def test_what_is_kept_of_a_line_is_bounded() -> None:
    """However many of its events are rejected, and however long it is, its copies take no more than their room."""
    for recipients, filling in ((40, 10), (40, 2_000), (3, 50_000), (3_000, 100_000)):
        report = sinch([""] * recipients + ["1"], client_reference="x" * filling)
        intake = taken(report)
        kept = sum(one.line.length for one in intake.rejected)
        assert kept <= max(MAX_COPIED_BYTES, len(json.dumps(report)))
        assert len(intake.rejected) in (1, recipients)


def test_a_line_rejected_as_a_whole_is_read_again_as_a_whole() -> None:
    """A report that was read as another format's is one dead letter; with that set right it gives all its events."""
    data = json.dumps(sinch(["1", "2"])).encode()
    batch = Batch("log", [line(data)], Position(name="log"), True)
    intake, _ = build_batch(batch, IngestContext(routes=ROUTES, defaults=PLACED, format="ses"))
    replayed = again(intake.rejected[0])
    assert (2, 1) == (len(replayed.deliveries), replayed.read)


def test_events_of_a_line_are_bounded() -> None:
    """A line of one event too many is rejected as one; with one less, all of them are delivered."""
    recipients = [str(n) for n in range(MAX_EVENTS_PER_LINE + 1)]
    assert MAX_EVENTS_PER_LINE == len(taken(sinch(recipients[1:])).deliveries)
    intake = taken(sinch(recipients))
    assert [f"more than {MAX_EVENTS_PER_LINE:,} events in one line"] == [one.reason for one in intake.rejected]
    assert 1 == intake.read


def test_what_the_events_of_a_line_share_is_bounded() -> None:
    """Many recipients with a long text that each of their events repeats: rejected, before it fills the memory."""
    intake = taken(sinch([str(n) for n in range(5_000)], client_reference="x" * 500_000))
    assert ["one line with events of more than 16 MiB in all"] == [one.reason for one in intake.rejected]


def test_a_batch_of_many_events_is_cut() -> None:
    """What one transaction holds is bounded; only the last one of a batch moves the position."""
    recipients = [str(n) for n in range(MAX_EVENTS_PER_LINE - 1)]
    found = groups(*(sinch(recipients, f"b{n}") for n in range(5)))
    assert [2, 2, 1] == [len(one.deliveries) // len(recipients) for one in found]
    assert [None, None, Position(name="log")] == [one.position for one in found]
    assert 5 * len(recipients) == sum(one.read for one in found)


def test_each_group_of_a_log_has_a_position() -> None:
    """A group follows the one before it, and ends after its last line. The offsets between lines are in no group."""
    recipients = [str(n) for n in range(MAX_EVENTS_PER_LINE - 1)]
    data = [json.dumps(sinch(recipients, f"b{n}")).encode() for n in range(5)]
    lines = [Line(100 + 10 * n, one, len(one)) for n, one in enumerate(data)]
    batch = Batch("log", lines, Position(name="log", key=b"k", line=200, offset=200, follows=95), False)
    found, start = [], 0
    while start < len(lines):
        group, taken = build_batch(batch, IngestContext(routes=ROUTES, defaults=PLACED), start)
        assert group.position is not None
        found.append((group.position.follows, group.position.offset, group.position.line))
        start += taken
    assert [(95, 111, 111), (111, 131, 131), (131, 200, 200)] == found


def test_a_batch_of_long_events_is_cut() -> None:
    """Bytes count as well, of what is sent and of what is kept of rejected lines."""
    long = "x" * 900_000
    found = groups(*({**sinch(["1"], f"b{n}"), "client_reference": long} for n in range(40)))
    assert (
        max(sum(len(one.delivery.body) for one in each.deliveries) for each in found)
        < MAX_EVENT_BYTES_PER_LINE + 10**6
    )
    assert [19, 19, 2] == [len(one.deliveries) for one in found]
    assert 3 == len(groups(*({"RecordType": 1, "text": long} for _ in range(40))))
