"""Whether a state is what was applied: its history's chain, and its documents against a replay of that history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hookline.canonical import digest
from hookline.model import Address
from hookline.state.history_chain import Break, breaks
from hookline.state.history_replay import AppliedChange, fields, replay_history, same
from hookline.state.store import Record, Snapshot, Stored


class DriftKind(StrEnum):
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class DriftedField:
    """`applied` and `stored` are None where the field is not set."""

    path: str
    applied: Any
    stored: Any


@dataclass(frozen=True, slots=True)
class Drifted:
    """A webhook that is not as it was applied. `serial` is the apply that wrote it last, None when none did."""

    address: Address
    kind: DriftKind
    serial: int | None
    fields: tuple[DriftedField, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    breaks: tuple[Break, ...]
    webhooks: tuple[Drifted, ...]

    def __bool__(self) -> bool:
        return bool(self.breaks or self.webhooks)


def find_drift(stored: Snapshot, records: Sequence[Record]) -> Drift:
    """Everything in which `stored` is not what `records` say was applied, of one and the same moment.

    Raises ValueError for a history that cannot be replayed.
    """
    broken = tuple(breaks(stored.lineage, stored.serial, records)) if stored.lineage is not None else ()
    applied = replay_history(records)
    return Drift(broken, tuple(_drifted(stored.webhooks, applied)))


def _drifted(stored: Mapping[Address, Stored], applied: Mapping[Address, AppliedChange]) -> Iterator[Drifted]:
    for address in sorted(stored.keys() | applied.keys()):
        if address not in applied:
            yield Drifted(address, DriftKind.ADDED, None)
        elif address not in stored:
            yield Drifted(address, DriftKind.REMOVED, applied[address].serial)
        elif stored[address].hash != digest(applied[address].document):
            differing = tuple(_differing(applied[address].document, stored[address].document))
            yield Drifted(address, DriftKind.CHANGED, applied[address].serial, differing)


def _differing(applied: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[DriftedField]:
    before, after = fields(applied), fields(stored)
    for path in sorted(before.keys() | after.keys()):
        # A field that is null and one that is not set are two different things.
        if (path in before) != (path in after) or not same(before[path], after[path]):
            yield DriftedField(path, before.get(path), after.get(path))
