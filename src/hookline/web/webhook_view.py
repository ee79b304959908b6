"""One webhook as it was applied: its document, the apply that set each field, and its history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hookline.escaping import shortened
from hookline.state.history_replay import blame_fields
from hookline.state.store import Stored
from hookline.web.applied_state_reader import AddressChange
from hookline.web.inventory_view import ChangeOrigin, change_origin
from hookline.web.source_link import SourceLink

MAX_HISTORY_ROWS: Final = 50
MAX_SHOWN_VALUE_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class BlameRow:
    """A field. `origin` is None if no apply set it: somebody edited the state by hand."""

    path: str
    value: str
    origin: ChangeOrigin | None


@dataclass(frozen=True, slots=True)
class ShownField:
    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One change of the webhook. `lifted` are the limits and rules that the apply lifted."""

    action: str
    address: str
    moved_from: str | None
    origin: ChangeOrigin
    fields: Sequence[ShownField]
    lifted: Sequence[str]


def blame_rows(stored: Stored, changes: Sequence[AddressChange], links: SourceLink | None) -> list[BlameRow]:
    """The fields of the document. Raises ValueError if the history cannot be replayed."""
    by_serial = {one.record.serial: one for one in changes}
    blamed = blame_fields(stored.webhook.address, stored.document, [one.alone for one in changes])
    return [
        BlameRow(
            one.path,
            shown_value(one.value),
            None if one.record is None else change_origin(by_serial[one.record.serial], links),
        )
        for one in blamed
    ]


def history_rows(changes: Sequence[AddressChange], links: SourceLink | None) -> list[ChangeRow]:
    """The latest changes, the newest first."""
    return [_change_row(one, links) for one in changes[: -MAX_HISTORY_ROWS - 1 : -1]]


def _change_row(one: AddressChange, links: SourceLink | None) -> ChangeRow:
    change, entry = one.change, one.record.entry
    fields = [
        ShownField(str(field["path"]) or "/", shown_value(field.get("before")), shown_value(field.get("after")))
        for field in change.get("fields", ())
    ]
    moved_from = change.get("movedFrom")
    return ChangeRow(
        str(change["action"]),
        str(change["address"]),
        None if moved_from is None else str(moved_from),
        change_origin(one, links),
        fields,
        (*entry.lifted, *(f"overridden: the rule {each.rule}, because: {each.reason}" for each in entry.overrides)),
    )


def shown_value(value: Any) -> str:
    """A value of a document as JSON on one line; nothing for a field that is not set."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return shortened(text, MAX_SHOWN_VALUE_CHARACTERS)
