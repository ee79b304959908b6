"""Which webhook an event is for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import document, routes
from hookline.errors import WrongUse
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event
from hookline.relay.routing import SKIP_REASONS, Defaults

PROD_ID = "068abf40-575e-11ea-8512-9b1bfdb82603"
NONE = Defaults()


def webhook(**changes: Any) -> dict[str, Any]:
    return document(**{"sandbox": {"name": "prod", "id": PROD_ID}, "channels": ["email", "sms"], **changes})


def event(**changes: Any) -> Event:
    told = {
        "identity": "xdm:1",
        "request_id": "R-1",
        "organization": "acme",
        "sandbox_name": "prod",
        "channel": "email",
        "status": "sent",
        "execution_id": "E-1",
        "message_type": "transactional",
        "campaign_id": "C-1",
        "identity_map": {"email": [{"id": "a@example.com", "primary": True}]},
    }
    return Event(**{**told, **changes})


def delivery(fate: RoutingResult) -> Delivery:
    assert isinstance(fate, Delivery)
    return fate


def payload(fate: RoutingResult) -> Any:
    return msgspec.json.decode(delivery(fate).body)


def test_event_goes_to_the_webhook_of_its_address() -> None:
    """Organization and sandbox name decide, and the delivery carries what the spool keeps beside the body."""
    fate = delivery(routes(webhook(), webhook(sandbox="stage")).route(event(time="2026-05-18T17:01:25Z"), NONE))
    assert Address("acme", "prod") == fate.address
    expected = ("R-1", "email", "sent", "2026-05-18T17:01:25Z")
    assert expected == (fate.request_id, fate.channel, fate.status, fate.time)


@pytest.mark.parametrize(("organization", "sandbox"), [("ACME", "prod"), ("acme", "Prod"), ("acme ", "prod")])
def test_address_is_compared_exactly(organization: str, sandbox: str) -> None:
    """Neither case nor blanks are forgiven: feedback must not reach a neighbour."""
    fate = routes(webhook()).route(event(organization=organization, sandbox_name=sandbox), NONE)
    assert Skipped("no_webhook") == fate


SELECTIONS = [
    ({}, {"organization": "other"}, "no_webhook"),
    ({}, {"sandbox_name": "stage"}, "no_webhook"),
    ({}, {"sandbox_name": None, "sandbox_id": "unknown"}, "no_webhook"),
    ({}, {"sandbox_id": "another"}, "sandbox_mismatch"),
    ({}, {"sandbox_name": "renamed", "sandbox_id": PROD_ID}, "sandbox_mismatch"),
    ({}, {"status": "delay"}, "status_not_relayed"),
    ({}, {"status": "Sent"}, "status_not_relayed"),
    ({}, {"channel": "push"}, "channel_not_relayed"),
    ({"events": ["bounce"]}, {"status": "sent"}, "status_not_selected"),
    ({"channels": ["sms"]}, {"channel": "email"}, "channel_not_selected"),
    ({}, {"message_type": "marketing"}, "message_type_not_selected"),
    ({"messageTypes": ["marketing"]}, {"message_type": None}, "message_type_not_selected"),
    ({}, {"journey_version_id": "J-1", "campaign_id": None}, "journey"),
    ({"campaigns": ["C-2"]}, {"campaign_id": "C-1"}, "campaign_not_enabled"),
]


@pytest.mark.parametrize(("configured", "told", "reason"), SELECTIONS)
def test_event_that_is_not_selected_is_skipped(configured: dict[str, Any], told: dict[str, Any], reason: str) -> None:
    """Each kind of event that a webhook does not get is counted under its own word."""
    skipped = routes(webhook(**configured)).route(event(**told), NONE)
    assert isinstance(skipped, Skipped)
    assert reason == skipped.reason


def test_status_that_is_not_relayed_is_named() -> None:
    """What a source calls a status that nobody relays is told, so that a novelty is seen."""
    assert Skipped("status_not_relayed", "delay") == routes(webhook()).route(event(status="delay"), NONE)


def test_every_reason_is_explained_and_met() -> None:
    """The table of reasons has neither a word that is never given nor one that is not explained."""
    assert set(SKIP_REASONS) == {reason for _, _, reason in SELECTIONS} | {
        "not_an_event",
        "unknown_format",
        "unread_outcome",
    }
    assert all(SKIP_REASONS.values())


@pytest.mark.parametrize(
    ("configured", "told"),
    [
        ({}, {"sandbox_id": PROD_ID}),
        ({}, {"sandbox_name": None, "sandbox_id": PROD_ID}),
        ({"sandbox": "prod"}, {"sandbox_id": "any, since the webhook names none"}),
        ({}, {"message_type": None}),
        ({"messageTypes": ["marketing"]}, {"message_type": "marketing"}),
        ({"campaigns": ["C-1", "C-2"]}, {}),
        ({}, {"campaign_id": None}),
        ({"enabled": False}, {}),
    ],
)
def test_event_that_is_selected_is_delivered(configured: dict[str, Any], told: dict[str, Any]) -> None:
    """By name, by id where the name is absent, with or without a campaign; a disabled webhook's events wait."""
    assert isinstance(routes(webhook(**configured)).route(event(**told), NONE), Delivery)


@pytest.mark.parametrize(
    ("told", "flag"),
    [
        ({"organization": None}, "--organization"),
        ({"sandbox_name": None}, "--sandbox"),
        ({"campaign_id": None}, "--campaign"),
        ({"campaign_id": ""}, "--campaign"),
    ],
)
def test_what_an_event_does_not_say_is_named_with_its_flag(told: dict[str, Any], flag: str) -> None:
    """An event that cannot be placed is rejected, and the reason tells what would place it."""
    fate = routes(webhook(campaigns=["C-1"])).route(event(**told), NONE)
    assert isinstance(fate, Rejected)
    assert flag in fate.reason


@pytest.mark.parametrize("field", ["status", "channel"])
def test_event_without_status_or_channel_is_rejected(field: str) -> None:
    """What became of which kind of message cannot be supplied from outside."""
    fate = routes(webhook()).route(event(**{field: None}), NONE)
    assert isinstance(fate, Rejected)
    assert field in fate.reason


def test_defaults_supply_what_is_absent() -> None:
    """The flags stand in for organization, sandbox and campaign, and the payload says so."""
    defaults = Defaults(organization="acme", sandbox="prod", campaign="C-9")
    bare = event(organization=None, sandbox_name=None, campaign_id=None)
    sent = payload(routes(webhook(campaigns=["C-9"])).route(bare, defaults))
    expected = ("acme", "prod", "C-9")
    assert expected == (
        sent["imsOrg"],
        sent["sandbox"]["name"],
        sent["messageExecution"]["campaignID"],
    )


def test_events_own_values_win_over_defaults() -> None:
    """A flag never overrules what the event says."""
    defaults = Defaults(organization="other", sandbox="stage", campaign="C-9")
    sent = payload(routes(webhook(), webhook(sandbox="stage")).route(event(), defaults))
    expected = ("acme", "prod", "C-1")
    assert expected == (
        sent["imsOrg"],
        sent["sandbox"]["name"],
        sent["messageExecution"]["campaignID"],
    )


def test_default_sandbox_stands_in_for_an_id_that_no_webhook_claims() -> None:
    """Where webhooks are written without ids, an event with nothing but an id goes where the flag says."""
    told = event(sandbox_name=None, sandbox_id="some-id")
    defaults = Defaults(sandbox="prod")
    expected = "some-id"
    assert expected == payload(routes(webhook(sandbox="prod")).route(told, defaults))["sandbox"]["id"]
    assert Skipped("sandbox_mismatch") == routes(webhook()).route(told, defaults)


def test_id_of_another_webhook_contradicts_a_name() -> None:
    """A webhook without an id does not receive the events of the sandbox whose id another webhook has."""
    table = routes(webhook(sandbox="prod"), webhook(sandbox={"name": "stage", "id": PROD_ID}))
    assert Skipped("sandbox_mismatch") == table.route(event(sandbox_id=PROD_ID), NONE)


def test_id_that_two_webhooks_claim_routes_nothing() -> None:
    """An ambiguous id is no reason to send one sandbox's feedback to the other."""
    table = routes(webhook(), webhook(sandbox={"name": "stage", "id": PROD_ID}))
    assert Skipped("no_webhook") == table.route(event(sandbox_name=None, sandbox_id=PROD_ID), NONE)


@pytest.mark.parametrize(
    ("configured", "told", "expected"),
    [
        ({}, {"sandbox_id": PROD_ID}, PROD_ID),
        ({}, {"sandbox_id": None}, PROD_ID),
        ({"sandbox": "prod"}, {"sandbox_id": "own"}, "own"),
        ({"sandbox": "prod"}, {"sandbox_id": None}, None),
    ],
)
def test_sandbox_id_is_the_events_else_the_webhooks(
    configured: dict[str, Any], told: dict[str, Any], expected: str | None
) -> None:
    """The payload names the sandbox as well as is known."""
    assert expected == payload(routes(webhook(**configured)).route(event(**told), NONE))["sandbox"]["id"]


def test_delivery_id_stays_the_same_over_releases() -> None:
    """Ids are compared with those of earlier releases: another recipe would send everything again."""
    by_identity = delivery(routes(webhook()).route(event(), NONE))
    by_content = delivery(routes(webhook()).route(event(identity=None), NONE))
    expected = ("ca5c4c05f5ec2b4a286760b9400b2917", "ca5c4c05fa4b0b3dc6ea24053dbdadd8")
    assert expected == (by_identity.id.hex(), by_content.id.hex())
    expected_key = 1161993424359553559
    assert expected_key == by_identity.order_key


def test_delivery_id_is_of_event_and_webhook() -> None:
    """The same event for two webhooks, and two events for one, are different deliveries."""
    table = routes(webhook(), webhook(sandbox="stage"))
    told = [
        event(),
        event(sandbox_name="stage"),
        event(identity="xdm:2"),
        event(identity=None),
        event(identity=None, status="error"),
    ]
    assert len(told) == len({delivery(table.route(each, NONE)).id for each in told})


def test_adding_a_sandbox_id_to_a_webhook_makes_no_new_deliveries() -> None:
    """A re-run after a change of configuration recognizes events that have no identity of their own."""
    told = event(identity=None, request_id=None, execution_id=None)
    before = delivery(routes(webhook(sandbox="prod")).route(told, NONE))
    after = delivery(routes(webhook()).route(told, NONE))
    assert before.id == after.id
    assert before.request_id == after.request_id
    assert before.body != after.body


def test_request_id_is_derived_from_the_message_execution() -> None:
    """Where the source names no request, all events of one execution share one, in every run; others do not."""
    table = routes(webhook(), webhook(sandbox="stage"))

    def request_of(**told: Any) -> str:
        fate = delivery(table.route(event(request_id=None, **told), NONE))
        assert fate.request_id == msgspec.json.decode(fate.body)["requestId"]
        return fate.request_id

    assert request_of(identity="xdm:1") == request_of(identity="xdm:2", status="bounce")
    apart = [
        request_of(),
        request_of(execution_id="E-2"),
        request_of(sandbox_name="stage"),
        request_of(execution_id=None),
    ]
    assert len(apart) == len(set(apart))
    assert request_of(execution_id=None) == request_of(execution_id=None)
    assert request_of(execution_id=None) != request_of(execution_id=None, status="bounce")


def test_order_key_is_of_one_message_to_one_recipient() -> None:
    """Events of one message to one recipient share a key; another recipient, message or webhook has another."""
    table = routes(webhook(), webhook(sandbox="stage"))

    def key(**told: Any) -> int | None:
        return delivery(table.route(event(**told), NONE)).order_key

    assert key() == key(identity="xdm:2", status="delivered", request_id="R-2")
    other = {"email": [{"id": "b@example.com"}]}
    apart = [
        key(),
        key(identity_map=other),
        key(identity_map=None),
        key(execution_id="E-2"),
        key(sandbox_name="stage"),
    ]
    assert len(apart) == len(set(apart))
    assert key(execution_id=None) is None


@given(
    st.text(alphabet="ab1:", max_size=4), st.text(alphabet="ab1:", max_size=4), st.text(alphabet="ab1:", max_size=4)
)
def test_parts_of_a_key_do_not_run_into_each_other(organization: str, sandbox: str, execution: str) -> None:
    """Shifting a character from one part to the next makes another key."""

    def key(first: str, second: str, third: str) -> int | None:
        table = routes(webhook(organization=first, sandbox=second))
        told = event(organization=first, sandbox_name=second, execution_id=third)
        return delivery(table.route(told, NONE)).order_key

    parts = ("o" + organization, "s" + sandbox, "e" + execution)
    assert key(*parts) != key(parts[0] + "s", sandbox or "s", parts[2])
    assert key(*parts) != key(parts[0], parts[1] + "e", execution or "e")


def test_order_key_fits_into_sqlite() -> None:
    """The key is a signed 64-bit integer, which is what a column can hold."""
    keys = [delivery(routes(webhook()).route(event(execution_id=f"E-{n}"), NONE)).order_key for n in range(100)]
    assert all(key is not None and -(2**63) <= key < 2**63 for key in keys)
    assert any(key is not None and key < 0 for key in keys)


def test_default_that_is_not_text_is_wrong_use() -> None:
    """A stray byte in an argument is refused at the door, since no payload could hold it."""
    with pytest.raises(WrongUse, match="--campaign"):
        Defaults(campaign="C-\udcff")
