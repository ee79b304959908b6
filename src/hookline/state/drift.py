"""Drift: breaks in the history's hash chain, and documents, policy and moves that differ from a replay of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hookline.canonical import digest
from hookline.model import Address
from hookline.state.history_chain import ChainBreak, find_breaks
from hookline.state.history_replay import AppliedChange, document_fields, equal_as_json, replay_history
from hookline.state.policy_history import applied_policy
from hookline.state.store import HistoryRecord, Move, Snapshot, Stored


class DriftKind(StrEnum):
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class DriftedField:
    """`applied` and `stored` are None if the field is not set."""

    path: str
    applied: Any
    stored: Any


@dataclass(frozen=True, slots=True)
class DriftedWebhook:
    """A webhook that differs from the applied one. `serial` is the apply that wrote it last, None if none did."""

    address: Address
    kind: DriftKind
    serial: int | None
    fields: tuple[DriftedField, ...] = ()


@dataclass(frozen=True, slots=True)
class DriftedPolicy:
    """The hashes of the applied and of the stored policy, None for no policy. `serial` is the apply that set it."""

    applied: str | None
    stored: str | None
    serial: int | None


@dataclass(frozen=True, slots=True)
class DriftedMove:
    """A recorded move that was ADDED by hand, or that an apply recorded and that was REMOVED."""

    move: Move
    kind: DriftKind


@dataclass(frozen=True, slots=True)
class Drift:
    breaks: tuple[ChainBreak, ...]
    webhooks: tuple[DriftedWebhook, ...]
    policy: DriftedPolicy | None = None
    moves: tuple[DriftedMove, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.breaks or self.webhooks or self.policy or self.moves)


def find_drift(stored: Snapshot, records: Sequence[HistoryRecord]) -> Drift:
    """Differences between a state and its history, read at one moment. Raises ValueError if it cannot be replayed."""
    broken = tuple(find_breaks(stored.lineage, stored.serial, records)) if stored.lineage is not None else ()
    applied = replay_history(records)
    return Drift(
        broken, tuple(_drifted(stored.webhooks, applied)), _drifted_policy(stored, records), _moves(stored, records)
    )


def _drifted_policy(stored: Snapshot, records: Sequence[HistoryRecord]) -> DriftedPolicy | None:
    applied = applied_policy(records)
    if stored.policy == applied:
        return None
    return DriftedPolicy(
        None if applied is None else applied.hash,
        None if stored.policy is None else stored.policy.hash,
        None if applied is None else applied.serial,
    )


def _moves(stored: Snapshot, records: Sequence[HistoryRecord]) -> tuple[DriftedMove, ...]:
    applied = dict.fromkeys(move for record in records for move in record.entry.moves(record.serial))
    known = dict.fromkeys(stored.moves)
    added = [DriftedMove(move, DriftKind.ADDED) for move in known if move not in applied]
    removed = [DriftedMove(move, DriftKind.REMOVED) for move in applied if move not in known]
    return (*added, *removed)


def _drifted(stored: Mapping[Address, Stored], applied: Mapping[Address, AppliedChange]) -> Iterator[DriftedWebhook]:
    for address in sorted(stored.keys() | applied.keys()):
        if address not in applied:
            yield DriftedWebhook(address, DriftKind.ADDED, None)
        elif address not in stored:
            yield DriftedWebhook(address, DriftKind.REMOVED, applied[address].serial)
        elif stored[address].hash != digest(applied[address].document):
            differing = tuple(_differing(applied[address].document, stored[address].document))
            yield DriftedWebhook(address, DriftKind.CHANGED, applied[address].serial, differing)


def _differing(applied: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[DriftedField]:
    before, after = document_fields(applied), document_fields(stored)
    for path in sorted(before.keys() | after.keys()):
        # A field that is null differs from a field that is not set.
        if (path in before) != (path in after) or not equal_as_json(before[path], after[path]):
            yield DriftedField(path, before.get(path), after.get(path))
