"""The platform's payload as input, and its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from builders import line
from hookline.model import Address
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure, payload_bytes
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.line_reader import read_line

ROOT = Path(__file__).parents[5]
EXAMPLE: dict[str, Any] = json.loads((ROOT / "tests/facts/payload-example.json").read_text())
SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas/event.v1.schema.json").read_text()))


def read(document: object, choice: str = "payload") -> ParsedEvent:
    data = msgspec.json.encode(document)
    (reading,) = read_line(line(data), choice)
    return reading


def changed(path: str, value: object) -> dict[str, Any]:
    """The example with another value at a dotted path."""
    document: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
    *above, last = path.split(".")
    node = document
    for key in above:
        node = node[key]
    node[last] = value
    return document


def test_every_field_of_the_example_is_read() -> None:
    """Reading the documented payload and sending it again loses nothing."""
    event = read(EXAMPLE, "auto")
    assert isinstance(event, Event)
    sent = payload_bytes(
        event,
        address=Address(event.organization or "", event.sandbox_name or ""),
        sandbox_id=event.sandbox_id,
        campaign_id=event.campaign_id,
        request_id=event.request_id,
    )
    assert json.dumps(EXAMPLE, separators=(",", ":")).encode() == sent


@pytest.mark.parametrize("version", ["email", "sms"])
def test_fields_of_a_later_payload_are_ignored(version: str) -> None:
    """A payload with fields that version 1 does not have is an event all the same."""
    document = json.loads((ROOT / f"tests/facts/payload-2-{version}-example.json").read_text())
    event = read(document, "auto")
    assert isinstance(event, Event)
    assert version == event.channel
    assert document["identityMap"] == event.identity_map


def test_channel_and_status_are_enough() -> None:
    """Everything but what became of a message, and over which channel, may be absent."""
    least = {"channel": "sms", "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}}}
    assert Event(channel="sms", status="sent") == read(least)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("imsOrg", 7, "imsOrg: expected text or null, found a whole number"),
        ("sandbox", "prod", "sandbox: expected an object or null, found text"),
        ("sandbox.name", ["prod"], "sandbox.name: expected text or null, found a list"),
        ("channel", None, "channel: expected text, found null"),
        (
            "messageExecution.campaignID",
            16,
            "messageExecution.campaignID: expected text or null, found a whole number",
        ),
        (
            "messageDeliveryFeedback.feedbackStatus",
            "bounce",
            "messageDeliveryFeedback.feedbackStatus: expected an object, found text",
        ),
        ("messageDeliveryFeedback.feedbackStatus", {}, "messageDeliveryFeedback.feedbackStatus.value: missing"),
        (
            "messageDeliveryFeedback.messageFailure.code",
            25,
            "messageDeliveryFeedback.messageFailure.code: expected text or null, found a whole number",
        ),
        (
            "messageDeliveryFeedback.retryCount",
            "0",
            "messageDeliveryFeedback.retryCount: expected a whole number or null, found text",
        ),
        ("identityMap", {"email": [{"id": 1}]}, "identityMap[...][0].id: expected text, found a whole number"),
        ("eventType", 3, "eventType: expected text or null, found a whole number"),
    ],
)
def test_wrong_type_is_rejected_with_its_path(path: str, value: object, reason: str) -> None:
    """A value of another type is not converted: the reason names the field, what is due and what was found."""
    assert Rejected(reason) == read(changed(path, value))


@pytest.mark.parametrize("field", ["channel", "messageDeliveryFeedback"])
def test_missing_field_is_named(field: str) -> None:
    """An event that lacks what every event needs is rejected with the field's name, also under auto."""
    document = {key: value for key, value in EXAMPLE.items() if key != field}
    assert Rejected(f"{field}: missing") == read(document, "auto")


def test_event_of_another_type_is_no_feedback() -> None:
    """A sound event of another type is skipped, not rejected."""
    assert Skipped("not_an_event") == read({**EXAMPLE, "eventType": "message.tracking"})


def test_out_of_band_is_an_asynchronous_bounce() -> None:
    """The platform's out_of_band becomes a bounce that was reported later, whatever its category said."""
    event = read(changed("messageDeliveryFeedback.feedbackStatus.value", "out_of_band"))
    assert isinstance(event, Event)
    expected = "bounce"
    assert expected == event.status
    assert MessageFailure(category="async", type="Ignored", code="25", reason="Admin Failure") == event.failure


def test_passed_through_values_stay_as_they_are() -> None:
    """Offers, exclusions and identities are not looked into; large numbers keep their digits."""
    offers = [{"id": 123456789012345678901234567890, "nested": [None, True, 1.5]}]
    identities = {"email": [{"id": "a@example.com", "authenticatedState": "ambiguous"}]}
    document = {**changed("messageDeliveryFeedback.offers", offers), "identityMap": identities}
    event = read(document)
    assert isinstance(event, Event)
    assert offers == event.offers
    assert identities == event.identity_map


_FIELDS = [
    "requestId",
    "imsOrg",
    "sandbox",
    "sandbox.id",
    "sandbox.name",
    "channel",
    "eventType",
    "messageExecution",
    "messageExecution.messageExecutionID",
    "messageExecution.messageType",
    "messageExecution.campaignID",
    "messageExecution.campaignVersionID",
    "messageExecution.journeyVersionID",
    "messageDeliveryFeedback",
    "messageDeliveryFeedback.feedbackStatus",
    "messageDeliveryFeedback.feedbackStatus.value",
    "messageDeliveryFeedback.offers",
    "messageDeliveryFeedback.messageExclusion",
    "messageDeliveryFeedback.messageFailure",
    "messageDeliveryFeedback.messageFailure.category",
    "messageDeliveryFeedback.messageFailure.reason",
    "messageDeliveryFeedback.retryCount",
    "identityMap",
    "further",
]
_PARTS: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        3,
        1.5,
        "text",
        "",
        [],
        ["x"],
        {},
        {"value": "sent"},
        {"value": 1},
        {"a": []},
        {"a": [{}]},
        {"a": [{"id": "i"}]},
        {"a": [{"id": "i", "primary": 1}]},
        {"a": [{"id": None}]},
        {"id": "i"},
        {"name": 4},
    ]
)


@given(st.sampled_from(_FIELDS), _PARTS)
def test_schema_and_reader_agree(field: str, value: object) -> None:
    """What the published schema calls an event is read as one, and what it does not is rejected."""
    assume(not (field == "eventType" and isinstance(value, str)))  # of another type: skipped, which no schema knows
    document = changed(field, value)
    assert SCHEMA.is_valid(document) == isinstance(read(document), Event)
