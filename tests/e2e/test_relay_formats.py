"""Senders' event logs as they are, from files to requests at a real HTTPS receiver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hookline_process import ORGANIZATION, SANDBOX, Lab, Receiver

CASES = Path(__file__).parents[1] / "cases" / "formats"
LOG = ("sendgrid/batch-in-one-line", "ses/sns-envelope", "postfix/delivered-bounced-deferred", "twilio/failures")


def url(receiver: Receiver) -> str:
    return f"https://localhost:{receiver.port}/feedback"


def mixed_log(lab: Lab) -> str:
    path = lab.directory / "senders.log"
    path.write_bytes(b"".join((CASES / case / "input.ndjson").read_bytes() for case in LOG))
    return str(path)


def test_log_of_many_senders_is_delivered_in_one_pass(lab: Lab) -> None:
    """Each line is recognized by itself, each event is a request or a counted skip; a second run sends nothing."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        log = mixed_log(lab)
        summary = lab.relay(receiver, log)
        skipped = {
            "not_an_event": 5,
            "status_not_relayed:click": 1,
            "status_not_relayed:deferred": 2,
            "status_not_relayed:open": 1,
        }
        assert {"read": 22, "delivered": 13, "skipped": skipped, "rejected": 0}.items() <= summary.items()
        assert [True] * 13 == [request["verified"]["payload"] for request in receiver.records()]
        assert {"delivered": 0, "duplicates": 13}.items() <= lab.relay(receiver, "--from-start", log).items()


def test_webhook_that_says_payload_2_gets_structure_2(lab: Lab) -> None:
    """The same log in the newer structure: another body under the same ids, valid by its own schema."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver), payload=2)
        log = mixed_log(lab)
        lab.relay(receiver, log)
        requests = receiver.records()
        bodies: list[dict[str, Any]] = [request["body"] for request in requests]
        assert [True] * 13 == [request["verified"]["payload"] for request in requests]
        assert all("campaignType" in body["messageExecution"] for body in bodies)
        numbers = {body["channelContext"]["profileNumber"] for body in bodies if body["channel"] == "sms"}
        assert {f"+1555555012{n}" for n in range(1, 6)} == numbers
        lab.apply(url(receiver), payload=1)
        assert {"delivered": 0, "duplicates": 13}.items() <= lab.relay(receiver, "--from-start", log).items()


def test_batch_that_lacked_an_organization_is_read_again_event_by_event(lab: Lab) -> None:
    """What was rejected of a batch is delivered by a replay, once the missing field has a path."""
    events = [
        {"event": "delivered", "email": f"a{n}@example.com", "timestamp": 1779123685, "sg_event_id": str(n),
         "tenant": {"org": ORGANIZATION, "box": SANDBOX}}
        for n in range(3)
    ]  # fmt: skip
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        (lab.directory / "batch").write_text(json.dumps(events) + "\n")
        options = lab.relay_arguments(receiver, "--summary", "json")
        bare = [word for word in options if word not in ("--organization", ORGANIZATION, "--sandbox", SANDBOX)]
        first = json.loads(lab.hookline(*bare, "batch", code=3).stdout)
        assert {"read": 3, "rejected": 3}.items() <= first.items()
        assert all("--map organization=PATH" in letter["reason"] for letter in lab.dead())
        lab.hookline("dead", "replay", "--all")
        paths = ("--map", "organization=tenant.org", "--map", "sandbox=tenant.box")
        again = json.loads(lab.hookline(*bare, *paths, "--drain").stdout)
        assert {"delivered": 3, "rejected": 0, "pending": 0}.items() <= again.items()
        recipients = [request["body"]["identityMap"]["email"][0]["id"] for request in receiver.records()]
    assert ["a0@example.com", "a1@example.com", "a2@example.com"] == sorted(recipients)


def test_reports_on_thousands_of_recipients(lab: Lab) -> None:
    """Without an organization each is one dead letter; replayed, or read at once, each of their events is accounted
    for, in several transactions."""
    lines = []
    for batch in range(3):
        groups = [
            {"status": "Dispatched", "recipients": [f"+1555{batch}"]},
            {"status": "Delivered", "recipients": [f"+1666{number}" for number in range(5_000)]},
        ]
        lines.append(json.dumps({"type": "delivery_report_sms", "batch_id": f"b{batch}", "statuses": groups}))
    (lab.directory / "log").write_text("\n".join(lines) + "\n")
    with lab.receiver() as receiver:
        lab.apply(url(receiver), events=["sent"])
        options = lab.relay_arguments(receiver, "--summary", "json")
        bare = [word for word in options if word not in ("--organization", ORGANIZATION)]
        first = json.loads(lab.hookline(*bare, "log", code=3).stdout)
        assert {"read": 3, "rejected": 3}.items() <= first.items()
        assert all("too many to keep one by one" in letter["reason"] for letter in lab.dead())
        rehearsed = json.loads(lab.hookline(*options, "--dry-run", "--from-start", "log").stdout.splitlines()[-1])
        assert {"read": 15_003, "pending": 3, "rejected": 0}.items() <= rehearsed.items()
        lab.hookline("dead", "replay", "--all")
        again = json.loads(lab.hookline(*options, "--drain").stdout)
        assert {"read": 15_000, "carried": 3, "delivered": 3}.items() <= again.items()
        assert {"status_not_selected": 15_000} == again["skipped"]
        at_once = lab.relay(receiver, "--from-start", "log")
        assert {
            "read": 15_003,
            "duplicates": 3,
            "skipped": {"status_not_selected": 15_000},
        }.items() <= at_once.items()


def test_names_of_skipped_statuses_are_bounded(lab: Lab) -> None:
    """A thousand invented statuses become fifty counters and one for the rest; none is lost from the sum."""
    lines = (
        json.dumps({"event": f"novelty-{n}", "email": "a@example.com", "timestamp": 1, "sg_event_id": str(n)})
        for n in range(1000)
    )
    (lab.directory / "log").write_text("\n".join(lines) + "\n")
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        summary = lab.relay(receiver, "log")
    assert 51 == len(summary["skipped"])
    assert 950 == summary["skipped"]["status_not_relayed:other"]
    assert 1000 == sum(summary["skipped"].values())
