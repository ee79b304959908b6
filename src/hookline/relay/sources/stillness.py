"""For how long nobody has written to a file: that alone tells a half archive from one that is being made."""

from __future__ import annotations

import os
import time

SETTLED = 2.0  # seconds after which what somebody copies or compresses there is taken to be all
LONG_AGO = 60.0  # seconds after which nobody is expected to go on, also by another machine's clock


class Stillness:
    """Watches an open file from its first question on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stamp: tuple[int, int] | None = None
        self._since = 0.0

    def lasts(self, seconds: float) -> bool:
        """Whether nobody has written to it for so long, as far as was seen, or since long ago."""
        status = os.fstat(self._descriptor)
        now = time.monotonic()
        if self._stamp != (stamp := (status.st_size, status.st_mtime_ns)):
            self._stamp, self._since = stamp, now
        return now - self._since >= seconds or time.time() - status.st_mtime >= LONG_AGO
