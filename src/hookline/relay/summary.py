"""The accounting of a run: the difference of the spool's tally before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a run: `read + carried = delivered + skipped + rejected + dead + pending + duplicates`, always.

    `carried` counts deliveries that were pending before the run or were replayed during it, `attempts` requests.
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
        """The fields in the order that docs/reference/relay.md documents."""
        return msgspec.structs.asdict(self)

    @property
    def without_webhooks(self) -> bool:
        """Whether events were read, and all of them were skipped because no webhook is applied for them."""
        return self.read > 0 and self.skipped.get("no_webhook", 0) == self.read


def summarize(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> Summary:
    """The summary of a run of `seconds`, from the spool's tallies `before` and `after` it."""

    def more(name: str) -> int:
        return after.get(name, 0) - before.get(name, 0)

    reasons = sorted(name for name in after if name.startswith("skipped:"))
    return Summary(
        read=more("read"),
        carried=before["pending"] + more("replayed"),
        delivered=more("delivered"),
        skipped={name.removeprefix("skipped:"): more(name) for name in reasons if more(name)},
        rejected=more("rejected"),
        dead=more("dead"),
        pending=after["pending"],
        duplicates=more("duplicates"),
        attempts=more("attempts"),
        seconds=round(seconds, 3),
    )
