"""What a run came to, worked out from the spool's tally before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """`read + carried` is always the sum of the fates. `carried` was pending before the run, or came from a replay.

    `attempts` counts requests; `seconds` is the length of the run.
    """

    read: int
    carried: int
    delivered: int
    skipped: dict[str, int]
    rejected: int
    dead: int
    pending: int
    duplicates: int
    attempts: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The fields in the order of the contract."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    @property
    def fates(self) -> int:
        """How many events have a fate: equal to `read + carried`."""
        settled = self.delivered + sum(self.skipped.values()) + self.rejected + self.dead
        return settled + self.pending + self.duplicates

    @property
    def nobody_to_tell(self) -> bool:
        """Whether something was read and every event of it was skipped because no webhook is applied for it."""
        return self.read > 0 and self.skipped.get("no_webhook", 0) == self.read


def summarize(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> Summary:
    """`before` and `after` are spool tallies (port.Spool.tally)."""

    def more(what: str) -> int:
        return after.get(what, 0) - before.get(what, 0)

    reasons = sorted(what for what in after if what.startswith("skipped:"))
    return Summary(
        read=more("read"),
        carried=before["pending"] + more("replayed"),
        delivered=more("delivered"),
        skipped={what.removeprefix("skipped:"): more(what) for what in reasons if more(what)},
        rejected=more("rejected"),
        dead=more("dead"),
        pending=after["pending"],
        duplicates=more("duplicates"),
        attempts=more("attempts"),
        seconds=round(seconds, 3),
    )
