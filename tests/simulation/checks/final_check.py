"""The check at the end of a run: every event has one result, and its history explains a bad one."""

from __future__ import annotations

from hookline.relay.ingest.line_guard import line_identity
from hookline.relay.spool.crash_notes import CRASHED
from hookline.relay.spool.spool_values import State
from simulation.checks.endpoint_history import NOTICE_SECONDS
from simulation.checks.spool_view import SpoolView
from simulation.events import SimulatedEvent
from simulation.parts import SimulationParts
from simulation.scenario import Input


class FinalCheck:
    """The final check of one simulation."""

    def __init__(self, parts: SimulationParts, view: SpoolView, *, ages_are_exact: bool) -> None:
        """Create the check.

        Args:
            parts: The parts of the simulation.
            view: The spool at the end.
            ages_are_exact: The clock was not set before a start of the relay, which could not notice it.
        """
        self._parts = parts
        self._world = parts.world
        self._view = view
        self._ages_are_exact = ages_are_exact

    def run(self) -> None:
        """Check the drained spool against the events that were written."""
        parts = self._parts
        tally = parts.invariants.spool.check_accounting(self._view)
        results = self._view.results()
        readable = [event for event in parts.events.values() if event.readable]
        crashed = self._crashed(readable)
        missing = [event for event in readable if event.number not in results and event.number not in crashed]
        self._check_missing(missing, tally)
        if parts.scenario.input is not Input.PIPE:
            rejected = len(parts.events) - len(readable) + len(crashed)
            self._check_read_once(tally, len(parts.events), rejected)
        for event in readable:
            if event.number in results:
                self._check_result(event, *results[event.number])

    def _crashed(self, readable: list[SimulatedEvent]) -> dict[int, None]:
        """The events whose lines were rejected, because each of them was in hand at a crash."""
        numbers = {event.text: event.number for event in readable}
        crashed: dict[int, None] = {}
        for line in self._view.crashed_lines():
            if line_identity(line) not in self._parts.invariants.spool.lines_in_hand:
                self._world.violate(
                    "no dead letter without a reason", f"line {line.number} was not in hand at a crash"
                )
            if line.data in numbers:
                crashed[numbers[line.data]] = None
        return crashed

    def _check_missing(self, missing: list[SimulatedEvent], tally: dict[str, int]) -> None:
        """An event without a result was skipped, because its webhook did not exist at that time."""
        skipped = tally.get("skipped:no_webhook", 0)
        if len(missing) > skipped or any(not self._may_be_unknown(event) for event in missing):
            self._world.violate(
                "nothing is lost", f"{[event.request_id for event in missing][:5]} have no result: {tally}"
            )

    def _check_read_once(self, tally: dict[str, int], lines: int, unreadable: int) -> None:
        if tally.get("read", 0) != lines or tally.get("duplicates", 0):
            self._world.violate("exactly-once ingest", f"{lines} lines were written: {tally}")
        if tally.get("rejected", 0) != unreadable:
            self._world.violate("exactly-once ingest", f"{unreadable} lines cannot be read: {tally}")

    def _check_result(self, event: SimulatedEvent, state: int, reason: str | None) -> None:
        if state == State.DEAD:
            self._check_dead(event, reason or "")
        elif state == State.DELIVERED:
            if not event.accepted:
                self._world.violate(
                    "nothing is lost", f"{event.request_id} is recorded as delivered, and no endpoint accepted it"
                )
        elif state != State.DISCARDED:
            self._world.violate("everything drains", f"{event.request_id} is still pending")

    def _check_dead(self, event: SimulatedEvent, reason: str) -> None:
        if event.accepted and event.repeatable == 1 and not event.replayed:
            self._world.violate("an accepted event is delivered", f"{event.request_id} is dead: {reason}")
        if reason == "expired" and self._ages_are_exact and not event.replayed:
            self._check_age(event)
        if not self._explains(reason, event):
            self._world.violate("no dead letter without a reason", f"{event.request_id}: {reason}")

    def _explains(self, reason: str, event: SimulatedEvent) -> bool:
        """Whether the history of the event contains the cause that the dead letter names."""
        return (
            event.bad
            or (reason == "webhook deleted" and self._was_deleted(event))
            or ("410" in reason and self._parts.endpoint_was_gone(event.address))
            or reason == "expired"
            or (reason == CRASHED and event.in_hand)
            or reason.startswith(("http 400", "http 422", "refused as probe"))
        )

    def _may_be_unknown(self, event: SimulatedEvent) -> bool:
        """Whether its line may have been read when no webhook had the address in it."""
        return self._was_deleted(event) or event.address in self._parts.state.moved_addresses

    def _was_deleted(self, event: SimulatedEvent) -> bool:
        return event.address in self._parts.state.deleted_addresses

    def _check_age(self, event: SimulatedEvent) -> None:
        """An expired event was at least as old as the shortest maxAge that its webhook ever had."""
        shortest = self._parts.state.shortest_max_age_seconds[event.address]
        if event.dead_at is not None and event.written_at is not None:
            age = event.dead_at - event.written_at
            if age < shortest - NOTICE_SECONDS:  # a resume counts from the moment at which the relay notices it
                self._world.violate(
                    "no dead letter without a reason",
                    f"{event.request_id} expired at {age:.1f} s, maxAge is {shortest:g} s",
                )
