"""The event that `check --send` posts: valid, of nobody, and recognizable by its header ``hookline-test: true``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hookline.model import Channel, FeedbackStatus, Webhook
from hookline.relay.delivery.headers import Header
from hookline.relay.delivery.opening import Opening
from hookline.relay.delivery.outcome import Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.poster import Poster
from hookline.relay.feedback import Event, payload_bytes
from hookline.relay.payload2 import payload2_bytes

MARK: Final[Header] = (b"hookline-test", b"true")
# Names that nobody has: RFC 2606, and the numbers that are kept for fiction.
_RECIPIENTS = {
    Channel.EMAIL: {"email": [{"id": "hookline-test@example.com", "primary": True}]},
    Channel.SMS: {"phone": [{"id": "+15555550123", "primary": True}]},
}
_BODIES = {1: payload_bytes, 2: payload2_bytes}


def test_body(webhook: Webhook, name: str, time: str) -> bytes:
    """The payload of an event that this webhook would get, in its structure. `name` tells one from the next."""
    channel = next(one for one in Channel if one in webhook.channels)
    event = Event(
        request_id=name,
        channel=str(channel),
        status=str(next(one for one in FeedbackStatus if one in webhook.events)),
        execution_id=name,
        message_type=min(webhook.message_types),
        identity_map=_RECIPIENTS[channel],
        time=time,
    )
    return _BODIES[webhook.payload](
        event,
        address=webhook.address,
        sandbox_id=webhook.sandbox_id,
        campaign_id=min(webhook.campaigns) if webhook.campaigns else None,
        request_id=name,
    )


class MarkingPoster:
    """Wraps a `Poster`: every request that goes over it says that it is a test."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> Result:
        return await self._poster.post([*headers, MARK], attempt, deadline=deadline, signature=signature)

    async def aclose(self) -> None:
        await self._poster.aclose()


def marking(opened: Opening) -> Opening:
    """What makes the same posters, with the mark."""
    return lambda *asked: MarkingPoster(opened(*asked))
