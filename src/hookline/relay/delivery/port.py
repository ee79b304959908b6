"""How a lane has one attempt made."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hookline.relay.delivery.outcome import Result


class Attempt(msgspec.Struct, frozen=True):
    """One POST of one delivery. `number` counts from 1 over its whole life; `at` is Unix time in seconds."""

    id: bytes
    body: bytes
    number: int
    at: float
    event_time: str | None = None


class Endpoint(Protocol):
    """One applied webhook, ready to be posted to. Made anew when its configuration changes, closed when replaced."""

    async def post(self, attempt: Attempt) -> Result:
        """Make one attempt within the webhook's timeout. Called by up to `concurrency` workers at a time.

        Never raises for anything an endpoint, a network, a secret or a key can do; only for cancellation.
        """
        ...

    def renew(self) -> None:
        """Forget the token in use, so that the next attempt signs a fresh one. Called after a 401."""
        ...

    async def aclose(self) -> None: ...
