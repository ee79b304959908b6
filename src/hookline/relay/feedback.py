"""One feedback event, whatever form it came in, and the payload that the platform documents for it."""

from __future__ import annotations

from typing import Any

import msgspec


class MessageFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message bounced or failed, in the platform's classification; absent parts are null in the payload."""

    category: str | None = None
    type: str | None = None
    code: str | None = None
    reason: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says of one message to one recipient. None: the source does not say.

    `identity` is the source's own event id, prefixed by its format (``xdm:d9b1…``); it makes the delivery id.
    `status` and `channel` are in the platform's words (``bounce``, ``email``), also where those are not relayed
    (``delay``, ``push``). `identity_map` is passed through as it is. `time` is ISO 8601 as the source wrote it.
    """

    identity: str | None = None
    request_id: str | None = None
    organization: str | None = None
    sandbox_name: str | None = None
    sandbox_id: str | None = None
    channel: str | None = None
    event_type: str = "message.feedback"
    status: str | None = None
    execution_id: str | None = None
    message_type: str | None = None
    campaign_id: str | None = None
    campaign_version_id: str | None = None
    journey_version_id: str | None = None
    offers: Any = None
    exclusion: Any = None
    failure: MessageFailure | None = None
    retry_count: int | None = None
    identity_map: dict[str, Any] | None = None
    time: str | None = None
