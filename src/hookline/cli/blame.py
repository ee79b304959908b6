"""`hookline blame`: which apply set which field."""

from __future__ import annotations

import json
from typing import Any

import click

from hookline.cli.applied import find, read_with_history
from hookline.cli.history import revision
from hookline.cli.options import format_option, state_option
from hookline.cli.table import columns, shortened
from hookline.escaping import printable
from hookline.state.blame import Blamed, blame
from hookline.state.chain import as_text
from hookline.state.opening import open_state
from hookline.state.refusals import unreplayable

_HEADINGS = ("FIELD", "VALUE", "SERIAL", "TIME", "WHO", "COMMIT")
_LONGEST_VALUE = 48


@click.command(
    epilog="Example: hookline blame acme/prod. Exit codes: 0 done, 1 no such webhook, 8 the state cannot be used."
)
@click.argument("address", metavar="ORG/SANDBOX")
@state_option
@format_option("text", "json", help="A table or JSON.")
def command(address: str, state: str, form: str) -> None:
    """Show which apply set each field of an applied webhook.

    Fields with their default value are not shown. If no apply set a value, somebody edited the state by hand:
    `hookline drift` shows details.
    """
    snapshot, records = read_with_history(open_state(state), state)
    stored = find(snapshot, address)
    try:
        blamed = blame(stored.webhook.address, stored.document, records)
    except ValueError as broken:
        raise unreplayable(state, str(broken)) from broken
    if form == "json":
        click.echo(json.dumps([_document(one) for one in blamed], indent=2, ensure_ascii=False))
    else:
        for line in columns([_HEADINGS, *(_row(one) for one in blamed)]):
            click.echo(line)


def _document(blamed: Blamed) -> dict[str, Any]:
    record = blamed.record
    entry = record.entry if record else None
    return {
        "path": blamed.path,
        "value": blamed.value,
        "serial": record.serial if record else None,
        "at": as_text(entry.at) if entry else None,
        "who": entry.who if entry else None,
        "commit": entry.commit if entry else None,
        "branch": entry.branch if entry else None,
        "note": entry.note if entry else None,
    }


def _row(blamed: Blamed) -> tuple[str, ...]:
    value = shortened(json.dumps(blamed.value, ensure_ascii=False), _LONGEST_VALUE)
    if blamed.record is None:
        cells = (blamed.path, value, "-", "-", "not by any apply", "-")
    else:
        entry = blamed.record.entry
        serial, commit = str(blamed.record.serial), revision(entry) or entry.note or "-"
        cells = (blamed.path, value, serial, as_text(entry.at), entry.who, commit)
    return tuple(map(printable, cells))
