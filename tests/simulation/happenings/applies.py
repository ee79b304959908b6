"""The applies of a simulation: each changes one webhook while the relay runs."""

from __future__ import annotations

from hookline.model import Address
from simulation.parts import SimulationParts
from simulation.scenario import ADDRESSES, URL_VERSIONS, Input, document, new_address, url
from simulation.state import Document


class Applies:
    """The author of all applies in one simulation."""

    def __init__(self, parts: SimulationParts) -> None:
        self._parts = parts
        self._world = parts.world
        self._state = parts.state
        # Which of its URLs each webhook has.
        self._versions = dict.fromkeys(parts.scenario.documents, 0)

    def apply(self) -> None:
        """Apply a chosen change. A webhook that is disabled or deleted comes back later."""
        random = self._world.random
        address = random.choice(sorted(self._versions))
        current = self._state.document(self._state.present(address))
        change = random.choice(self._parts.scenario.happenings.changes)
        self._world.note(f"apply: {change} {address}")
        if current is None or change == "policy":
            self._apply(address, document(random, address, self._versions[address]))
            return
        match change:
            case "readdress":
                self._readdress(address)
            case "move":
                version = self._versions[address] = min(self._versions[address] + 1, URL_VERSIONS - 1)
                self._apply(address, {**current, "url": url(address, version)})
            case "disable":
                self._apply(address, {**current, "enabled": False})
                self._world.after(random.uniform(0.5, 30.0), lambda: self.enable(address))
            case _:
                self._apply(address, None)
                self._world.after(random.uniform(0.5, 20.0), lambda: self.create_again(address))

    def _readdress(self, first: Address) -> None:
        """Move the webhook to another address, sometimes to its first one. Lines have the new address from now on."""
        state = self._state
        old = state.present(first)
        others = [one for number in range(ADDRESSES) if (one := new_address(first, number)) != old]
        new = self._world.random.choice(others)
        state.move(first, new)
        for event in self._parts.events.values():
            if event.address == first and (self._parts.scenario.input is Input.PIPE or event.written_at is None):
                event.line_address = new
        self._parts.invariants.configured(old)
        self._parts.invariants.configured(new)

    def enable(self, address: Address) -> None:
        """Enable the webhook if it is disabled."""
        current = self._state.document(address)
        if current is not None and not current.get("enabled", True):
            self._apply(address, {key: value for key, value in current.items() if key != "enabled"})

    def create_again(self, address: Address) -> None:
        """Create the webhook with a new delivery policy if it is deleted."""
        if self._state.document(address) is None:
            self._apply(address, document(self._world.random, address, self._versions[address]))

    def _apply(self, address: Address, new: Document | None) -> None:
        self._state.apply(address, new)
        self._parts.invariants.configured(address)
