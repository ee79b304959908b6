"""Finds the webhook for an event: a pure function of the event and of the applied webhooks, never of a file.

Routing does not check whether a webhook is enabled. The events of a disabled webhook remain pending in the spool.

A skipped event is counted by its reason, and a status that is not relayed also by its name. The names come from
providers, so `SkipNames` bounds their number: a log with a million invented statuses makes no million counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from hookline.errors import WrongUse
from hookline.model import Channel, FeedbackStatus, Webhook
from hookline.relay.delivery_record import MAX_DETAIL_CHARACTERS, Delivery, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event, payload_bytes, primary_identity
from hookline.relay.field_mapping import NO_MAPPING, FieldMapping
from hookline.relay.ids import delivery_id, derived_request_id, framed, order_key
from hookline.relay.payload_v2 import PAYLOAD_BYTES
from hookline.state.store import Snapshot

# The keys are stable, because summaries, metrics and alerts count by them. The name of a status that is not relayed
# follows its key (`status_not_relayed:open`), so that a provider's new status is visible.
SKIP_REASONS: Mapping[str, str] = {
    "no_webhook": "no webhook is applied for the event's organization and sandbox",
    "sandbox_mismatch": "the applied webhooks assign the event's sandbox name and id to different sandboxes",
    "status_not_relayed": "a status other than sent, delivered, bounce and error, such as open; its name follows",
    "channel_not_relayed": "a channel other than email and sms, such as push",
    "status_not_selected": "the webhook's events do not include the event's feedback status",
    "channel_not_selected": "the webhook's channels do not include the event's",
    "message_type_not_selected": "the webhook's messageTypes do not include the event's, such as marketing",
    "journey": "the message belongs to a journey (journeyVersionID), not to an API-triggered campaign",
    "campaign_not_enabled": "the webhook's campaigns do not include the event's",
    "not_an_event": "the line has no feedback event: it is blank, another type of event, or another program's line",
    "unknown_format": "JSON of no known format; the name of its event follows, if it has one",
    "unread_outcome": "a mail server's line that looks like a result (`to=`, `status=`, `stat=`), not understood",
}

# Providers do not report a message type. Feedback webhooks are for transactional messages, so an event without a type
# is selected as transactional. Its payload contains null.
_DEFAULT_MESSAGE_TYPE = "transactional"
RELAYED_STATUSES = frozenset[str](FeedbackStatus)
RELAYED_CHANNELS = frozenset[str](Channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Values from the command line for fields that events do not have.

    An event's own values have priority, then the paths of `mapping` (``--map``), which are in the event before it is
    routed. Raises WrongUse for a text without a UTF-8 form (an invalid byte in an argument), because no payload can
    contain it.
    """

    organization: str | None = None
    sandbox: str | None = None
    campaign: str | None = None
    mapping: FieldMapping = NO_MAPPING

    def __post_init__(self) -> None:
        for name in ("organization", "sandbox", "campaign"):
            try:
                (getattr(self, name) or "").encode()
            except UnicodeEncodeError as error:
                raise WrongUse(f"--{name}: not valid UTF-8", hint="check the terminal's encoding") from error


class _Route(NamedTuple):
    """A webhook, its sets as plain text, and the `seed` that begins every hash."""

    webhook: Webhook
    channels: frozenset[str]
    events: frozenset[str]
    seed: bytes


@dataclass(frozen=True, slots=True)
class Routes:
    """The routing table of one snapshot. A new serial of the state gets a new table."""

    by_name: Mapping[tuple[str, str], _Route]
    by_id: Mapping[tuple[str, str], _Route]

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Routes:
        by_name: dict[tuple[str, str], _Route] = {}
        by_id: dict[tuple[str, str], list[_Route]] = {}
        for stored in snapshot.webhooks.values():
            webhook, organization = stored.webhook, stored.webhook.address.organization
            seed = framed(organization) + framed(webhook.address.sandbox)
            route = _Route(webhook, frozenset(webhook.channels), frozenset(webhook.events), seed)
            by_name[organization, webhook.address.sandbox] = route
            if webhook.sandbox_id is not None:
                by_id.setdefault((organization, webhook.sandbox_id), []).append(route)
        # An id that two webhooks claim is ambiguous, so it identifies neither.
        return cls(by_name, {key: claims[0] for key, claims in by_id.items() if len(claims) == 1})

    def route(self, event: Event, defaults: Defaults) -> RoutingResult:
        """Returns the event's delivery, or the first reason against it in the order of SKIP_REASONS.

        A missing organization, sandbox, campaign, status or channel is Rejected.
        """
        found = self._find(event, defaults)
        if not isinstance(found, _Route):
            return found
        if refusal := _refuse_for_webhook(event, found):
            return refusal
        campaign = event.campaign_id or defaults.campaign or None
        if found.webhook.campaigns is not None:
            if campaign is None:
                return Rejected(
                    f"no campaign: the event has no campaignID, and {found.webhook.address} is enabled for certain "
                    "campaigns only; --campaign or --map campaign=PATH supplies it"
                )
            if campaign not in found.webhook.campaigns:
                return Skipped("campaign_not_enabled")
        return _delivery(event, found, campaign)

    def reroute(self, delivery: Delivery) -> RoutingResult:
        """Returns a delivery that was routed before, or Skipped if its webhook no longer exists."""
        known = (delivery.address.organization, delivery.address.sandbox) in self.by_name
        return delivery if known else Skipped("no_webhook")

    def _find(self, event: Event, defaults: Defaults) -> _Route | Skipped | Rejected:
        parts = address_parts(event, defaults)
        if missing := parts.missing_parts:
            return _MISSING[missing[0]]
        organization, name, identifier = parts
        by_id = self.by_id.get((organization, identifier)) if identifier else None
        if not event.sandbox_name and by_id:
            return by_id
        # An id that no webhook claims does not contradict a name from the command line.
        if not name:
            return Skipped("no_webhook")
        found = self.by_name.get((organization, name))
        if found is None:
            return Skipped("sandbox_mismatch" if by_id else "no_webhook")
        contradicts = identifier and (found.webhook.sandbox_id or identifier) != identifier
        if contradicts or (by_id is not None and by_id is not found):
            return Skipped("sandbox_mismatch")
        return found


class AddressParts(NamedTuple):
    """From the event, otherwise from the command line. A missing part is empty."""

    organization: str
    sandbox: str
    sandbox_id: str

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """``organization``, ``sandbox``: the missing parts. The event is rejected for the first of them."""
        sandbox = self.sandbox or self.sandbox_id
        if self.organization and sandbox:
            return ()
        parts = {"organization": self.organization, "sandbox": sandbox}
        return tuple(name for name, value in parts.items() if not value)


_MISSING: Mapping[str, Rejected] = {
    "organization": Rejected(
        "no organization: the event has no imsOrg; --organization or --map organization=PATH supplies it"
    ),
    "sandbox": Rejected("no sandbox: the event names none; --sandbox or --map sandbox=PATH supplies it"),
}


def address_parts(event: Event, defaults: Defaults) -> AddressParts:
    return AddressParts(
        event.organization or defaults.organization or "",
        event.sandbox_name or defaults.sandbox or "",
        event.sandbox_id or "",
    )


def refuse_for_all(event: Event) -> Skipped | Rejected | None:
    """Returns the reason why no webhook of any address receives the event, or None."""
    if not event.status:
        return Rejected("no feedback status: the event does not contain the result for the message")
    if event.status not in RELAYED_STATUSES:
        return Skipped("status_not_relayed", event.status)
    if not event.channel:
        return Rejected("no channel: the event does not contain email or sms")
    if event.channel not in RELAYED_CHANNELS:
        return Skipped("channel_not_relayed")
    return None


def _refuse_for_webhook(event: Event, route: _Route) -> Skipped | Rejected | None:
    if refusal := refuse_for_all(event):
        return refusal
    if event.status not in route.events:
        return Skipped("status_not_selected")
    if event.channel not in route.channels:
        return Skipped("channel_not_selected")
    if (event.message_type or _DEFAULT_MESSAGE_TYPE) not in route.webhook.message_types:
        return Skipped("message_type_not_selected")
    if event.journey_version_id:
        return Skipped("journey")
    return None


def _delivery(event: Event, route: _Route, campaign: str | None) -> Delivery:
    request_id = event.request_id or _derived_request_id(event, route, campaign)
    body = PAYLOAD_BYTES[route.webhook.payload](
        event,
        address=route.webhook.address,
        sandbox_id=event.sandbox_id or route.webhook.sandbox_id,
        campaign_id=campaign,
        request_id=request_id,
    )
    if event.identity:
        content = event.identity.encode()
    elif route.webhook.payload == 1 and event.further is None and (event.sandbox_id or not route.webhook.sandbox_id):
        content = body
    else:
        content = _own_content(event, route, campaign, request_id)
    assert event.channel is not None
    assert event.status is not None
    execution = event.execution_id
    return Delivery(
        id=delivery_id(route.seed, content, request_id),
        address=route.webhook.address,
        order_key=order_key(route.seed, execution, primary_identity(event) or "") if execution else None,
        body=body,
        request_id=request_id,
        channel=event.channel,
        status=event.status,
        time=event.time,
        detail=event.detail and event.detail[:MAX_DETAIL_CHARACTERS],
        execution_id=execution or None,
    )


def _own_content(event: Event, route: _Route, campaign: str | None, request_id: str | None) -> bytes:
    """Returns the content that identifies the event: the payload in structure 1, without values of the webhook and
    with the fields of structure 2. A change of the webhook's sandbox id or structure then does not create new
    deliveries of old events.
    """
    own = payload_bytes(
        event, address=route.webhook.address, sandbox_id=event.sandbox_id, campaign_id=campaign, request_id=request_id
    )
    return own if event.further is None else own + msgspec.json.encode(event.further)


def _derived_request_id(event: Event, route: _Route, campaign: str | None) -> str:
    """Returns a request id that is the same for all events of a message execution, in every run. An event without
    an execution has its own.
    """
    if event.execution_id:
        return derived_request_id(route.seed, b"execution" + framed(event.execution_id))
    return derived_request_id(route.seed, b"event" + _own_content(event, route, campaign, None))


MAX_SKIP_NAMES: Final = 50
MAX_SKIP_NAME_CHARACTERS: Final = 40
OTHER_NAME: Final = "other"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /")


class SkipNames:
    """Admits the first MAX_SKIP_NAMES names, after those in `counted`, earlier keys. All others become ``other``."""

    def __init__(self, counted: Iterable[str] = ()) -> None:
        named = (key.removeprefix("skipped:").partition(":")[2] for key in counted)
        self._admitted = {name for name in named if name and name != OTHER_NAME}

    def key(self, skipped: Skipped) -> str:
        """``no_webhook``, or ``status_not_relayed:open``."""
        return skipped.reason if skipped.name is None else f"{skipped.reason}:{self._name(skipped.name)}"

    def _name(self, name: str) -> str:
        if name in self._admitted:
            return name
        plain = 0 < len(name) <= MAX_SKIP_NAME_CHARACTERS and _NAME_CHARACTERS.issuperset(name)
        if not plain or len(self._admitted) >= MAX_SKIP_NAMES:
            return OTHER_NAME
        self._admitted.add(name)
        return name
