"""From a batch of lines to what the spool makes durable."""

from __future__ import annotations

import json
from typing import Any

from hookline.relay.fates import Delivery, Line
from hookline.relay.intake import Reading, take, take_again
from hookline.relay.naming import MOST_NAMES
from hookline.relay.routing import Defaults, Routes
from hookline.relay.sources.port import Batch, Position
from hookline.relay.spool.port import Intake, Rereading
from hookline.state.snapshot import Snapshot, Stored

APPLIED = Stored(
    {
        "version": 1,
        "organization": "ACME@AdobeOrg",
        "sandbox": "prod",
        "name": "n",
        "channels": ["email"],
        "url": "https://hooks.acme.example/",
        "campaigns": "all",
    }
)
ROUTES = Routes.of(Snapshot(lineage="l", serial=1, webhooks={APPLIED.webhook.address: APPLIED}))
PLACED = Defaults(organization="ACME@AdobeOrg", sandbox="prod")


def sendgrid(number: int, event: str = "delivered") -> dict[str, Any]:
    return {"event": event, "email": f"a{number}@example.com", "timestamp": 1, "sg_event_id": f"e{number}"}


def taken(*documents: object, defaults: Defaults = PLACED) -> Intake:
    lines = [Line(n, data, len(data)) for n, data in enumerate((json.dumps(one).encode() for one in documents), 1)]
    return take(Batch("log", lines, Position(name="log"), True), Reading(routes=ROUTES, defaults=defaults))


def test_each_event_of_a_line_is_a_delivery_of_its_own() -> None:
    """All of them are in the transaction that acknowledges their line."""
    intake = taken([sendgrid(1), sendgrid(2)], sendgrid(3))
    assert [1, 1, 2] == [one.line for one in intake.deliveries]
    assert len({one.delivery.id for one in intake.deliveries}) == intake.read == 3


def test_statuses_that_are_not_relayed_are_counted_by_name_within_a_bound() -> None:
    """A log of invented statuses makes no more counters than there may be."""
    intake = taken([sendgrid(n, f"novelty-{n}") for n in range(3 * MOST_NAMES)])
    assert len(intake.skipped) == MOST_NAMES + 1
    assert intake.skipped["status_not_relayed:other"] == 2 * MOST_NAMES
    assert sum(intake.skipped.values()) == intake.read == 3 * MOST_NAMES


def test_rejected_event_of_a_batch_keeps_its_own_item() -> None:
    """A thousand events without an organization are not kept as a thousand copies of their line."""
    intake = taken([sendgrid(1), sendgrid(2)], defaults=Defaults())
    assert [json.dumps(sendgrid(n), separators=(",", ":")).encode() for n in (1, 2)] == [
        one.line.data for one in intake.rejected
    ]
    assert [(1, 0), (1, 0)] == [(one.line.number, one.part) for one in intake.rejected]


def test_rejected_item_is_read_again_by_itself() -> None:
    """What was kept of a batch is an event of its own, in the same format, with the same id."""
    whole = taken([sendgrid(1), sendgrid(2)])
    refused = taken([sendgrid(1), sendgrid(2)], defaults=Defaults()).rejected[1]
    reading = Reading(routes=ROUTES, defaults=PLACED)
    again = take_again([Rereading(n=7, source="log", line=refused.line, part=refused.part)], "log", reading)
    (one,) = again.deliveries
    assert isinstance(one.delivery, Delivery)
    assert whole.deliveries[1].delivery.id == one.delivery.id


def test_line_of_one_kind_of_fault_is_kept_whole() -> None:
    """Where a line is one event, or its events are not its items, it is kept as it was."""
    ses = {"eventType": "Send", "mail": {"messageId": "m", "destination": ["a@example.com", "b@example.com"]}}
    intake = taken(ses, defaults=Defaults())
    assert [json.dumps(ses).encode()] * 2 == [one.line.data for one in intake.rejected]
    assert [0, 1] == [one.part for one in intake.rejected]
