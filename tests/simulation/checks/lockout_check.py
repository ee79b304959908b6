"""The check that events which fail at every attempt do not keep an endpoint closed for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from simulation.events import SimulatedEvent
from simulation.world import World

# A healthy endpoint gets each good event within this time, beside any other pending events.
MAX_WAIT_SECONDS: Final = 45.0


class LockoutCheck:
    """The check of one simulation. It applies to scenarios with failing events, in which nothing else happens."""

    def __init__(self, world: World, events: Mapping[int, SimulatedEvent]) -> None:
        self._world = world
        failing = {event.message for event in events.values() if event.failing}
        # An event with a failing predecessor in its message waits for it.
        self._good = [event for event in events.values() if failing and event.good and event.message not in failing]

    def run(self) -> None:
        """Check that no good event has waited too long."""
        for event in self._good:
            if event.accepted or event.durable_at is None:
                continue
            if (waited := self._world.now - event.durable_at) > MAX_WAIT_SECONDS:
                self._world.violate(
                    "no lockout by bad events", f"{event.request_id} waits for {waited:.0f} s at {event.address}"
                )
