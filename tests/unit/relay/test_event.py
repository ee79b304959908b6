"""The payload: the platform's documented structure, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from builders import event
from hookline.model import Address
from hookline.relay.event import Event, MessageFailure, payload_bytes, primary_identity

ROOT = Path(__file__).parents[3]
EXAMPLE = json.loads((ROOT / "tests/facts/payload-example.json").read_text())
SCHEMA = json.loads((ROOT / "schemas/payload.v1.schema.json").read_text())
ADDRESS = Address("myImsOrg", "prod")


def body(told: Event, **settled: str | None) -> bytes:
    known = {"sandbox_id": None, "campaign_id": None, "request_id": "R-1", **settled}
    return payload_bytes(told, address=ADDRESS, **known)


def test_documented_example_is_reproduced_byte_for_byte() -> None:
    """The platform's documented bounce comes out as the example has it, only without the blanks."""
    told = event(
        status="bounce",
        execution_id="HUMA-26362805",
        message_type="transactional",
        campaign_version_id="2ca10c10-56dd-4505-87cd-fa5da84e7a5d",
        failure=MessageFailure(category="sync", type="Ignored", code="25", reason="Admin Failure"),
        retry_count=0,
        identity_map={"email": [{"id": "john.doe@luma.com", "primary": True}]},
    )
    sent = body(
        told,
        sandbox_id="068abf40-575e-11ea-8512-9b1bfdb82603",
        campaign_id="16f24a15-7e21-477c-848a-d5695ca7f137",
        request_id="8NoByJneShCdCGRnrGS1t1m3CdA73dhR",
    )
    assert json.dumps(EXAMPLE, separators=(",", ":")).encode() == sent


def test_every_field_is_there_even_when_nothing_is_known() -> None:
    """What the source does not say is null in the payload, never left out."""
    sent = json.loads(body(event()))
    assert list(EXAMPLE) == list(sent)
    assert list(EXAMPLE["messageExecution"]) == list(sent["messageExecution"])
    assert list(EXAMPLE["messageDeliveryFeedback"]) == list(sent["messageDeliveryFeedback"])
    assert sent["identityMap"] is None
    Draft202012Validator(SCHEMA).validate(sent)


def test_absent_parts_of_a_failure_are_null() -> None:
    """A failure of which only the reason is known still has its four fields."""
    sent = json.loads(body(event(status="error", failure=MessageFailure(reason="Message processing failed"))))
    expected = {"category": None, "type": None, "code": None, "reason": "Message processing failed"}
    assert expected == sent["messageDeliveryFeedback"]["messageFailure"]


def test_text_beyond_ascii_is_utf8() -> None:
    """The body is UTF-8, not escapes."""
    assert "José 📨".encode() in body(event(execution_id="José 📨"))


@pytest.mark.parametrize("field", list(EXAMPLE))
def test_schema_wants_every_field(field: str) -> None:
    """A payload that lacks one of the fields is not of version 1."""
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(EXAMPLE)
    assert not validator.is_valid({key: value for key, value in EXAMPLE.items() if key != field})


def test_schema_admits_no_further_field() -> None:
    """A payload with a field of its own is not of version 1, at the top or deeper."""
    validator = Draft202012Validator(SCHEMA)
    assert not validator.is_valid({**EXAMPLE, "extra": 1})
    assert not validator.is_valid({**EXAMPLE, "messageExecution": {**EXAMPLE["messageExecution"], "extra": 1}})


@pytest.mark.parametrize(
    ("identity_map", "expected"),
    [
        (None, None),
        ({}, None),
        ({"email": []}, None),
        ({"email": [{"id": "a"}, {"id": "b"}]}, "a"),
        ({"email": [{"id": "a"}, {"id": "b", "primary": True}]}, "b"),
        ({"phone": [{"id": "p", "primary": True}], "email": [{"id": "a", "primary": False}]}, "p"),
        ({"phone": [{"id": "p"}], "email": [{"id": "a"}]}, "a"),
        ({"email": [{"id": "a"}], "phone": [{"id": "p"}]}, "a"),
    ],
)
def test_recipient_is_the_primary_identity(identity_map: dict[str, Any] | None, expected: str | None) -> None:
    """The entry that says primary is the recipient, else the first in the order of the namespaces' names."""
    assert expected == primary_identity(identity_map)
