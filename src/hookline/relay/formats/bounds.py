"""How much one line may say. A short line can speak of many: of a list of recipients, each makes an event, which
repeats what they share."""

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
    """All of them, or one Rejected in their place where they are too many or too long. Takes no more than that."""
    if isinstance(readings, list) and len(readings) == 1:
        return readings
    found: list[Reading] = []
    room = MOST_BYTES
    for one in readings:
        if len(found) == MOST_EVENTS:
            return [_TOO_MANY]
        if found:  # most lines hold one event, which is no longer than they are
            room -= len(_encoder.encode(one))
            if room < 0:
                return [_TOO_LONG]
        found.append(one)
    return found
