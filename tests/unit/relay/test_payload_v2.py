"""Structure 2 of the payload, by the platform's examples of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from builders import document, event, line, routes
from hookline.model import Address
from hookline.relay.delivery_record import Delivery
from hookline.relay.event import Event, EventDetails
from hookline.relay.formats.line_reader import read_line
from hookline.relay.payload_v2 import payload_v2_bytes
from hookline.relay.routing import Defaults
from hookline.schemas import load_schema

FACTS = Path(__file__).parents[2] / "facts"
EXAMPLES = {
    channel: json.loads((FACTS / f"payload-2-{channel}-example.json").read_text()) for channel in ("email", "sms")
}
VALIDATOR = Draft202012Validator(load_schema("payload.v2"))


def body(**told: Any) -> Any:
    sent = payload_v2_bytes(
        event(**told), address=Address("myImsOrg", "prod"), sandbox_id=None, campaign_id=None, request_id="R-1"
    )
    return json.loads(sent)


def both_forms(feedback: dict[str, Any], execution: dict[str, Any], context: dict[str, Any]) -> tuple[Any, Any]:
    """The same SMS event as a payload and as an event of the dataset."""
    payload = {
        "requestId": "R-1",
        "channel": "sms",
        "eventType": "message.feedback",
        "channelContext": context,
        "messageExecution": {**execution, "messageProfileID": "P-1"},
        "messageDeliveryFeedback": {**feedback, "feedbackStatus": {"value": feedback["feedbackStatus"]}},
        "identityMap": {"Phone": [{"id": "+15555550123", "primary": True}]},
    }
    management = {
        "messageExecution": execution,
        "messageProfile": {
            "messageProfileID": "P-1",
            "requestID": "R-1",
            "channel": {"_id": "https://ns.adobe.com/xdm/channels/sms"},
        },
        "messageDeliveryfeedback": feedback,
        "smsChannelContext": context,
    }
    dataset = {
        "eventType": "message.feedback",
        "identityMap": payload["identityMap"],
        "_experience": {"customerJourneyManagement": management},
    }
    return payload, dataset


@pytest.mark.parametrize("slowly", [False, True], ids=["quickly", "carefully"])
@pytest.mark.parametrize("structure", [1, 2])
def test_both_readers_of_the_platform_agree(structure: int, slowly: bool) -> None:
    """The same event with every field that a payload has, as a payload and as an event of the dataset."""
    feedback = {
        "feedbackStatus": "bounce",
        "offers": [{"id": "o"}],
        "messageExclusion": {"code": "c", "reason": "r"},
        "messageFailure": {"category": "sync", "type": "Hard", "code": "10", "reason": "x"},
        "retryCount": 3,
        "responseCode": 200,
        "responseDurationMillis": 286,
        "encoding": "GSM",
        "numberOfMessageParts": "2",
        "deliveryTimestamp": "2026-10-06T18:22:41.512Z",
    }
    execution = {
        "messageExecutionID": "U-1",
        "messageType": "transactional",
        "campaignID": "C-1",
        "campaignVersionID": "CV-1",
        "messageID": "M-1",
        "campaignType": "ApiTriggered",
    }
    context = {"profileNumber": "+15555550123", "profileAddress": "a"}
    further = {"note": "\\u0041"} if slowly else {}
    parts = [json.dumps({**one, **further}).replace("\\\\", "\\") for one in both_forms(feedback, execution, context)]
    table = routes(document(Address("myImsOrg", "prod"), channels=["email", "sms"], payload=structure))
    bodies = []
    for data in parts:
        (read,) = read_line(line(data.encode()))
        assert isinstance(read, Event)
        fate = table.route(read, Defaults(organization="myImsOrg", sandbox="prod"))
        assert isinstance(fate, Delivery), fate
        bodies.append(json.loads(fate.body))
    assert bodies[0] == bodies[1]
    told = bodies[0]["messageDeliveryFeedback"]
    assert ([200, 286, "2"] if structure == 2 else [None] * 3) == [
        told.get("responseCode"),
        told.get("responseDurationMillis"),
        told.get("numberOfMessageParts"),
    ]


def relayed(source: object, structure: int) -> Delivery:
    data = json.dumps(source).encode()
    (read,) = read_line(line(data))
    assert isinstance(read, Event)
    table = routes(document(Address("myImsOrg", "prod"), channels=["email", "sms"], payload=structure))
    fate = table.route(read, Defaults())
    assert isinstance(fate, Delivery)
    return fate


@pytest.mark.parametrize("channel", list(EXAMPLES))
def test_documented_example_is_reproduced_byte_for_byte(channel: str) -> None:
    """What comes in as the platform documents it goes out as the platform documents it, only without the blanks."""
    expected = json.dumps(EXAMPLES[channel], separators=(",", ":")).encode()
    assert expected == relayed(EXAMPLES[channel], 2).body


@pytest.mark.parametrize("channel", list(EXAMPLES))
def test_every_field_is_there_even_when_nothing_is_known(channel: str) -> None:
    """Absent values are null; nothing is left out, at any depth, and nothing is added."""
    sent = body(channel=channel)
    example = EXAMPLES[channel]
    assert list(example) == list(sent)
    for inner in ("messageExecution", "messageDeliveryFeedback", *(["channelContext"] if channel == "sms" else [])):
        assert list(example[inner]) == list(sent[inner])
    VALIDATOR.validate(sent)


@pytest.mark.parametrize("channel", list(EXAMPLES))
def test_schema_wants_every_field_and_no_other(channel: str) -> None:
    """A payload that lacks a field of its channel, or has one of the other's, is not of version 2."""
    example = EXAMPLES[channel]
    assert VALIDATOR.is_valid(example)
    assert not VALIDATOR.is_valid({**example, "extra": 1})
    for field in example:
        assert not VALIDATOR.is_valid({key: value for key, value in example.items() if key != field})
    for inner in ("messageExecution", "messageDeliveryFeedback"):
        for field in example[inner]:
            less = {key: value for key, value in example[inner].items() if key != field}
            assert not VALIDATOR.is_valid({**example, inner: less})
    other = EXAMPLES["sms" if channel == "email" else "email"]
    assert not VALIDATOR.is_valid({**example, "channel": other["channel"]})


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("ApiTriggered", "ApiTriggered"),
        ("apitriggered", "ApiTriggered"),
        ("SCHEDULED", "Scheduled"),
        ("Journey", None),
        (None, None),
    ],
)
def test_campaign_type_is_one_of_two(told: str | None, expected: str | None) -> None:
    """The two words of the platform come out in its spelling, anything else is null: no payload breaks its schema."""
    sent = body(campaign_type=told)
    assert expected == sent["messageExecution"]["campaignType"]
    VALIDATOR.validate(sent)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": "delivered", "time": "2026-05-18T17:01:25Z"}, "2026-05-18T17:01:25.000Z"),
        ({"status": "delivered", "time": "2026-05-18T19:01:25.1234567+02:00"}, "2026-05-18T17:01:25.123Z"),
        ({"status": "delivered", "time": "2026-05-18T17:01:25"}, "2026-05-18T17:01:25.000Z"),
        ({"status": "delivered", "time": "last week"}, None),
        ({"status": "delivered"}, None),
        ({"status": "bounce", "time": "2026-05-18T17:01:25Z"}, None),
        (
            {"status": "bounce", "further": EventDetails(delivered_at="2026-05-18T17:01:25Z")},
            "2026-05-18T17:01:25.000Z",
        ),
    ],
)
def test_delivery_time_is_utc_with_milliseconds(told: dict[str, Any], expected: str | None) -> None:
    """It is the event's own delivery time, else the time of an event that says delivered."""
    sent = body(**told)
    assert expected == sent["messageDeliveryFeedback"]["deliveryTimestamp"]
    VALIDATOR.validate(sent)


def test_number_of_parts_is_text() -> None:
    """A number where the platform has text is sent as text."""
    feedback = {**EXAMPLES["sms"]["messageDeliveryFeedback"], "numberOfMessageParts": 3}
    sent = json.loads(relayed({**EXAMPLES["sms"], "messageDeliveryFeedback": feedback}, 2).body)
    expected = "3"
    assert expected == sent["messageDeliveryFeedback"]["numberOfMessageParts"]


@pytest.mark.parametrize("value", [7, True, {"a": 1}, [], 1.5])
def test_new_field_of_another_type_is_as_good_as_none(value: object) -> None:
    """A line that structure 1 could always be made of is not refused for a field that only structure 2 shows."""
    execution = {**EXAMPLES["email"]["messageExecution"], "campaignType": value}
    delivery = relayed({**EXAMPLES["email"], "messageExecution": execution}, 2)
    assert json.loads(delivery.body)["messageExecution"]["campaignType"] is None


@pytest.mark.parametrize("channel", list(EXAMPLES))
def test_choice_of_structure_makes_no_new_deliveries(channel: str) -> None:
    """A webhook that goes from one structure to the other does not send again what it has sent."""
    first, second = relayed(EXAMPLES[channel], 1), relayed(EXAMPLES[channel], 2)
    assert first.id == second.id
    assert first.body != second.body


@pytest.mark.parametrize("channel", list(EXAMPLES))
def test_structure_1_shows_nothing_of_structure_2(channel: str) -> None:
    """Lines of structure 2 go out in structure 1 to webhooks that have it: its fields, and no others."""
    sent = json.loads(relayed(EXAMPLES[channel], 1).body)
    Draft202012Validator(load_schema("payload.v1")).validate(sent)
