"""The failed attempts of one delivery, as they are kept beside it: what `trace` and `dead show` tell.

A text of JSON, None while nothing has failed. Of many attempts the first few and the latest are kept, so that an
endpoint that is down for days costs a bounded number of bytes for each delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

FIRST_KEPT: Final = 4
MOST_KEPT: Final = 20
LONGEST_REASON: Final = 200
REPLAYED: Final = "replayed"


class Failed(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that was not accepted, or the moment of a replay (`number` 0). `at` is Unix time in seconds."""

    at: float
    number: int
    reason: str
    http: int | None = None


_decoder = msgspec.json.Decoder(list[Failed])
_encoder = msgspec.json.Encoder()


def read_history(history: str | None) -> list[Failed]:
    """The oldest first. A text that is none counts as no history: nobody's delivery may fail for that."""
    try:
        return [] if history is None else _decoder.decode(history)
    except msgspec.DecodeError:
        return []


def with_failure(history: str | None, failed: Failed) -> str:
    """The history with one more attempt at its end."""
    one = msgspec.structs.replace(failed, at=round(failed.at, 3), reason=failed.reason[:LONGEST_REASON])
    all_of_them = [*read_history(history), one]
    if len(all_of_them) > MOST_KEPT:
        del all_of_them[FIRST_KEPT]
    return _encoder.encode(all_of_them).decode()


def with_replay(history: str | None, at: float) -> str | None:
    """The history with the moment of a replay (Unix seconds) at its end; None when that replay is in it already."""
    before = read_history(history)
    if any(one.number == 0 and one.at == round(at, 3) for one in before):
        return None
    return with_failure(history, Failed(at, 0, REPLAYED))


def as_history(failed: Sequence[Failed]) -> str | None:
    """The text that `read_history` reads."""
    return _encoder.encode(failed).decode() if failed else None
