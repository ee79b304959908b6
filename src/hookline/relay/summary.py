"""The accounting of a run: the difference of the spool's tally before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import msgspec

# Lines without an event, and events that are skipped before a webhook is sought.
_NO_EVENT = {"not_an_event"}
_BEFORE_ROUTING = {*_NO_EVENT, "status_not_relayed"}


class InputEnd(msgspec.Struct, frozen=True):
    """The sources with unread bytes at their end, and those that an earlier run had read to their end. Of a damaged
    or replaced file the number is not known, and is 0.
    """

    unread: tuple[tuple[str, int], ...] = ()
    already_read: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a run: `read + carried = delivered + skipped + rejected + dead + pending + duplicates`, always.

    `carried` counts deliveries that were pending before the run, or were replayed or moved here during it, `attempts`
    requests.
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
    input_end: InputEnd = InputEnd()

    def as_json(self) -> dict[str, Any]:
        """The fields in the order that docs/reference/relay.md documents."""
        counts = msgspec.structs.asdict(self)
        del counts["input_end"]
        return counts

    @property
    def recognized(self) -> int:
        """The number of events, or lines without one, of a known format or program that were understood."""
        return self.read - self.rejected - unknown_formats(self.skipped) - self.unread_outcomes

    @property
    def is_unrecognized(self) -> bool:
        """Whether lines were read, and none was recognized."""
        return self.read > 0 and self.recognized == 0

    @property
    def without_webhooks(self) -> bool:
        """Whether no webhook is applied for any event that could have been delivered."""
        without = self.skipped.get("no_webhook", 0)
        return 0 < without == self.recognized - _count(self.skipped, _BEFORE_ROUTING)

    @property
    def without_events(self) -> bool:
        """Whether lines were read and understood, and none contains an event."""
        return 0 < self.read == _count(self.skipped, _NO_EVENT)

    @property
    def unread_outcomes(self) -> int:
        """The number of lines that look like results of a mail server and were not understood."""
        return _count(self.skipped, {"unread_outcome"})

    @property
    def is_incomplete(self) -> bool:
        """Whether a run that settled everything ends with exit code 3."""
        found = self.dead or self.rejected or self.is_unrecognized or self.without_webhooks or self.input_end.unread
        return bool(found)


def unknown_formats(skipped: Mapping[str, int]) -> int:
    """Returns the number of lines of no known format among the skipped ones."""
    return _count(skipped, {"unknown_format"})


def _count(skipped: Mapping[str, int], reasons: Set[str]) -> int:
    return sum(n for reason, n in skipped.items() if reason.partition(":")[0] in reasons)


def summarize(
    before: Mapping[str, int], after: Mapping[str, int], seconds: float, input_end: InputEnd | None = None
) -> Summary:
    """The summary of a run of `seconds`, from the spool's tallies `before` and `after` it."""

    def more(name: str) -> int:
        return after.get(name, 0) - before.get(name, 0)

    reasons = sorted(name for name in after if name.startswith("skipped:"))
    return Summary(
        read=more("read"),
        carried=before["pending"] + more("replayed") + more("moved_in"),
        delivered=more("delivered"),
        skipped={name.removeprefix("skipped:"): more(name) for name in reasons if more(name)},
        rejected=more("rejected"),
        dead=more("dead"),
        pending=after["pending"],
        duplicates=more("duplicates"),
        attempts=more("attempts"),
        seconds=round(seconds, 3),
        input_end=input_end or InputEnd(),
    )
