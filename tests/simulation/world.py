"""The simulated world: virtual time, seeded choices, scheduled happenings, and the trace of all observations."""

from __future__ import annotations

import hashlib
import heapq
import select
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

EPOCH: Final = 1_780_000_000.0  # Unix time at the start of every simulation
MAX_STEPS: Final = 1_000_000
SHORTEST_WAIT_SECONDS: Final = 1e-6


class Violation(Exception):
    """An invariant does not hold. `name` is its name in docs/reference/guarantees.md."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name = name
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"


class World:
    """Time and chance of one simulation.

    Attributes:
        random: The source of all chance.
        now: The even clock, in seconds since the start.
        offset: The wall clock is `EPOCH + now + offset`.
        clock_was_set: The wall clock was set at least once.
        job_seconds: While a job runs in a simulated thread: the time that it has slept.
        steps: The number of steps so far.
        violation: The first violation.
        lines: The lines of the trace; None if they are not kept.
    """

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.offset = 0.0
        self.clock_was_set = False
        self.job_seconds = 0.0
        self.steps = 0
        self.violation: Violation | None = None
        self.lines: list[str] | None = [] if keep_trace else None
        self._hidden = "\0"
        self._digest = hashlib.blake2b(digest_size=16)
        self._happenings: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def violate(self, name: str, detail: str) -> None:
        """Record that an invariant does not hold. The simulation ends with this step.

        Code that the relay calls must not raise a Violation: the relay would handle it as an internal error.
        """
        if self.violation is None:
            self.note(f"VIOLATION of {name}: {detail}")
            self.violation = Violation(name, detail)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number."""
        self.offset += seconds
        self.clock_was_set = True

    # -- clocks of the relay under test

    def even(self) -> float:
        """The clock that cannot be set, in seconds."""
        return self.now + self.job_seconds

    def wall(self) -> float:
        """Unix time in seconds."""
        return EPOCH + self.offset + self.even()

    def sleep(self, seconds: float) -> None:
        """A simulated thread sleeps: its job takes longer. Everything else runs in between."""
        self.job_seconds += max(0.0, seconds)

    def poll(self, descriptors: Sequence[int], seconds: float) -> list[int]:
        """Implements Timing.poll. No descriptor becomes ready during a job, so it returns at once or sleeps."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN | select.POLLPRI)
        ready = [descriptor for descriptor, _ in poll.poll(0)]
        if not ready:
            # A wait that is shorter than the precision of the clock would never end.
            self.sleep(max(seconds, SHORTEST_WAIT_SECONDS))
        return ready

    # -- scheduled happenings outside the relay

    def after(self, seconds: float, happening: Callable[[], None]) -> None:
        """Call `happening` once, in `seconds` from now."""
        self._number += 1
        heapq.heappush(self._happenings, (self.now + max(0.0, seconds), self._number, happening))

    def pass_over(self, seconds: float) -> None:
        """Let time pass without a happening: everything that is scheduled comes later."""
        self.now += seconds
        self._happenings = [(at + seconds, number, happening) for at, number, happening in self._happenings]

    @property
    def next_at(self) -> float:
        """When the next happening is due; infinity if there is none."""
        return self._happenings[0][0] if self._happenings else float("inf")

    def happen(self) -> None:
        """Run the next happening."""
        heapq.heappop(self._happenings)[2]()

    # -- trace

    def hide(self, text: str) -> None:
        """Leave this text, the name of a temporary directory, out of the trace."""
        self._hidden = text

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        line = f"{self.even():12.4f}  {text.replace(self._hidden, '')}"
        self._digest.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """A hash of the whole trace so far. Equal digests mean equal runs."""
        return self._digest.hexdigest()
