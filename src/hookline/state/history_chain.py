"""The hash chain of the history.

The hash of an entry covers its content and the hash of the entry before it. The first entry follows a hash of the
lineage. If an entry is changed, removed or inserted by hand, the chain breaks at that entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hookline.canonical import digest
from hookline.state.store import HistoryEntry, HistoryRecord, Snapshot
from hookline.units import utc_text


@dataclass(frozen=True, slots=True)
class ChainBreak:
    serial: int
    reason: str


def genesis_hash(lineage: str) -> str:
    """The hash before the first entry."""
    return digest({"lineage": lineage})


def entry_hash(previous: str, serial: int, entry: HistoryEntry) -> str:
    """``sha256:…`` of an entry at `serial`; `previous` is the hash of the entry before it."""
    return digest({"previous": previous, "serial": serial, **entry_values(entry)})


def entry_values(entry: HistoryEntry) -> dict[str, Any]:
    """The values of an entry as they are hashed, in the order of the columns of `history`."""
    return {
        "at": time_text(entry.at),
        "who": entry.who,
        "commit": entry.commit,
        "branch": entry.branch,
        "fingerprint": entry.fingerprint,
        "changes": entry.changes,
        "lifted": entry.lifted,
        "overrides": [{"rule": one.rule, "reason": one.reason} for one in entry.overrides],
        "policy": None if entry.policy is None else {"text": entry.policy.text, "source": entry.policy.source},
        "note": entry.note,
    }


def next_record(previous: str | None, snapshot: Snapshot, entry: HistoryEntry) -> HistoryRecord:
    """The record of the apply that leads to `snapshot`. `previous` is the last hash, None for the first apply."""
    hash_before = previous or genesis_hash(str(snapshot.lineage))
    return HistoryRecord(snapshot.serial, entry, entry_hash(hash_before, snapshot.serial, entry))


def time_text(at: datetime) -> str:
    """A time as the history stores it: UTC, ISO 8601, in milliseconds."""
    return utc_text(at, "milliseconds")


def find_breaks(lineage: str, serial: int, records: Iterable[HistoryRecord]) -> Iterator[ChainBreak]:
    """Every serial at which the history of a state at `serial` is broken."""
    previous, expected = genesis_hash(lineage), 1
    for record in records:
        if record.serial != expected:
            # The hash that this entry followed is missing as well, so its own hash cannot be checked.
            yield ChainBreak(expected, f"missing: the next entry is of serial {record.serial}")
        elif record.hash != entry_hash(previous, record.serial, record.entry):
            yield ChainBreak(record.serial, "changed after it was written, or the hash of the one before it was")
        previous, expected = record.hash, record.serial + 1
    if expected <= serial:
        yield ChainBreak(expected, f"missing: the state is at serial {serial}")
    if expected > serial + 1:
        yield ChainBreak(expected - 1, f"later than the state, which is at serial {serial}")
