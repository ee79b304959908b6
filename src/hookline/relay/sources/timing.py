"""The clocks and waits of the sources. A deterministic simulation passes its own."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final


def _poll(descriptors: Sequence[int], seconds: float) -> list[int]:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLPRI)
    # A negative time would wait without end.
    return [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]


@dataclass(frozen=True, slots=True)
class Timing:
    """Time in seconds: Unix time from `wall`, from any origin from `monotonic`.

    `poll` waits at most the given seconds, and returns the descriptors that are readable or were hung up.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    poll: Callable[[Sequence[int], float], list[int]] = _poll


SYSTEM_TIMING: Final = Timing()
