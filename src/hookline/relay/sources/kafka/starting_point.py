"""Decides the offset from which a partition is read."""

from __future__ import annotations

from typing import NamedTuple


class StartingPoint(NamedTuple):
    """`offset` is that of the first message. `lost` counts the messages before it that were removed unread. The log
    ends `beyond` messages before the stored position. `upstream_ahead`: the group's committed offset is this much
    later."""

    offset: int
    lost: int = 0
    beyond: int = 0
    upstream_ahead: int = 0


def starting_point(*, stored: int | None, committed: int | None, low: int, high: int) -> StartingPoint:
    """Returns the offset to read from.

    The position in the spool is the truth. The committed offset is for a group that the spool does not know. No
    position outside of the log leads to its end, because that would leave messages out.

    Args:
        stored: the position in the spool, if it has one.
        committed: the group's committed offset, if it has one.
        low, high: the offsets of the first message, and after the last one.
    """
    wanted = stored if stored is not None else committed
    if wanted is None:
        return StartingPoint(low)
    ahead = max(0, committed - stored) if stored is not None and committed is not None else 0
    if wanted < low:
        return StartingPoint(low, lost=low - wanted, upstream_ahead=ahead)
    if wanted > high:
        return StartingPoint(low, beyond=wanted - high)
    return StartingPoint(wanted, upstream_ahead=ahead)
