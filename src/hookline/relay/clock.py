"""The relay's clock: wall-clock time, with a guard for the case that somebody sets the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# A clock that is slewed is off by less for a while. One that is further off was set.
STEP_SECONDS: Final = 2.0


def _since_boot() -> float:
    """Seconds that nobody can set. On Linux they include the time in which the machine was suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class RelayClock:
    """Unix time in seconds. Every decision that destroys or forgets something must use `cautious_now`.

    `wall` gives Unix time, `even` gives seconds from any origin that run evenly. `steps` counts how often the wall
    clock was set since the relay started.
    """

    def __init__(self, wall: Callable[[], float] = time.time, even: Callable[[], float] = _since_boot) -> None:
        self._wall = wall
        self._even = even
        self._start = even()
        self._offset = self._lowest_offset = wall() - self._start
        self.steps = 0

    def now(self) -> float:
        """The wall clock, for timestamps and due times."""
        return self._wall()

    def elapsed(self) -> float:
        """Seconds since the relay started, however the wall clock was set."""
        return self._even() - self._start

    def cautious_now(self) -> float:
        """The time for retention, `maxAge` and the duplicate window.

        It runs evenly from the lowest setting that the wall clock had since the relay started. It is therefore never
        ahead of the wall clock. A jump forward ages nothing. A jump back keeps things longer, also after the clock
        was corrected: things that were dated before the correction must not age by it.
        """
        even = self._even()
        self._lowest_offset = min(self._lowest_offset, self._wall() - even)
        return even + self._lowest_offset

    def take_step(self) -> float:
        """The seconds by which the wall clock was set since the last call: negative if back, 0.0 if not at all."""
        offset = self._wall() - self._even()
        self._lowest_offset = min(self._lowest_offset, offset)
        seconds = offset - self._offset
        if abs(seconds) < STEP_SECONDS:
            return 0.0
        self._offset = offset
        self.steps += 1
        return seconds
