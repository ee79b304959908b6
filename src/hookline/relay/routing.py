"""Finds the webhook for an event: a pure function of the event and of the applied webhooks, never of a file.

A skipped event is counted by its reason, and a status that is not relayed also by its name. The names come from
providers, so `SkipNames` bounds their number: a log with a million invented statuses makes no million counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from hookline.errors import WrongUse
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import NO_MAPPING, FieldMapping
from hookline.relay.payload_line import PayloadLine
from hookline.relay.webhook_route import WebhookRoute
from hookline.state.moved_webhooks import MovedWebhooks
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


# An organization, and the name or the id of a sandbox. An event can lack any of them.
_Place = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Routes:
    """The routing table of one snapshot. A new serial of the state gets a new table."""

    by_name: Mapping[_Place, WebhookRoute]
    by_id: Mapping[_Place, WebhookRoute]
    moved: MovedWebhooks = field(default_factory=MovedWebhooks)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Routes:
        by_name: dict[_Place, WebhookRoute] = {}
        by_id: dict[_Place, list[WebhookRoute]] = {}
        moved = MovedWebhooks(snapshot.moves)
        for stored in snapshot.webhooks.values():
            webhook = stored.webhook
            route = WebhookRoute(webhook, moved.identity(webhook.address))
            by_name[route.address] = route
            if route.sandbox_id is not None:
                by_id.setdefault((route.address.organization, route.sandbox_id), []).append(route)
        # An id that two webhooks claim is ambiguous, so it identifies neither.
        return cls(by_name, {key: claims[0] for key, claims in by_id.items() if len(claims) == 1}, moved)

    def route(self, event: Event, defaults: Defaults) -> RoutingResult:
        """Returns the event's delivery, or the first reason against it in the order of SKIP_REASONS.

        A missing organization, sandbox, campaign, status or channel is Rejected.
        """
        found = self._find(event, defaults)
        if not isinstance(found, WebhookRoute):
            return found
        return found.route(event, event.campaign_id or defaults.campaign or None)

    def reroute(self, delivery: Delivery) -> RoutingResult:
        """Returns a delivery that was routed before, or Skipped if its webhook no longer exists. If the webhook has
        moved, the delivery goes to its new address.
        """
        if delivery.address in self.by_name:
            return delivery
        new = self.new_address(delivery.address)
        return Skipped("no_webhook") if new is None else msgspec.structs.replace(delivery, address=new)

    def new_address(self, old: Address) -> Address | None:
        """Returns the address to which the webhook that had this one has moved, or None."""
        return self.moved.new_address(old, self.by_name)

    def send_as_read(self, payload: PayloadLine) -> Delivery | None:
        """Returns the delivery of a line that is sent as it was decoded, or None: `route` decides about its event."""
        sandbox = payload.sandbox
        if sandbox is None:
            return None
        route = self._find_by_name(payload.organization, sandbox.name, sandbox.id)
        return None if route is None else route.send_as_read(payload)

    def _find(self, event: Event, defaults: Defaults) -> WebhookRoute | Skipped | Rejected:
        organization, identifier = event.organization or defaults.organization, event.sandbox_id
        name = event.sandbox_name or defaults.sandbox
        if route := self._find_by_name(organization, name, identifier):
            return route
        if missing := address_parts(event, defaults).missing_parts:
            return _MISSING[missing[0]]
        by_id = self.by_id.get((organization, identifier)) if identifier else None
        if by_id is not None and not event.sandbox_name:
            return by_id
        is_known = by_id is not None or (organization, name) in self.by_name
        return Skipped("sandbox_mismatch" if is_known else "no_webhook")

    def _find_by_name(
        self, organization: str | None, name: str | None, identifier: str | None
    ) -> WebhookRoute | None:
        """Returns the webhook of a sandbox's name, unless the sandbox's id contradicts it. An id that no webhook
        claims does not contradict a webhook without an id.
        """
        route = self.by_name.get((organization, name))
        if route is None or not identifier or identifier == route.sandbox_id:
            return route
        return route if route.sandbox_id is None and (organization, identifier) not in self.by_id else None


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
