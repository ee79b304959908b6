"""The platform's dataset event, in both of its spellings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import line
from hookline.model import Address
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, EventDetails, MessageFailure, payload_bytes
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.line_reader import read_line

FACTS = Path(__file__).parents[5] / "tests/facts"
DATASET: list[dict[str, Any]] = [
    json.loads(line) for line in (FACTS / "xdm-feedback-events.ndjson").read_text().splitlines()
]
BOUNCE, OUT_OF_BAND = DATASET[3], DATASET[15]
FULL = "https://ns.adobe.com/experience/customerJourneyManagement"
AT = "_experience.customerJourneyManagement"


def read(document: object, choice: str = "auto") -> ParsedEvent:
    data = msgspec.json.encode(document)
    (reading,) = read_line(line(data), choice)
    return reading


def test_every_field_of_a_bounce_is_read() -> None:
    """A dataset event says everything but the organization and the sandbox."""
    expected = Event(
        identity="xdm:d9b1c1e0-0004-4a51-9a43-5a0a3f5f7b10",
        request_id="REQ-80940502",
        channel="email",
        status="bounce",
        execution_id="HUMA-26362802",
        message_type="transactional",
        campaign_id="16f24a15-7e21-477c-848a-d5695ca7f137",
        campaign_version_id="2ca10c10-56dd-4505-87cd-fa5da84e7a5d",
        failure=MessageFailure(category="sync", type="Hard", code="10", reason="Invalid Recipient"),
        retry_count=0,
        identity_map={"email": [{"id": "user2@example.com", "primary": True}]},
        time="2026-05-18T17:02:25.000Z",
        further=EventDetails(profile_id="4218b775-bef3-46b2-aee2-7caae052cf02"),
    )
    assert expected == read(BOUNCE)


def test_statuses_stay_the_platforms_words() -> None:
    """Each status is read as it is, also those that are not relayed, but for out_of_band."""
    statuses = [event.status for event in map(read, DATASET) if isinstance(event, Event)]
    expected = ["sent", "delivered", "sent", "bounce", "bounce", "bounce", "error", "sent", "delivered"]
    assert [*expected, "exclude", "delay", "denylist", "sent", "sent", "sent", "bounce", "delivered"] == statuses


def test_out_of_band_is_an_asynchronous_bounce() -> None:
    """The category is async also where the event names no failure at all."""
    management = OUT_OF_BAND["_experience"]["customerJourneyManagement"]
    bare = {"feedbackStatus": "out_of_band"}
    event = read(
        {**OUT_OF_BAND, "_experience": {"customerJourneyManagement": {**management, "messageDeliveryfeedback": bare}}}
    )
    assert isinstance(event, Event)
    expected = "bounce"
    assert expected == event.status
    assert MessageFailure(category="async") == event.failure


def test_channel_is_the_last_part_of_its_name() -> None:
    """Channels are named by URI; push and others are kept, for routing to skip."""
    channels = {event.channel for event in map(read, DATASET) if isinstance(event, Event)}
    assert {"email", "sms", "push"} == channels


def test_messages_of_journeys_are_marked() -> None:
    """A journey's message carries its journeyVersionID into the event, for routing to skip."""
    event = read(DATASET[13])
    assert isinstance(event, Event)
    expected = "0cc85961-487d-49e5-9b6c-01f5630756ac"
    assert expected == event.journey_version_id


def fully_named(node: Any, place: str) -> Any:
    """Every name below customerJourneyManagement as its full URI, as the schemas' own examples write them."""
    if not isinstance(node, dict) or place.endswith("/channel"):
        return node
    return {f"{place}/{key}": fully_named(item, f"{place}/{key}") for key, item in node.items()}


def flat(document: dict[str, Any]) -> dict[str, Any]:
    """Each value under one full path at the top of the event."""
    management = document["_experience"]["customerJourneyManagement"]
    sections = {f"{FULL}/{name}/{key}": item for name, section in management.items() for key, item in section.items()}
    return {**{key: item for key, item in document.items() if key != "_experience"}, **sections}


def nested(document: dict[str, Any]) -> dict[str, Any]:
    """Full names all the way down."""
    management = fully_named(document["_experience"]["customerJourneyManagement"], FULL)
    return {**{key: item for key, item in document.items() if key != "_experience"}, **management}


def sections_named(document: dict[str, Any]) -> dict[str, Any]:
    """Only the sections have full names; what is in them is bare."""
    management = document["_experience"]["customerJourneyManagement"]
    sections = {f"{FULL}/{name}": section for name, section in management.items()}
    return {**{key: item for key, item in document.items() if key != "_experience"}, **sections}


def root_named(document: dict[str, Any]) -> dict[str, Any]:
    """Below _experience, with customerJourneyManagement by its full name."""
    return {**document, "_experience": {FULL: document["_experience"]["customerJourneyManagement"]}}


def prefixed(document: dict[str, Any]) -> dict[str, Any]:
    """The names of the common schema with their prefix, ids as @id."""
    identities = {
        namespace: [{f"xdm:{key}": item for key, item in entry.items()} for entry in entries]
        for namespace, entries in document["identityMap"].items()
    }
    names = {"@id": document["_id"], "xdm:timestamp": document["timestamp"], "xdm:eventType": document["eventType"]}
    written = json.dumps(nested(document)).replace('"_id"', '"@id"')
    sections = {key: item for key, item in json.loads(written).items() if key.startswith(FULL)}
    return {**names, "xdm:identityMap": identities, **sections}


@pytest.mark.parametrize("spelling", [flat, nested, sections_named, root_named, prefixed])
@pytest.mark.parametrize("number", range(len(DATASET)))
def test_all_spellings_say_the_same(spelling: Any, number: int) -> None:
    """Wherever full names stand, and however deep, the event is the one that its bare form is."""
    assert read(DATASET[number]) == read(spelling(DATASET[number]))


def test_older_full_names_inside_of_a_failure() -> None:
    """Older schemas left messageFailure out of the names of its parts; they are read all the same."""
    document = sections_named(BOUNCE)
    document[f"{FULL}/messageDeliveryfeedback"] = {
        f"{FULL}/messageDeliveryfeedback/feedbackStatus": "bounce",
        f"{FULL}/messageDeliveryfeedback/messageFailure": {
            f"{FULL}/messageDeliveryfeedback/reason": "Mailbox Full",
            f"{FULL}/messageDeliveryfeedback/code": "22",
            f"{FULL}/messageDeliveryfeedback/type": "Soft",
        },
    }
    event = read(document)
    assert isinstance(event, Event)
    assert MessageFailure(type="Soft", code="22", reason="Mailbox Full") == event.failure


@pytest.mark.parametrize("kind", ["message.tracking", "directMarketing.emailOpened"])
def test_other_events_of_the_platform_are_no_feedback(kind: str) -> None:
    """An event of another type is skipped, also when the format is named: it is not broken."""
    management = {"messageInteraction": {"interactionType": "open"}}
    document = {**BOUNCE, "eventType": kind, "_experience": {"customerJourneyManagement": management}}
    assert Skipped("not_an_event") == read(document)
    assert Skipped("not_an_event") == read(document, "xdm")


@pytest.mark.parametrize(
    ("section", "value", "reason"),
    [
        ("messageDeliveryfeedback", {}, f"{AT}.messageDeliveryfeedback.feedbackStatus: missing"),
        ("messageDeliveryfeedback", None, f"{AT}.messageDeliveryfeedback: expected an object, found null"),
        (
            "messageDeliveryfeedback",
            {"feedbackStatus": {"value": "sent"}},
            f"{AT}.messageDeliveryfeedback.feedbackStatus: expected text, found an object",
        ),
        ("messageProfile", {}, f"{AT}.messageProfile.channel: missing"),
        ("messageProfile", {"channel": {"_type": "x"}}, f"{AT}.messageProfile.channel._id: missing"),
        (
            "messageExecution",
            {"messageExecutionID": 26362802},
            f"{AT}.messageExecution.messageExecutionID: expected text or null, found a whole number",
        ),
    ],
)
def test_fault_is_named_by_its_bare_path(section: str, value: object, reason: str) -> None:
    """What is missing or of another type is named by the path where exported data sets have it."""
    management = {**BOUNCE["_experience"]["customerJourneyManagement"], section: value}
    assert Rejected(reason) == read({**BOUNCE, "_experience": {"customerJourneyManagement": management}})


def test_endless_full_name_makes_no_endless_tree() -> None:
    """A name of ten thousand parts is not unfolded."""
    name = f"{FULL}/messageDeliveryfeedback" + "/messageExclusion" * 10_000
    event = read({**BOUNCE, name: {"code": "1"}})
    assert isinstance(event, Event)
    assert len(msgspec.json.encode(event.exclusion)) < 1000


def test_payload_of_a_bounce_has_the_documented_structure() -> None:
    """A dataset event becomes the documented payload byte for byte, but for its own values."""
    event = read(DATASET[5])
    assert isinstance(event, Event)
    sent = payload_bytes(
        event,
        address=Address("myImsOrg", "prod"),
        sandbox_id="068abf40-575e-11ea-8512-9b1bfdb82603",
        campaign_id=event.campaign_id,
        request_id=event.request_id,
    )
    expected = json.dumps(json.loads((FACTS / "payload-example.json").read_text()), separators=(",", ":"))
    for documented, own in [
        ("8NoByJneShCdCGRnrGS1t1m3CdA73dhR", "REQ-80940504"),
        ("HUMA-26362805", "HUMA-26362804"),
        ("john.doe@luma.com", "user4@example.com"),
    ]:
        expected = expected.replace(documented, own)
    assert expected.encode() == sent
