"""The event of `check --send`."""

from __future__ import annotations

import json
from itertools import product

import pytest
from jsonschema import Draft202012Validator

from builders import webhook
from hookline.model import Address, Channel, FeedbackStatus
from hookline.relay.preflight.checks import test_body as body_of
from hookline.schemas import load_schema


@pytest.mark.parametrize(
    ("payload", "channel", "status", "campaigns"),
    [*product((1, 2), Channel, FeedbackStatus, (None, frozenset({"c"})))],
)
def test_valid(payload: int, channel: Channel, status: FeedbackStatus, campaigns: frozenset[str] | None) -> None:
    """It is valid by its structure's schema, for every channel and status that a webhook may have asked for alone."""
    asked = {"campaigns": campaigns, "events": frozenset({status}), "payload": payload}
    asking = webhook(Address("acme@Org", "prod"), channels=frozenset({channel}), **asked)
    body = json.loads(body_of(asking, "hookline-test-1", "2026-11-22T15:23:26.000+00:00"))
    Draft202012Validator(load_schema(f"payload.v{payload}")).validate(body)
    assert (str(channel), "acme@Org") == (body["channel"], body["imsOrg"])
