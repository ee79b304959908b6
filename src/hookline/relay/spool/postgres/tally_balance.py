"""The tally of a shared spool: the counts of its whole life, and the number of pending deliveries that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

READ_TALLY: Final = """
SELECT name, sum(count)::bigint FROM (
  SELECT name, count FROM spool.tally
  UNION ALL SELECT name, count FROM spool.tally_change WHERE n > (SELECT folded FROM spool.meta)) c
GROUP BY name
"""
# The beginnings of the names of counts: of events that came, and of those that are not pending any more.
_CAME: Final = ("read", "replayed", "moved_in")
_LEFT: Final = ("delivered", "skipped:", "rejected", "dead", "dup", "moved_out")


def pending_of(tally: Mapping[str, int]) -> int:
    left = sum(count for name, count in tally.items() if name.startswith(_LEFT))
    return sum(tally.get(name, 0) for name in _CAME) - left
