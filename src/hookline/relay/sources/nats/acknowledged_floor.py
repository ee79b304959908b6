"""The message of a stream up to which all are acknowledged."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

# A server writes acknowledgements to its disk within `sync_interval`, 2 minutes by default. After a power cut it
# delivers again what was acknowledged since then.
SETTLED_SECONDS: Final = 180.0
_SAMPLE_SECONDS: Final = 1.0


class Floor(NamedTuple):
    """The floor of a stream and consumer: `latest`, and `settled`, which the server does not forget any more."""

    stream: bytes = b""
    latest: int = 0
    settled: int = 0


class AcknowledgedFloor:
    """Follows the floor that the server reports. `current` is replaced as a whole, so any thread may read it."""

    def __init__(self) -> None:
        self.current = Floor()
        self._samples: deque[tuple[float, int]] = deque()

    def report(self, stream: bytes, floor: int, now: float) -> None:
        """Notes the floor at the time `now`, in seconds of any origin. Another stream begins again."""
        settled = self.current.settled
        if stream != self.current.stream:
            settled = 0
            self._samples.clear()
        if not self._samples or now >= self._samples[-1][0] + _SAMPLE_SECONDS:
            self._samples.append((now, floor))
        while self._samples and self._samples[0][0] <= now - SETTLED_SECONDS:
            settled = self._samples.popleft()[1]
        self.current = Floor(stream, floor, settled)
