"""The relay's clock: Unix time that runs on evenly when somebody sets the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

# A clock that is being slewed is off by less for a while; one that is further off has been set.
STEP_SECONDS: Final = 2.0


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """`now` is the wall clock's time as of the last `set`, and what has passed since then: also while asleep.

    Everything that is waited for goes by it: when a retry is due, how old an event is. So a clock that jumps neither
    ends a wait of hours nor starts one. `wall` and `even` give seconds: Unix time, and any that nobody can set.
    `steps` counts how often it was set.
    """

    def __init__(self, wall: Callable[[], float] = time.time, even: Callable[[], float] = _since_boot) -> None:
        self._wall = wall
        self._even = even
        self._offset = wall() - even()
        self.steps = 0

    def now(self) -> float:
        return self._even() + self._offset

    def apart(self) -> float:
        """The seconds by which the wall clock has been set meanwhile, 0.0 if it was not."""
        seconds = self._wall() - self.now()
        return seconds if abs(seconds) >= STEP_SECONDS else 0.0

    def set(self, seconds: float) -> None:
        """Follow the wall clock by so many seconds, once everything that has a time has been told."""
        self._offset += seconds
        self.steps += 1
