"""Webhooks that have moved: their identity, their ids, and the address of an earlier delivery."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import ACME, delivery, document, event
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, Line, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import NO_MAPPING
from hookline.relay.formats.line_reader import event_of, read_quickly
from hookline.relay.ingest.batch import IngestContext, route_line
from hookline.relay.routing import Defaults, Routes
from hookline.state.moved_webhooks import MovedWebhooks, WebhookIdentity
from hookline.state.store import Move, Snapshot, Stored

LIVE = Address("acme", "live")
OTHER = Address("other", "prod")
THIRD = Address("third", "prod")
PAYLOAD: dict[str, Any] = {
    "requestId": "R-1", "imsOrg": "acme", "sandbox": {"id": None, "name": "prod"}, "channel": "email",
    "eventType": "message.feedback",
    "messageExecution": {"messageExecutionID": "HUMA-1", "messageType": "transactional", "campaignID": "c",
                         "campaignVersionID": None},
    "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}, "offers": None, "messageExclusion": None,
                                "messageFailure": None, "retryCount": 0},
    "identityMap": {"email": [{"id": "ada@example.com", "primary": True}]},
}  # fmt: skip


def routes_after(*moves: tuple[Address, Address], applied: tuple[Address, ...]) -> Routes:
    """The routes after moves, each with its own serial."""
    recorded = tuple(Move(old, new, serial) for serial, (old, new) in enumerate(moves, 5))
    return Routes.from_snapshot(Snapshot("L", 9, {one: Stored.of(document(one)) for one in applied}, moves=recorded))


def routed(routes: Routes, found: Event, address: Address) -> Delivery:
    """The delivery of a provider's event, which names no address."""
    result = routes.route(found, Defaults(organization=address.organization, sandbox=address.sandbox))
    assert isinstance(result, Delivery)
    return result


def sent(routes: Routes, address: Address) -> Delivery:
    """The delivery of a payload, which names its address."""
    value = {**PAYLOAD, "imsOrg": address.organization, "sandbox": {"id": None, "name": address.sandbox}}
    line = json.dumps(value).encode()
    [(_, _, result)] = route_line(Line(1, line, len(line)), IngestContext(routes=routes, defaults=Defaults()))
    assert isinstance(result, Delivery)
    return result


@pytest.mark.parametrize(
    ("moves", "address"),
    [
        ([(ACME, LIVE)], LIVE),
        ([(ACME, LIVE), (LIVE, OTHER)], OTHER),
        ([(ACME, LIVE), (LIVE, ACME)], ACME),
        ([(ACME, LIVE), (LIVE, ACME), (ACME, THIRD)], THIRD),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"identity": "provider-id"}, {"further": {"messageID": "m"}}])
def test_ids_stay_the_same(moves: list[tuple[Address, Address]], address: Address, fields: dict[str, Any]) -> None:
    """An event gives the same id, request id and order key at the old and at the new address."""
    found = event(execution_id="HUMA-1", campaign_id="c", identity_map={"email": [{"id": "a"}]}, **fields)
    before = routed(routes_after(applied=(ACME,)), found, ACME)
    after = routed(routes_after(*moves, applied=(address,)), found, address)
    assert (before.id, before.request_id, before.order_key) == (after.id, after.request_id, after.order_key)
    assert address == after.address


def test_ids_of_payloads_stay_the_same() -> None:
    """A payload that is exported again with the new address is a duplicate. Its body has the new address, and its
    delivery is that of the event in it."""
    before, moved = sent(routes_after(applied=(ACME,)), ACME), routes_after((ACME, OTHER), applied=(OTHER,))
    after = sent(moved, OTHER)
    assert (before.id, before.order_key, OTHER) == (after.id, after.order_key, after.address)
    assert ("other", {"id": None, "name": "prod"}) == items_of(after, "imsOrg", "sandbox")
    line = json.dumps({**PAYLOAD, "imsOrg": "other"}).encode()
    found = read_quickly(Line(1, line, len(line)), "auto", NO_MAPPING)
    assert found is not None
    assert after.id == routed(moved, event_of(found), OTHER).id


def items_of(found: Delivery, *names: str) -> tuple[Any, ...]:
    body = json.loads(found.body)
    return tuple(body[name] for name in names)


def test_a_new_webhook_at_an_address_that_was_left() -> None:
    """It is another webhook: its ids are neither those of the earlier one nor those of any later one there."""
    found = event(execution_id="HUMA-1", campaign_id="c")
    routes = routes_after((ACME, LIVE), (ACME, OTHER), applied=(ACME, LIVE, OTHER))
    ids = {routed(routes, found, address).id for address in (ACME, LIVE, OTHER)}
    assert 3 == len(ids)
    assert WebhookIdentity(ACME, 6) == routes.moved.identity(ACME)


def test_an_old_address_has_no_webhook() -> None:
    """Routing is by the address that an event names. An earlier delivery, for example from an exported dead letter,
    goes to the webhook wherever it is now."""
    routes = routes_after((ACME, LIVE), (LIVE, OTHER), applied=(OTHER,))
    found = event(execution_id="HUMA-1", campaign_id="c", organization="acme", sandbox_name="prod")
    assert Skipped("no_webhook") == routes.route(found, Defaults())
    letter = delivery("a")
    rerouted = routes.reroute(letter)
    assert isinstance(rerouted, Delivery)
    assert (OTHER, letter.id, letter.body) == (rerouted.address, rerouted.id, rerouted.body)


def test_the_present_address() -> None:
    """A webhook that has the address comes first. Circles end, and a webhook that was deleted has no address."""
    moved = MovedWebhooks([Move(ACME, LIVE, 5), Move(LIVE, ACME, 6), Move(ACME, OTHER, 7)])
    assert OTHER == moved.new_address(ACME, {OTHER})
    assert OTHER == moved.new_address(LIVE, {OTHER})
    assert moved.new_address(ACME, {ACME, OTHER}) is None
    assert moved.new_address(ACME, ()) is None
    assert moved.new_address(OTHER, ()) is None


def test_no_move_can_be_forgotten() -> None:
    """Without any of the moves, also of webhooks that are deleted by now, an address would have another identity."""
    chain = [(ACME, LIVE), (OTHER, ACME), (LIVE, THIRD), (THIRD, OTHER)]
    moves = [Move(old, new, serial) for serial, (old, new) in enumerate(chain, 1)]
    addresses = (ACME, LIVE, OTHER, THIRD)

    def identities(kept: list[Move]) -> list[WebhookIdentity]:
        moved = MovedWebhooks(kept)
        return [moved.identity(address) for address in addresses]

    for index in range(len(moves)):
        assert identities(moves) != identities(moves[:index] + moves[index + 1 :])
