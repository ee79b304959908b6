"""A webhook in the model of a spool."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from hookline.relay.spool.spool_values import EndpointState


@dataclass
class WebhookModel:
    """A webhook's state and clock."""

    state: EndpointState = field(default_factory=EndpointState)
    held_since: float | None = None
    held_seconds: float = 0.0

    def clock(self, now: float) -> float:
        return (now if self.held_since is None else min(now, self.held_since)) - self.held_seconds

    def change(self, now: float, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        held = self.state.disabled or self.state.paused is not None
        if held and self.held_since is None:
            self.held_since = now
        if not held and self.held_since is not None:
            self.held_seconds += max(0.0, now - self.held_since)
            self.held_since = None
