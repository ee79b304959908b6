"""Conversion between values and the rows of the stored state. A row that cannot be read raises ValueError."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from hookline.canonical import canonical_text
from hookline.model import Address, Declared
from hookline.state.history_chain import entry_values
from hookline.state.store import (
    NONE_DECLARED,
    HistoryEntry,
    HistoryRecord,
    Move,
    Override,
    PolicyChange,
    Snapshot,
    Stored,
    StoredPolicy,
)

HistoryRow = tuple[int, str, str, str | None, str | None, str, str, str, str, str | None, str | None, str]
_JSON_COLUMNS = ("changes", "lifted", "overrides", "policy")


def history_row(record: HistoryRecord) -> HistoryRow:
    """The columns of `history`, in their order. Times are UTC, ISO 8601, in milliseconds."""
    values = entry_values(record.entry)
    values |= {name: canonical_text(values[name]) for name in _JSON_COLUMNS if values[name] is not None}
    return cast(HistoryRow, (record.serial, *values.values(), record.hash))


def read_history(rows: Iterable[HistoryRow]) -> tuple[HistoryRecord, ...]:
    """Read the columns of `history`. Raises ValueError with the serial of an entry that cannot be read."""
    return tuple(HistoryRecord(row[0], _read_entry(row), row[-1]) for row in rows)


def _read_entry(row: HistoryRow) -> HistoryEntry:
    serial, at, who, commit, branch, fingerprint, changes, lifted, overrides, policy, note, _ = row
    try:
        entry = HistoryEntry(
            at=datetime.fromisoformat(at),
            who=who,
            commit=commit,
            branch=branch,
            fingerprint=fingerprint,
            changes=_changes(json.loads(changes)),
            lifted=tuple(json.loads(lifted)),
            overrides=tuple(Override(**one) for one in json.loads(overrides)),
            policy=None if policy is None else PolicyChange(**json.loads(policy)),
            note=note,
        )
        entry.moves(serial)
    except (TypeError, ValueError, RecursionError) as invalid:
        raise ValueError(f"the history entry of serial {serial} cannot be read") from invalid
    return entry


def _changes(changes: object) -> tuple[dict[str, Any], ...]:
    """Check the form that all readers of the history need; `state.history_replay` checks the documents."""
    if not isinstance(changes, list) or not all(_is_change(change) for change in changes):
        raise ValueError("not a list of changes")
    return tuple(changes)


def _is_change(change: object) -> bool:
    if not isinstance(change, dict) or not isinstance(change.get("fields", []), list):
        return False
    named = isinstance(change.get("address"), str) and isinstance(change.get("action"), str)
    return named and all(isinstance(field, dict) and "path" in field for field in change.get("fields", []))


def read_snapshot(
    version: tuple[str, int],
    webhooks: Iterable[tuple[str, str, str]],
    policy: tuple[str, int] | None,
    moves: Iterable[tuple[str, str, str, str, int]],
    declared: Mapping[Address, Declared] = NONE_DECLARED,
) -> Snapshot:
    """Read the rows of a state.

    Args:
        version: Lineage and serial.
        webhooks: Organization, sandbox and document of each webhook, as `read_webhooks` takes them.
        policy: The policy's document and serial; None if the state has no policy.
        moves: The old and the new organization and sandbox of each move, and its serial.
        declared: As in `read_webhooks`.

    Raises:
        ValueError: A row cannot be read.
    """
    return Snapshot(
        *version,
        read_webhooks(webhooks, declared),
        None if policy is None else StoredPolicy.of(*policy),
        tuple(Move(Address.parse(f"{a}/{b}"), Address.parse(f"{c}/{d}"), serial) for a, b, c, d, serial in moves),
    )


def move_row(move: Move) -> tuple[int, str, str, str, str]:
    """The columns of `moves`, in their order."""
    return (move.serial, *move.old, *move.new)


def read_webhooks(
    rows: Iterable[tuple[str, str, str]], declared: Mapping[Address, Declared] = NONE_DECLARED
) -> dict[Address, Stored]:
    """Read rows of organization, sandbox and document. Raises ValueError with the address of an unreadable row.

    A document that is equal to the `declared` one of its address is not decoded.
    """
    webhooks = {}
    for organization, sandbox, text in rows:
        address = Address(organization, sandbox)
        known = declared.get(address)
        if known is None or known.canonical != text:
            checked = Address.parse(f"{organization}/{sandbox}")
            webhooks[checked] = _read_row(checked, text)
        else:
            webhooks[address] = Stored(text)
    return webhooks


def _read_row(address: Address, text: str) -> Stored:
    try:
        stored = Stored(text)
        found = stored.webhook.address
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as invalid:
        raise ValueError(f"the document of {address} cannot be read") from invalid
    if found != address:
        raise ValueError(f"the document of {address} has the address {found}")
    return stored
