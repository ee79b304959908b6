"""The history's chain of hashes: every entry seals all that came before it.

The hash of an entry is over its own content and the hash before it; the first one's predecessor is made from the
lineage. So an entry that is changed, removed or put in by hand breaks the chain at its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from hookline.canonical import digest
from hookline.state.store import Entry, Record
from hookline.units import utc_text


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold: at this serial, for this reason."""

    serial: int
    reason: str


def beginning(lineage: str) -> str:
    """What stands in for the hash before the first entry."""
    return digest({"lineage": lineage})


def seal(previous: str, serial: int, entry: Entry) -> str:
    """``sha256:…`` of an entry in its place."""
    return digest(
        {
            "previous": previous,
            "serial": serial,
            "at": time_text(entry.at),
            "who": entry.who,
            "commit": entry.commit,
            "branch": entry.branch,
            "fingerprint": entry.fingerprint,
            "changes": entry.changes,
            "lifted": entry.lifted,
            "note": entry.note,
        }
    )


def time_text(at: datetime) -> str:
    """UTC, ISO 8601, to the millisecond: as history stores times."""
    return utc_text(at, "milliseconds")


def breaks(lineage: str, serial: int, records: Iterable[Record]) -> Iterator[Break]:
    """Every place at which the history of a state at `serial` does not hold."""
    previous, expected = beginning(lineage), 1
    for record in records:
        if record.serial != expected:
            # What the next entry was sealed on is gone with the missing one: its own hash tells nothing.
            yield Break(expected, f"missing: the next entry is of serial {record.serial}")
        elif record.hash != seal(previous, record.serial, record.entry):
            yield Break(record.serial, "changed after it was written, or the hash of the one before it was")
        previous, expected = record.hash, record.serial + 1
    if expected <= serial:
        yield Break(expected, f"missing: the state is at serial {serial}")
    if expected > serial + 1:
        yield Break(expected - 1, f"beyond the state, which says that it is at serial {serial}")
