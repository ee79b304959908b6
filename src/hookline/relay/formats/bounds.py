"""The limits of one line. A short line can make many events: each recipient of a list makes one, with the shared
fields repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from hookline.relay.fates import Rejected
from hookline.relay.formats.port import Reading

MOST_EVENTS: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024

_TOO_MANY = Rejected(f"more than {MOST_EVENTS:,} events in one line")
_TOO_LONG = Rejected(f"one line with events of more than {MOST_BYTES // 1024**2} MiB in all")
_encoder = msgspec.json.Encoder()


def bounded(readings: Iterable[Reading]) -> list[Reading]:
    """Returns all events, or one Rejected if they are too many or too long. Consumes no more than that."""
    if isinstance(readings, list) and len(readings) == 1:
        return readings
    found: list[Reading] = []
    room = MOST_BYTES
    for one in readings:
        if len(found) == MOST_EVENTS:
            return [_TOO_MANY]
        if found:  # most lines contain one event, which is not longer than the line
            room -= len(_encoder.encode(one))
            if room < 0:
                return [_TOO_LONG]
        found.append(one)
    return found
