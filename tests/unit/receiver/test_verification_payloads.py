from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hookline.receiver.verification import MAX_PROBLEM_CHARACTERS, PayloadCheck

FACTS = Path(__file__).parents[2] / "facts"


def payload(**changes: Any) -> bytes:
    """The platform's own example, with changes."""
    return json.dumps(
        {
            "requestId": "8NoByJneShCdCGRnrGS1t1m3CdA73dhR",
            "imsOrg": "myImsOrg",
            "sandbox": {"id": "068abf40-575e-11ea-8512-9b1bfdb82603", "name": "prod"},
            "channel": "email",
            "eventType": "message.feedback",
            "messageExecution": {
                "messageExecutionID": "HUMA-26362805",
                "messageType": "transactional",
                "campaignID": "16f24a15-7e21-477c-848a-d5695ca7f137",
                "campaignVersionID": "2ca10c10-56dd-4505-87cd-fa5da84e7a5d",
            },
            "messageDeliveryFeedback": {
                "feedbackStatus": {"value": "bounce"},
                "offers": None,
                "messageExclusion": None,
                "messageFailure": {"category": "sync", "type": "Ignored", "code": "25", "reason": "Admin Failure"},
                "retryCount": 0,
            },
            "identityMap": {"email": [{"id": "john.doe@luma.com", "primary": True}]},
            **changes,
        }
    ).encode()


@pytest.fixture(scope="module")
def check() -> PayloadCheck:
    return PayloadCheck()


def test_the_documented_payload_holds(check: PayloadCheck) -> None:
    """The platform's example is valid."""
    assert True is check.check(payload())


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON: "),
        (b"\xff", "not JSON: "),
        (b"[]", "$: "),
        (payload(channel=7), "$.channel: "),
        (payload(sandbox={"id": "x"}), "$.sandbox: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(check: PayloadCheck, body: bytes, complaint: str) -> None:
    """A finding begins with the JSON path of the value at fault."""
    found = check.check(body)
    assert isinstance(found, str)
    assert found.startswith(complaint)


def test_a_huge_value_does_not_make_a_huge_finding(check: PayloadCheck) -> None:
    """A message quotes the value, but only its beginning."""
    found = check.check(payload(channel="x" * 10_000))
    assert isinstance(found, str)
    assert MAX_PROBLEM_CHARACTERS == len(found)


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_a_payload_of_structure_2_is_held_to_that(check: PayloadCheck, channel: str) -> None:
    """A body with structure 2 is checked against its schema, and the error is about its own channel."""
    example = json.loads((FACTS / f"payload-2-{channel}-example.json").read_text())
    assert True is check.check(json.dumps(example).encode())
    del example["messageDeliveryFeedback"]["encoding"]
    complaint = check.check(json.dumps(example).encode())
    expected = "$.messageDeliveryFeedback: 'encoding' is a required property"
    assert expected == complaint
