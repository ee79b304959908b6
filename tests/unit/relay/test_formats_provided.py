"""What providers' events come to in places where their documentation has the odd example, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hookline.relay.fates import Line, Rejected, Skipped
from hookline.relay.feedback import Event
from hookline.relay.formats.port import Reading
from hookline.relay.formats.reading import read_line
from hookline.relay.hints import NO_HINTS, Hints, parse_mapping


def read(document: object, *mappings: str, format: str = "auto") -> list[Reading]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    hints = Hints(paths=tuple(map(parse_mapping, mappings))) if mappings else NO_HINTS
    return read_line(Line(1, data, len(data)), format, hints)


def event(document: object, *mappings: str, format: str = "auto") -> Event:
    (found,) = read(document, *mappings, format=format)
    assert isinstance(found, Event), found
    return found


def postmark(**more: object) -> dict[str, Any]:
    return {"RecordType": "Bounce", "Type": "SoftBounce", "MessageID": "m", "Email": "a@example.com", **more}


def sinch(**more: object) -> dict[str, Any]:
    return {"type": "recipient_delivery_report_sms", "batch_id": "b", "status": "Delivered", **more}


def ses(kind: str, **more: object) -> dict[str, Any]:
    return {"eventType": kind, "mail": {"messageId": "m", "destination": ["a@example.com", "b@example.com"]}, **more}


@pytest.mark.parametrize("number", [10**18, 4323372036854775807, 2**64 - 1, 2**80])
def test_ids_may_be_long_numbers(number: int) -> None:
    """Ids of 64 bits (snowflakes, and the one in Postmark's own documentation) are ids like any other."""
    assert f"postmark:{number}" == event(postmark(ID=number)).identity
    assert str(number) == event(postmark(n=number), "requestId=n").request_id


def test_two_bounces_of_one_message_are_two_events() -> None:
    """Only their long ids tell them apart."""
    first, second = (event(postmark(ID=4323372036854775800 + n)) for n in (1, 2))
    assert first.identity != second.identity


@pytest.mark.parametrize("number", [1e300, 2.0**53 * 2, 10**4000])
def test_what_no_id_can_be_is_none(number: float) -> None:
    """A fraction that may have lost digits, and a number without end, name nothing."""
    assert event(postmark(ID=number)).identity is None


@pytest.mark.parametrize(
    "document",
    [
        sinch(),
        {"RecordType": "Delivery", "MessageID": "m"},
        ses("Delivery", delivery={"recipients": [""]}),
        {"MessageSid": "SM1", "MessageStatus": "delivered"},
        {"event": "delivered", "id": "e", "timestamp": 1, "message": {}},
    ],
    ids=["sinch", "postmark", "ses", "twilio", "mailgun"],
)
def test_mapped_recipients_are_different_events(document: dict[str, Any]) -> None:
    """Where the recipient stands elsewhere, it belongs to the identity all the same; read again it is the same."""
    found = [event({**document, "who": who}, "recipient=who") for who in ("+1555", "+1666", "+1555")]
    keys = [(one.identity, json.dumps(one.identity_map)) for one in found]
    assert keys[0] == keys[2] != keys[1]
    if "MessageSid" not in document and "event" not in document:
        assert found[0].identity != found[1].identity


def test_mapped_number_is_the_profiles_number() -> None:
    """Structure 2 of the payload names it too."""
    further = event(sinch(who="+1555"), "recipient=who").further
    assert further is not None
    assert "+1555" == further.profile_number
