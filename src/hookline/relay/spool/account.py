"""The account of a spool: the events that came into it are those that left it, and those that are pending."""

from __future__ import annotations

from typing import Final

# The beginnings of the names of counts: of events that came, and of those that are no longer pending.
_CAME: Final = ("read", "replayed", "moved_in")
_LEFT: Final = ("delivered", "skipped:", "rejected", "dead", "dup", "moved_out")


def with_pending(tally: dict[str, int]) -> dict[str, int]:
    """The tally and the count of pending deliveries: read + replayed + moved in - settled - moved out."""
    left = sum(count for name, count in tally.items() if name.startswith(_LEFT))
    return {**tally, "pending": sum(tally.get(name, 0) for name in _CAME) - left}
