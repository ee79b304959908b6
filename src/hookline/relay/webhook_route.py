"""One applied webhook as routing uses it: the events that it receives, and the delivery of one.

A route is prepared once for a snapshot, and its hashes with its first delivery. It does not check whether the webhook
is enabled: the events of a disabled webhook remain pending in the spool.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import msgspec

from hookline.model import Channel, FeedbackStatus, Webhook
from hookline.relay.delivery_record import MAX_DETAIL_CHARACTERS, Delivery, Rejected, RoutingResult, Skipped
from hookline.relay.event import Event, encode_payload, payload_bytes, primary_identity
from hookline.relay.ids import WebhookIds, framed
from hookline.relay.payload_line import PayloadLine, is_sendable, moved_payload
from hookline.relay.payload_v2 import PAYLOAD_BYTES
from hookline.state.moved_webhooks import WebhookIdentity

# Providers do not report a message type. Feedback webhooks are for transactional messages, so an event without a type
# is selected as transactional. Its payload contains null.
_DEFAULT_MESSAGE_TYPE = "transactional"
RELAYED_STATUSES = frozenset[str](FeedbackStatus)
RELAYED_CHANNELS = frozenset[str](Channel)

# Status, channel and message type of an event.
_Selection = tuple[str | None, str | None, str | None]


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


@lru_cache(maxsize=256)
def _selections(
    statuses: frozenset[FeedbackStatus], channels: frozenset[Channel], message_types: frozenset[str]
) -> frozenset[_Selection]:
    """Returns every selection that a webhook receives. Most webhooks select the same, and share the value."""
    types: set[str | None] = {*message_types}
    if _DEFAULT_MESSAGE_TYPE in types:
        types |= {None, ""}
    return frozenset(product(map(str, statuses), map(str, channels), types))


class WebhookRoute:
    """The route to one webhook. Its ids come from its `identity`, which a webhook that has moved keeps."""

    def __init__(self, webhook: Webhook, identity: WebhookIdentity | None = None) -> None:
        self.address = webhook.address
        self._identity = identity or WebhookIdentity(webhook.address)
        self.sandbox_id = webhook.sandbox_id
        self._webhook = webhook
        self._selections = _selections(webhook.events, webhook.channels, webhook.message_types)
        self._body_bytes = PAYLOAD_BYTES[webhook.payload]

    @cached_property
    def _ids(self) -> WebhookIds:
        (organization, sandbox), after = self._identity
        return WebhookIds(framed(organization) + framed(sandbox) + (framed(str(after)) if after else b""))

    def route(self, event: Event, campaign: str | None) -> RoutingResult:
        """Returns the event's delivery, or the reason why the webhook does not receive it.

        `campaign` is the event's, or the one from the command line.
        """
        selection = (event.status, event.channel, event.message_type)
        if selection not in self._selections or event.journey_version_id:
            return self._refuse(event)
        enabled = self._webhook.campaigns
        if enabled is not None and campaign not in enabled:
            return self._refuse_campaign(campaign)
        return self._delivery(event, campaign)

    def _refuse(self, event: Event) -> Skipped | Rejected:
        if refusal := refuse_for_all(event):
            return refusal
        if event.status not in self._webhook.events:
            return Skipped("status_not_selected")
        if event.channel not in self._webhook.channels:
            return Skipped("channel_not_selected")
        if (event.message_type or _DEFAULT_MESSAGE_TYPE) not in self._webhook.message_types:
            return Skipped("message_type_not_selected")
        return Skipped("journey")

    def _refuse_campaign(self, campaign: str | None) -> Skipped | Rejected:
        if campaign is not None:
            return Skipped("campaign_not_enabled")
        return Rejected(
            f"no campaign: the event has no campaignID, and {self.address} is enabled for certain campaigns only; "
            "--campaign or --map campaign=PATH supplies it"
        )

    def send_as_read(self, payload: PayloadLine) -> Delivery | None:
        """Returns the delivery of a line that is sent as it was decoded: the same as `route` returns for its event.

        Returns None if the payload needs a value that the line does not have, if the webhook has another structure,
        and if the webhook does not receive the event. `route` decides about its event.
        """
        execution, sandbox, request_id = payload.execution, payload.sandbox, payload.request_id
        if execution is None or sandbox is None or not request_id or not is_sendable(payload):
            return None
        status, campaign, enabled = payload.feedback.status.value, execution.campaign_id, self._webhook.campaigns
        if (
            (status, payload.channel, execution.message_type) not in self._selections
            or not campaign
            or (enabled is not None and campaign not in enabled)
            or not (sandbox.id or sandbox.id == self.sandbox_id)
            or self._body_bytes is not payload_bytes
        ):
            return None
        body = encode_payload(payload)
        order_key = self._order_key(execution.execution_id, payload.identity_map)
        first = self._identity.address
        content = body if first == self.address else encode_payload(moved_payload(payload, *first))
        return Delivery(
            id=self._ids.delivery_id(content, request_id),
            address=self.address,
            order_key=order_key,
            body=body,
            request_id=request_id,
            channel=payload.channel,
            status=status,
            execution_id=execution.execution_id or None,
        )

    def _order_key(self, execution_id: str | None, identity_map: dict[str, Any] | None) -> int | None:
        return self._ids.order_key(execution_id, primary_identity(identity_map) or "") if execution_id else None

    def _delivery(self, event: Event, campaign: str | None) -> Delivery:
        request_id = event.request_id or self._derived_request_id(event, campaign)
        body = self._body_bytes(
            event,
            address=self.address,
            sandbox_id=event.sandbox_id or self.sandbox_id,
            campaign_id=campaign,
            request_id=request_id,
        )
        if event.identity:
            content = event.identity.encode()
        elif self._is_own_content(event):
            content = body
        else:
            content = self._own_content(event, campaign, request_id)
        assert event.channel is not None
        assert event.status is not None
        return Delivery(
            id=self._ids.delivery_id(content, request_id),
            address=self.address,
            order_key=self._order_key(event.execution_id, event.identity_map),
            body=body,
            request_id=request_id,
            channel=event.channel,
            status=event.status,
            time=event.time,
            detail=event.detail and event.detail[:MAX_DETAIL_CHARACTERS],
            execution_id=event.execution_id or None,
        )

    def _is_own_content(self, event: Event) -> bool:
        """Returns whether the body is the same as `_own_content`."""
        if self._identity.address != self.address:
            return False
        has_own_sandbox_id = event.sandbox_id or not self.sandbox_id
        return self._body_bytes is payload_bytes and event.further is None and bool(has_own_sandbox_id)

    def _own_content(self, event: Event, campaign: str | None, request_id: str | None) -> bytes:
        """Returns the content that identifies the event: the payload in structure 1, without values of the webhook
        and with the fields of structure 2. A change of the webhook's address, sandbox id or structure then does not
        create new deliveries of old events.
        """
        first = self._identity.address
        own = payload_bytes(
            event, address=first, sandbox_id=event.sandbox_id, campaign_id=campaign, request_id=request_id
        )
        return own if event.further is None else own + msgspec.json.encode(event.further)

    def _derived_request_id(self, event: Event, campaign: str | None) -> str:
        """Returns a request id that is the same for all events of a message execution, in every run. An event without
        an execution has its own.
        """
        if event.execution_id:
            return self._ids.derived_request_id(b"execution" + framed(event.execution_id))
        return self._ids.derived_request_id(b"event" + self._own_content(event, campaign, None))
