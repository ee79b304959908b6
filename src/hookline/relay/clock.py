"""The relay's clock: wall-clock time, and a cautious time for the case that the machine's clock is set."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

# Slewing moves a clock by less than this between two checks. A larger difference means that the clock was set.
STEP_SECONDS: Final = 2.0
# Seconds of a clock that cannot be set. On Linux it includes the time in which the machine was suspended.
_SINCE_BOOT: Final = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def monotonic_microseconds() -> int:
    """The machine's CLOCK_MONOTONIC, for the service manager, which compares it with its own."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


class RelayClock:
    """Unix time in seconds. Every decision that deletes something must use `cautious_now`.

    The clock runs evenly and takes over the wall clock's setting only in `take_step`, which the relay calls each
    second. A time from `now` and a step are therefore never mixed: everything that was dated before a step can move
    with it, also if the wall clock was set forward and back between two calls.

    `wall` returns Unix time. `even` returns the seconds of a clock that runs evenly, from any origin. `steps` counts
    how often the wall clock was set since the relay started.
    """

    def __init__(self, wall: Callable[[], float] = time.time, even: Callable[[], float] = _SINCE_BOOT) -> None:
        self._wall = wall
        self._even = even
        self._start = even()
        self._offset = self._lowest_offset = wall() - self._start
        self.steps = 0

    def now(self) -> float:
        """The wall clock as of the last `take_step`, for timestamps and due times."""
        return self._even() + self._offset

    def at(self, elapsed: float) -> float:
        """The value of `now` at an earlier value of `elapsed`, without a look at the machine's clock."""
        return self._start + elapsed + self._offset

    def elapsed(self) -> float:
        """Seconds since the relay started, by the clock that runs evenly."""
        return self._even() - self._start

    def cautious_now(self) -> float:
        """The time for retention, `maxAge` and the duplicate window.

        It runs evenly from the lowest setting that the wall clock had since the relay started. It is therefore never
        ahead of `now`. A step forward increases no age. After a step back, entries remain longer, also after the
        clock was corrected: the correction must not increase the age of entries that were dated before it.
        """
        return self._even() + self._lowest_offset

    def take_step(self) -> float:
        """Seconds by which the wall clock was set since the last call: negative if back, 0.0 if it was not set."""
        offset = self._wall() - self._even()
        seconds = offset - self._offset
        self._offset = offset
        self._lowest_offset = min(self._lowest_offset, offset)
        if abs(seconds) < STEP_SECONDS:
            return 0.0
        self.steps += 1
        return seconds
