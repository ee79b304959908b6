"""The message of a sample event: the values from which each format makes its line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from hookline.model import Channel, FeedbackStatus, Webhook
from hookline.relay.event import MessageFailure

SAMPLE_EMAIL = "ada@example.com"
SAMPLE_PHONE = "+15555550100"  # a number that is reserved for examples
_FAILURES: Mapping[tuple[FeedbackStatus, Channel], MessageFailure] = {
    (FeedbackStatus.BOUNCE, Channel.EMAIL): MessageFailure(
        category="sync", type="Hard", code="10", reason="550 5.1.1 no such user"
    ),
    (FeedbackStatus.BOUNCE, Channel.SMS): MessageFailure(
        category="async", type="Hard", code="30005", reason="Unknown destination handset"
    ),
    (FeedbackStatus.ERROR, Channel.EMAIL): MessageFailure(category="sync", reason="Message processing failed"),
    (FeedbackStatus.ERROR, Channel.SMS): MessageFailure(category="sync", reason="Message processing failed"),
}


class SampleMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message and its result.

    Attributes:
        webhook: the webhook that shall receive the event.
        channel: the channel of the message.
        status: its feedback status.
        message_type: a type that the webhook selects.
        campaign: a campaign that the webhook is enabled for.
        token: 32 lower-case hexadecimal digits that no other message has; its ids are made from them.
        at: the time of the event, in Unix seconds.
    """

    webhook: Webhook
    channel: Channel
    status: FeedbackStatus
    message_type: str
    campaign: str
    token: str
    at: float

    @property
    def request_id(self) -> str:
        return f"REQ-{self.token[:8]}"

    @property
    def time(self) -> str:
        """The time in ISO 8601 with milliseconds."""
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @property
    def uuid(self) -> str:
        digits = self.token
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    @property
    def recipient(self) -> str:
        return SAMPLE_EMAIL if self.channel is Channel.EMAIL else SAMPLE_PHONE

    @property
    def variables(self) -> dict[str, str]:
        """The custom arguments that a sender adds to its messages, so that the provider returns them."""
        return {
            "requestId": self.request_id,
            "campaignID": self.campaign,
            "messageType": self.message_type,
        }

    @property
    def failure(self) -> MessageFailure | None:
        return _FAILURES.get((self.status, self.channel))


def compact(value: object) -> str:
    """Returns the value as JSON in one line, as providers write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
