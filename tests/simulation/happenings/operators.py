"""The operators of a simulation: they run commands beside the relay, in processes of their own."""

from __future__ import annotations

from hookline.errors import HooklineError
from hookline.model import Address
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool_values import State
from simulation.parts import SimulationParts
from simulation.relay_life import RelayLife


class Operators:
    """The operators of one simulation."""

    def __init__(self, parts: SimulationParts, relay: RelayLife) -> None:
        self._parts = parts
        self._world = parts.world
        self._relay = relay

    def operate(self) -> None:
        """Run a chosen command for a chosen webhook. The spool may refuse it."""
        random, world = self._world.random, self._world
        address = random.choice(sorted(self._parts.scenario.documents))
        action = random.choice(("pause", "resume", "retry-now", "replay", "discard", "reload"))
        world.note(f"operator: {action} {address}")
        try:
            with self._parts.storage.by_operator():
                self._run(action, address)
        except HooklineError as error:
            world.note(f"operator: {error.message}")

    def _run(self, action: str, address: Address) -> None:
        match action:
            case "pause":
                self._pause(address)
            case "resume":
                self.resume(address)
            case "retry-now":
                self.retry_now(address)
            case "replay":
                self._replay(address)
            case "discard":
                with self._parts.store.dead_letters() as letters:
                    letters.discard(Filter(webhook=address), now=self._world.wall())
            case _:
                self._relay.reload()

    def _pause(self, address: Address) -> None:
        with self._parts.store.webhook_control() as control:
            control.pause(address, now=self._world.wall())
        self._world.after(self._world.random.uniform(0.1, 20.0), lambda: self.resume(address))

    def resume(self, address: Address) -> None:
        """Resume deliveries to the webhook. If the spool refuses the command, the operator repeats it."""
        try:
            with self._parts.storage.by_operator(), self._parts.store.webhook_control() as control:
                control.resume(address, now=self._world.wall())
        except HooklineError:
            self._world.after(1.0, lambda: self.resume(address))

    def retry_now(self, address: Address) -> None:
        """Make all deliveries of the webhook due. The relay may send requests at once."""
        with self._parts.store.webhook_control() as control:
            control.retry_now(address, now=self._world.wall())
        self._parts.invariants.requests_permitted(address)

    def _replay(self, address: Address) -> None:
        """Replay the dead letters of the webhook. Its endpoint may accept each of them once more."""
        now = self._world.wall()
        with self._parts.storage.view() as view:
            states = {} if view is None else view.states()
        for number, state in states.items():
            event = self._parts.events[number]
            if state == State.DEAD and event.address == address:
                event.replayed = True
                event.repeatable = max(event.repeatable, event.accepted + 1)
        with self._parts.store.dead_letters() as letters:
            letters.replay(Filter(webhook=address), now=now)
