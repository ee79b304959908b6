"""Rows of the stored state, made from values and read back into them. What cannot be read is a ValueError."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC

from hookline.canonical import canonical_json
from hookline.model import Address
from hookline.state.port import Entry
from hookline.state.snapshot import Stored

HistoryRow = tuple[int, str, str, str | None, str | None, str, str, str]


def history_row(serial: int, entry: Entry) -> HistoryRow:
    """The columns of `history`, in their order. Times are UTC, ISO 8601, to the millisecond."""
    at = entry.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        serial,
        at,
        entry.who,
        entry.commit,
        entry.branch,
        entry.fingerprint,
        json_text(entry.changes),
        json_text(entry.lifted),
    )


def json_text(value: object) -> str:
    return canonical_json(value).decode()


def read_webhooks(rows: Iterable[tuple[str, str, str]]) -> dict[Address, Stored]:
    """Organization, sandbox and document of each row. Raises ValueError naming the row that cannot be read."""
    return {
        Address(organization, sandbox): _read_row(Address(organization, sandbox), text)
        for organization, sandbox, text in rows
    }


def _read_row(address: Address, text: str) -> Stored:
    try:
        stored = Stored(json.loads(text))
        found = stored.webhook.address
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as broken:
        raise ValueError(f"the document of {address} cannot be read") from broken
    if found != address:
        raise ValueError(f"the document of {address} says that it is {found}")
    return stored
