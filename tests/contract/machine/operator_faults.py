"""Ports of operators with one fault each, in one call."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice, repeat
from typing import Final

import msgspec

from contract.memory_store import MemoryControl, MemoryDeadLetters
from hookline.model import Address
from hookline.relay.delivery_record import DeadLetter, DeadLine
from hookline.relay.spool.admin import Count, Filter, OnProgress
from hookline.relay.spool.spool_values import State


class ResumeDoesNotClearPause(MemoryControl):
    def resume(self, address: Address, *, now: float) -> bool:
        paused = self._data.endpoints[address].state.paused is not None
        self._data.writes += paused
        return paused


class PauseStartsAgain(MemoryControl):
    def pause(self, address: Address, *, now: float) -> bool:
        if self._data.endpoints[address].state.paused is not None:
            self._data.endpoints[address].change(now, paused=now)
        return super().pause(address, now=now)


class RetryNowOfEveryWebhook(MemoryControl):
    def retry_now(self, address: Address, *, now: float) -> int:
        for row in self._data.pending():
            if row.due is not None and row.address != address:
                row.due = min(now, row.due)
        return super().retry_now(address, now=now)


class RetryNowLeavesAGoneEndpoint(MemoryControl):
    def retry_now(self, address: Address, *, now: float) -> int:
        before = self._data.endpoints[address].state
        count = super().retry_now(address, now=now)
        self._data.endpoints[address].change(now, gone_reason=before.gone_reason)
        return count


class ReplaysTheWrongLetter(MemoryDeadLetters):
    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        if chosen.ids and not chosen.ids[0].startswith("line-") and self.count(chosen).total == 1:
            (letter,) = self.newest(chosen, limit=1)
            others = [one for one in self._data.rows.values() if one.state is State.DEAD]
            chosen = Filter(ids=(min(others, key=lambda one: one.delivery.id).delivery.id.hex(),))
            assert letter
        return super().replay(chosen, now=now, rate=rate, on_progress=on_progress)


class ReplaysWithoutARate(MemoryDeadLetters):
    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        return super().replay(chosen, now=now, on_progress=on_progress)


class ReplaysInOrder(MemoryDeadLetters):
    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        count = super().replay(chosen, now=now, rate=rate, on_progress=on_progress)
        for row in self._data.pending():
            row.order_key = row.delivery.order_key
        return count


class DiscardForgetsTheRecord(MemoryDeadLetters):
    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        count = super().discard(chosen, now=now, on_progress=on_progress)
        for row in [one for one in self._data.rows.values() if one.state is State.DISCARDED]:
            del self._data.rows[row.seq]
        return count


class IgnoresTheTimeOfAFilter(MemoryDeadLetters):
    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        return super().discard(msgspec.structs.replace(chosen, until=None), now=now, on_progress=on_progress)


class ListsTheFirstLines(MemoryDeadLetters):
    def newest(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        lines = [one for one in super().newest(chosen, limit=1000) if isinstance(one, DeadLine)]
        later = {one.n for one in sorted(lines, key=lambda one: -one.n)[limit:]}
        letters = super().newest(chosen, limit=1000)
        return islice((one for one in letters if not (isinstance(one, DeadLine) and one.n in later)), limit)


class StartsASecondScheduleAtOnce(MemoryDeadLetters):
    def _due_times(self, address: Address, now: float, rate: float | None) -> Iterator[float]:
        return repeat(now) if rate is None else (now + number / rate for number in count())


CONTROL_FAULTS: Final[tuple[type[MemoryControl], ...]] = (
    ResumeDoesNotClearPause, PauseStartsAgain, RetryNowOfEveryWebhook, RetryNowLeavesAGoneEndpoint,
)  # fmt: skip
LETTER_FAULTS: Final[tuple[type[MemoryDeadLetters], ...]] = (
    ReplaysTheWrongLetter, ReplaysWithoutARate, ReplaysInOrder, DiscardForgetsTheRecord, IgnoresTheTimeOfAFilter,
    ListsTheFirstLines, StartsASecondScheduleAtOnce,
)  # fmt: skip
