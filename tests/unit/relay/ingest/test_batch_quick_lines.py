"""Lines that are read quickly lead to the deliveries that a careful reading leads to, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import document, line, routes
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, RoutingResult
from hookline.relay.event import Event
from hookline.relay.formats.line_reader import read_carefully, read_quickly
from hookline.relay.formats.registry import QUICK
from hookline.relay.ingest.batch import IngestContext, route_line
from hookline.relay.payload_line import PayloadLine
from hookline.relay.routing import Defaults
from platform_lines import DATASET, PAYLOAD, lines_with_another_value, lines_with_other_text, paths, replaced

ORGANIZATION = "myImsOrg"
ID = json.loads(PAYLOAD)["sandbox"]["id"]
CAMPAIGN = json.loads(PAYLOAD)["messageExecution"]["campaignID"]
PLACED = Defaults(organization=ORGANIZATION, sandbox="prod")
SAMPLES = {"payload": [PAYLOAD], "xdm": DATASET}


def context(defaults: Defaults = PLACED, *others: object, **webhook: Any) -> IngestContext:
    """The context of a webhook for the samples, and of `others`, webhooks for these sandboxes."""
    made = [{"channels": ["email", "sms"], **webhook}, *({"sandbox": sandbox} for sandbox in others)]
    table = routes(*(document(Address(ORGANIZATION, "prod"), **fields) for fields in made))
    return IngestContext(routes=table, defaults=defaults)


# Webhooks that take a line as it is, and webhooks for which the relay adds or checks something.
CONTEXTS = {
    "plain": context(),
    "no defaults": context(Defaults()),
    "sandbox id": context(sandbox={"name": "prod", "id": ID}),
    "another sandbox id": context(sandbox={"name": "prod", "id": "another"}),
    "id of another": context(PLACED, {"name": "stage", "id": ID}),
    "structure 2": context(payload=2),
    "campaign": context(Defaults(campaign="C-1"), campaigns=[CAMPAIGN]),
    "another campaign": context(
        Defaults(organization=ORGANIZATION, sandbox="prod", campaign="C-1"), campaigns=["C-1"]
    ),
    "email": context(PLACED, "stage", channels=["email"], events=["bounce"], messageTypes=["marketing"]),
    "unknown": IngestContext(routes=routes(), defaults=PLACED),
}


def carefully(data: bytes, within: IngestContext) -> list[RoutingResult]:
    """The results if the line is decoded whole, and each event becomes an `Event`."""
    parsed = read_carefully(line(data), within.format, within.defaults.mapping)
    return [within.routes.route(one, within.defaults) if isinstance(one, Event) else one for one in parsed]


def results(data: bytes, within: IngestContext) -> list[RoutingResult]:
    return [result for _, _, result in route_line(line(data), within)]


def test_each_quick_format_has_samples() -> None:
    """The properties below hold for every format with a quick reader, and every sample is read by it."""
    assert QUICK.keys() == SAMPLES.keys()
    for data in (data for samples in SAMPLES.values() for data in samples):
        assert read_quickly(line(data)) is not None


def test_a_payload_is_sent_as_it_was_decoded() -> None:
    """The example of the documentation needs no event, except for a webhook that adds a value to it."""
    found = read_quickly(line(PAYLOAD))
    assert isinstance(found, PayloadLine)
    for name in ("plain", "no defaults", "sandbox id", "campaign"):
        assert isinstance(CONTEXTS[name].routes.send_as_read(found), Delivery)
    for name in ("another sandbox id", "structure 2", "another campaign", "email", "unknown", "id of another"):
        assert CONTEXTS[name].routes.send_as_read(found) is None


@pytest.mark.parametrize("name", CONTEXTS)
def test_samples_lead_to_the_same_deliveries(name: str) -> None:
    """For each webhook, sound lines give the same results in both ways."""
    for data in (data for samples in SAMPLES.values() for data in samples):
        assert carefully(data, CONTEXTS[name]) == results(data, CONTEXTS[name])


FURTHER = {
    "": ["channelContext", "_experience", "x"],
    "messageExecution": ["journeyVersionID", "messageID", "messageProfileID", "campaignType"],
    "messageDeliveryFeedback": [
        *("encoding", "numberOfMessageParts", "deliveryTimestamp", "responseCode", "responseDurationMillis")
    ],
}


ANY_VALUES: Sequence[Any] = (
    *(None, "", "a", "out_of_band", "marketing", 0, 7, False, {}, []),
    *({"email": []}, {"profileNumber": "1"}),
)


def changed_payloads() -> Iterator[bytes]:
    """The payload without one of its parts, with another value in its place, or with a further field."""
    payload = json.loads(PAYLOAD)
    for path in paths(payload)[1:]:
        for value in ANY_VALUES:
            yield msgspec.json.encode(replaced(payload, path, value))
        yield PAYLOAD.replace(f'"{path[-1]}": '.encode(), b'"another": ')
    for name, fields in FURTHER.items():
        for field, value in product(fields, ANY_VALUES):
            above = {**(payload[name] if name else payload), field: value}
            yield msgspec.json.encode(replaced(payload, (name,) if name else (), above))


@pytest.mark.parametrize("name", CONTEXTS)
def test_each_field_of_a_payload_is_sent_as_a_careful_reading_sends_it(name: str) -> None:
    """No field can be absent, empty, of another type or in addition so that the two ways differ."""
    for data in changed_payloads():
        assert carefully(data, CONTEXTS[name]) == results(data, CONTEXTS[name]), data


# As many payloads as dataset events, although they have one sample, because each of their fields decides.
_LINES = st.one_of(
    *(change(samples) for change in (lines_with_another_value, lines_with_other_text) for samples in SAMPLES.values())
)


@given(_LINES, st.sampled_from(list(CONTEXTS)))
def test_any_line_leads_to_the_same_deliveries(data: bytes, name: str) -> None:
    """For any content of a line, no byte of a delivery and no refusal depends on how it was read."""
    assert carefully(data, CONTEXTS[name]) == results(data, CONTEXTS[name])
