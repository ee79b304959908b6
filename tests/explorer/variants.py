"""Broken variants of the store: a part of its statements is taken out. The explorer must find a violation in each."""

from __future__ import annotations

from typing import Final, NamedTuple

from hookline.relay.spool.postgres.lease_statements import END_PROCESSES, FENCE, FREE_SLOTS, READER_FENCE, RENEW
from hookline.relay.spool.postgres.relay_ports import settlement_writer

_WRITERS: Final = (settlement_writer._DELIVERED, settlement_writer._OTHER)


class Variant(NamedTuple):
    """`parts` are taken out of the statements. A scenario leads to the violation, whose text begins as given."""

    name: str
    parts: dict[str, str]
    scenario: str
    violation: str

    def changed(self) -> dict[str, str]:
        """The statements and their replacements."""
        for statement, part in self.parts.items():
            assert part in statement, f"the statement has no {part!r} any more: {statement}"
        return {statement: statement.replace(part, "") for statement, part in self.parts.items()}


VARIANTS: Final = [
    Variant(
        "no epoch",
        {FENCE: " AND s.epoch = o.epoch", **dict.fromkeys(_WRITERS, " AND e.epoch = o.epoch")},
        "taking again",
        "a settlement of owner took effect after it had lost slot 0",
    ),
    Variant("no row lock", {FENCE: " FOR SHARE OF s"}, "takeover", "a settlement of owner took effect after it"),
    Variant(
        "no row lock of the reader",
        {READER_FENCE: " FOR SHARE"},
        "standby",
        "a batch of owner was stored after it had lost the reader's lease",
    ),
    Variant(
        "expiry not looked at again",
        {END_PROCESSES: "\n  FOR UPDATE SKIP LOCKED"},
        "renewal",
        "owner has a valid lease, but another process may own its slot",
    ),
    Variant(
        "a dead process renews",
        {RENEW: " AND expires > '-infinity'"},
        "late renewal",
        "owner has a valid lease, but another process may own its slot",
    ),
    Variant("a takeover waits", {FREE_SLOTS: " SKIP LOCKED"}, "takeover", "heir leases waits for owner spool"),
]
