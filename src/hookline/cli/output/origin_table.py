"""The values of an applied webhook with the places in the files that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from hookline.cli.output.json_output import print_json
from hookline.cli.output.tables import columns
from hookline.escaping import printable, shortened
from hookline.model import Declared, SourcePlace
from hookline.plan.diff import differences
from hookline.state.store import Stored

_HEADINGS = ("PATH", "VALUE", "ORIGIN")
_MAX_SHOWN_VALUE_CHARS = 60


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """An applied value. `place` is None if the files have another value, or none."""

    path: str
    value: Any
    place: SourcePlace | None


def value_origins(stored: Stored, declared: Declared) -> Iterator[ValueOrigin]:
    """Yields each applied value with the place of the same value in the files."""
    desired = {field.path: field.after for field in differences({}, json.loads(declared.canonical))}
    for field in differences({}, stored.document):
        same = field.path in desired and desired[field.path] == field.after
        yield ValueOrigin(field.path, field.after, declared.place_of(field.path) if same else None)


def print_origins(origins: Sequence[ValueOrigin], form: str) -> None:
    """Print a table or JSON. A value that the files do not have comes from an earlier version of them."""
    if form == "json":
        print_json([_document(one) for one in origins])
        return
    rows = [_HEADINGS, *map(_row, origins)]
    click.echo("\n".join(columns(rows)))
    if any(one.place is None for one in origins):
        click.echo("# -: the files have another value or none; `hookline plan` shows the difference")


def _row(one: ValueOrigin) -> tuple[str, ...]:
    value = shortened(json.dumps(one.value, ensure_ascii=False), _MAX_SHOWN_VALUE_CHARS)
    place = "-" if one.place is None else f"{one.place.file}:{one.place.line}"
    return tuple(map(printable, (one.path, value, place)))


def _document(one: ValueOrigin) -> dict[str, Any]:
    place = one.place
    origin = None if place is None else {"file": place.file, "line": place.line, "column": place.column}
    return {"path": one.path, "value": one.value, "origin": origin}
