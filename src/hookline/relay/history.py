"""The failed attempts of one delivery, as they are kept beside it: what `trace` and `dead show` tell.

A text of JSON, None while nothing has failed. Of many attempts the first few and the latest are kept, so that an
endpoint that is down for days costs a bounded number of bytes for each delivery.
"""

from __future__ import annotations

from typing import Final

import msgspec

FIRST_KEPT: Final = 4
MOST_KEPT: Final = 20
_LONGEST_REASON: Final = 200


class Failed(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that was not accepted, or the moment of a replay (`number` 0). `at` is Unix time in seconds."""

    at: float
    number: int
    reason: str
    http: int | None = None


_decoder = msgspec.json.Decoder(list[Failed])
_encoder = msgspec.json.Encoder()


def read_history(history: str | None) -> list[Failed]:
    """The oldest first."""
    return [] if history is None else _decoder.decode(history)


def with_failure(history: str | None, failed: Failed) -> str:
    """The history with one more attempt at its end."""
    one = msgspec.structs.replace(failed, at=round(failed.at, 3), reason=failed.reason[:_LONGEST_REASON])
    all_of_them = [*read_history(history), one]
    if len(all_of_them) > MOST_KEPT:
        del all_of_them[FIRST_KEPT]
    return _encoder.encode(all_of_them).decode()
