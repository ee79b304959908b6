"""Counts the starts of delivering, and after crashes without a result sends deliveries one by one.

A delivery whose request or response ends the process ends each one that sends it. After three crashes, each delivery
is noted in the spool before it is sent. The next start makes the one that was in hand a dead letter.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import Final

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempts_in_flight import TakeInHand
from hookline.relay.delivery.counters import Counters
from hookline.relay.spool.crash_guard import CrashGuard, needs_care
from hookline.relay.spool.crash_notes import CRASHED, CrashNote
from hookline.relay.spool.spool_thread import SpoolThread

CAREFUL_DELIVERIES: Final = 500
CAREFUL_SECONDS: Final = 60.0


class _Care:
    """Sends the deliveries of a work one by one: at most CAREFUL_DELIVERIES, and for CAREFUL_SECONDS."""

    def __init__(self, work: str, guard: CrashGuard, clock: RelayClock) -> None:
        self._work = work
        self._guard = guard
        self._clock = clock
        self._left = CAREFUL_DELIVERIES
        self._until: float | None = None

    def take_in_hand(self, delivery: bytes) -> AbstractAsyncContextManager[None] | None:
        """As TakeInHand. The time begins with the first delivery."""
        now = self._clock.elapsed()
        if self._until is None:
            self._until = now + CAREFUL_SECONDS
        if not self._left or now >= self._until:
            return None
        self._left -= 1
        return self._guard.in_hand(self._work, delivery)


class DeliveryGuard:
    """The guard of all lanes of one relay."""

    def __init__(
        self, guard: CrashGuard, thread: SpoolThread, *, clock: RelayClock, log: Log, counters: Counters
    ) -> None:
        """Create it before the first lane.

        Args:
            guard: Counts starts, and notes the item in hand.
            thread: Runs calls on the spool.
            clock: The relay's clock.
            log: Receives a line for each work with dead letters.
            counters: Count the dead letters.
        """
        self._guard = guard
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._log = log
        self._counters = counters
        self._notes: dict[str, CrashNote] = {}
        self._cares: dict[str, _Care] = {}

    async def count_starts(self, slots: Collection[str] | None = None) -> None:
        """Count the start of each slot with deliveries to send, and dead-letter those that were in hand at a crash.
        Called before their lanes exist. `slots`: only these, which this process has just taken over."""
        states = await self._thread.run(self._spool.endpoint_states)
        held = {address for address, one in states.items() if one.disabled or one.paused is not None}
        sends = await self._thread.run(self._spool.pending) - held
        for work in slots or ():
            self._notes.pop(work, None)
            self._cares.pop(work, None)
        works = {self._spool.work_of(address) for address in sends}
        for work in sorted(works if slots is None else works.intersection(slots)):
            await self._count_start(work)

    def must_wait(self, work: str) -> bool:
        """Whether the deliveries of a slot wait, because the processes before this one have crashed."""
        return self._notes.get(work, CrashNote()).crashes > 0

    async def wait_for(self, work: str) -> None:
        """Wait before the first delivery of a slot that was taken over."""
        await self._guard.wait(work, self._notes[work])

    async def _count_start(self, work: str) -> None:
        note = self._notes[work] = await self._guard.count_start(work)
        if needs_care(note):
            self._cares[work] = _Care(work, self._guard, self._clock)
        if note.items and (dead := await self._guard.dead_letter_crashed(work)):
            self._counters.add_dead(CRASHED, dead)
            self._log.warning("dead-lettered", work=work, deliveries=dead, reason=CRASHED)

    async def wait(self) -> bool:
        """Wait before the first delivery, if the last runs have crashed. Returns False if the relay ends now."""
        work = max(self._notes, key=lambda one: self._notes[one].crashes, default="")
        return await self._guard.wait(work, self._notes.get(work, CrashNote()))

    def take_in_hand(self, address: Address) -> TakeInHand | None:
        """The call with which the lane of a webhook takes deliveries in hand; None if that is not necessary."""
        care = self._cares.get(self._spool.work_of(address)) if self._cares else None
        return None if care is None else care.take_in_hand
