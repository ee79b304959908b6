"""Sample lines in the platform's own formats: the payload, the dataset event, a CloudEvent and a dead letter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from hookline.model import Channel, FeedbackStatus
from hookline.relay.delivery_record import DeadDelivery, Delivery
from hookline.relay.formats.dead_letter_json import dead_letter_line
from hookline.relay.formats.providers import payload
from hookline.relay.formats.samples.sample_message import SampleMessage, compact
from hookline.relay.webhook_route import WebhookRoute

_CHANNELS = "https://ns.adobe.com/xdm"


def payload_sample(message: SampleMessage) -> str:
    """A line in structure 1, which the relay can send as it is."""
    return compact(_payload(message))


def _payload(message: SampleMessage) -> dict[str, Any]:
    failure = _failure(message) or {"messageFailure": None}
    result = {"feedbackStatus": {"value": str(message.status)}, "offers": None, "messageExclusion": None}
    feedback = {**result, **failure, "retryCount": 0}
    return {
        "requestId": message.request_id,
        "imsOrg": message.webhook.address.organization,
        "sandbox": {"id": message.webhook.sandbox_id, "name": message.webhook.address.sandbox},
        "channel": str(message.channel),
        "eventType": "message.feedback",
        "messageExecution": _execution(message),
        "messageDeliveryFeedback": feedback,
        "identityMap": _identities(message),
    }


def xdm_sample(message: SampleMessage) -> str:
    """An event of the dataset. It names no organization and no sandbox, as in the export of one."""
    context = {"emailChannelContext": {"address": message.recipient, "namespace": "Email"}}
    if message.channel is Channel.SMS:
        context = {"smsChannelContext": {"profileNumber": message.recipient}}
    channel = {
        "_id": f"{_CHANNELS}/channels/{message.channel}",
        "_type": f"{_CHANNELS}/channel-types/{message.channel}",
    }
    management = {
        "messageExecution": _execution(message),
        "messageProfile": {
            "messageProfileID": message.uuid,
            "channel": channel,
            "requestID": message.request_id,
        },
        "messageDeliveryfeedback": {"feedbackStatus": str(message.status), "retryCount": 0, **_failure(message)},
        **context,
    }
    event = {
        "_id": message.uuid,
        "eventType": "message.feedback",
        "timestamp": message.time,
        "identityMap": _identities(message),
        "_experience": {"customerJourneyManagement": management},
    }
    return compact(event)


def cloudevents_sample(message: SampleMessage) -> str:
    """A CloudEvent that contains the payload."""
    envelope = {
        "specversion": "1.0",
        "type": "message.feedback",
        "source": f"/{message.webhook.address.organization}/{message.webhook.address.sandbox}",
        "id": message.uuid,
        "time": message.time,
        "datacontenttype": "application/json",
        "data": _payload(message),
    }
    return compact(envelope)


def dead_letter_sample(message: SampleMessage) -> str:
    """A dead letter as `hookline dead export` writes it: its delivery was refused once by the endpoint."""
    open_to_all = replace(
        message.webhook, channels=frozenset(Channel), events=frozenset(FeedbackStatus), campaigns=None
    )
    line = payload.quick(payload_sample(message).encode())
    assert line is not None
    event = payload.to_event(line)
    delivery = WebhookRoute(open_to_all).route(event, event.campaign_id)
    assert isinstance(delivery, Delivery)
    letter = DeadDelivery(
        id=delivery.id,
        at=message.at,
        reason="HTTP 400",
        http=400,
        attempts=1,
        history=None,
        webhook=delivery.address,
        request_id=delivery.request_id,
        channel=delivery.channel,
        status=delivery.status,
        event_time=delivery.time,
        detail=None,
        source="events.ndjson",
        line=1,
        body=delivery.body,
    )
    return dead_letter_line(letter).decode().rstrip("\n")


def _execution(message: SampleMessage) -> dict[str, Any]:
    return {
        "messageExecutionID": f"HUMA-{message.token[:8]}",
        "messageType": message.message_type,
        "campaignID": message.campaign,
        "campaignVersionID": None,
    }


def _failure(message: SampleMessage) -> dict[str, Any]:
    """The field messageFailure, of a message that failed."""
    return {} if message.failure is None else {"messageFailure": msgspec.to_builtins(message.failure)}


def _identities(message: SampleMessage) -> dict[str, Any]:
    namespace = "email" if message.channel is Channel.EMAIL else "phone"
    return {namespace: [{"id": message.recipient, "primary": True}]}
