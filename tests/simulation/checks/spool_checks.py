"""The checks of the spool: complete accounting, acknowledged means present, and bounded duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hookline.model import Address
from hookline.relay.delivery.lane import max_unwritten
from hookline.relay.spool.spool_values import State
from simulation.checks.spool_view import SpoolView
from simulation.events import SimulatedEvent
from simulation.state import SimulatedState
from simulation.storage import SimulatedStorage
from simulation.world import World


class SpoolChecks:
    """The checks of one simulation."""

    def __init__(
        self, world: World, events: Mapping[int, SimulatedEvent], storage: SimulatedStorage, state: SimulatedState
    ) -> None:
        """Create the checks.

        Args:
            world: Time and chance.
            events: The events by number.
            storage: The storage of the spool.
            state: The stored state, which knows the limits of every webhook.
        """
        self._world = world
        self._events = events
        self._storage = storage
        self._state = state
        self.lines_in_hand: set[bytes] = set()

    def check_accounting(self, view: SpoolView) -> dict[str, int]:
        """The tally adds up, and its parts are the numbers of the rows. Returns the tally."""
        tally, rows = view.tally(), view.deliveries_by_state()
        skipped = sum(count for name, count in tally.items() if name.startswith("skipped:"))
        read = tally.get("read", 0) + tally.get("replayed", 0)
        settled = sum(tally.get(name, 0) for name in ("delivered", "rejected", "dead", "duplicates")) + skipped
        pending = rows.get(State.PENDING, 0)
        if read - settled != pending:
            self._world.violate(
                "complete accounting", f"{read - settled} deliveries should be pending, {pending} are: {tally}"
            )
        records = tally.get("records", 0)
        if records != rows.get(State.DELIVERED, 0) + rows.get(State.DISCARDED, 0):
            self._world.violate("complete accounting", f"records: {records} counted, rows: {rows}")
        return tally

    def note_durable(self, view: SpoolView) -> None:
        """Note the deliveries that the spool has acknowledged. A commit whose sync failed acknowledges nothing."""
        is_acknowledged = not self._storage.has_failed_commit
        for number, state in view.states().items():
            event = self._events[number]
            if is_acknowledged and not event.durable:
                event.durable, event.durable_at = True, self._world.now
            if state != State.DEAD:
                event.dead_at = None  # not yet, or not any more after a power cut
            elif event.dead_at is None:
                event.dead_at = self._world.now

    def note_in_hand(self, view: SpoolView) -> None:
        """Note the lines and the deliveries that were in hand at a crash, and so become dead letters."""
        lines, deliveries = view.in_hand()
        self.lines_in_hand.update(lines)
        for number in deliveries:
            self._events[number].in_hand = True

    def check_present(self, view: SpoolView, when: str) -> None:
        """Acknowledged means present: every delivery that was ever durable is in the spool."""
        present = view.states()
        for event in self._events.values():
            if event.durable and event.number not in present:
                self._world.violate("acknowledged means present", f"{event.request_id} is missing {when}")

    def check_missing_spool(self) -> None:
        """The spool does not exist, which is right as long as nothing was acknowledged."""
        if any(event.durable for event in self._events.values()):
            self._world.violate("acknowledged means present", "the database is missing")

    def check_repeats(self, view: SpoolView, how: str) -> None:
        """The next process repeats only few of the accepted events, because few outcomes were unwritten.

        Args:
            view: The spool that the process left.
            how: How the process ended: killed, cut off from power, stopped, failed.
        """
        states = view.states()
        repeated: Counter[Address] = Counter()
        for event in self._events.values():
            if event.accepted and states.get(event.number) == State.PENDING and event.accepted >= event.repeatable:
                event.repeatable = event.accepted + 1
                repeated[event.address] += 1
        for address, count in repeated.items():
            if how == "stopped" and not self._storage.is_ill:
                self._world.violate(
                    "no duplicates", f"a clean stop left {count} accepted events of {address} pending"
                )
            webhook = self._state.known_webhooks.get(address)
            if how != "killed" or webhook is None:
                continue
            bound = max_unwritten(webhook.delivery.concurrency) + webhook.delivery.concurrency
            if count > bound:
                self._world.violate(
                    "bounded duplicates", f"a kill repeats {count} events of {address}, the bound is {bound}"
                )
