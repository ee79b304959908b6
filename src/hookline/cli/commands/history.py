"""`hookline history` and `hookline blame`: the applies, and the apply that set each field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from hookline.cli.applied_state import find, read_with_history
from hookline.cli.completions import complete_addresses
from hookline.cli.options import examples, format_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.tables import columns
from hookline.escaping import printable, shortened
from hookline.plan.stale_plan import short_commit
from hookline.state.factory import open_state, without_password
from hookline.state.history_chain import time_text
from hookline.state.history_replay import BlamedField, blame_fields
from hookline.state.store import HistoryEntry, HistoryRecord, PolicyChange, text_hash
from hookline.state.store_errors import damaged_state_error

_SYMBOLS = {"create": "+", "update": "~", "delete": "-", "move": ">"}
# Only JSON lists all changes of a larger apply.
_MAX_CHANGES_SHOWN = 20
_HEADINGS = ("FIELD", "VALUE", "SERIAL", "TIME", "WHO", "COMMIT")
_MAX_VALUE_CHARS = 48


@click.command(epilog=examples("hookline history --limit 5", exits="0 done, 8 the state cannot be used"))
@state_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the last N applies.")
@format_option("text", "json", help="Text for people, or a JSON array.")
def history_command(state: str, limit: int | None, form: str) -> None:
    """Show every apply, the latest first: serial, time, who, commit, changes, and the limits and rules it lifted.

    `policy set` and `policy clear` are applies as well.
    """
    _, records = read_with_history(open_state(state), state)
    latest = records[::-1][:limit]
    if form == "json":
        print_json([_document(record) for record in latest])
    else:
        click.echo("\n\n".join("\n".join(map(printable, _lines(record))) for record in latest))


def _document(record: HistoryRecord) -> dict[str, Any]:
    entry = record.entry
    return {
        "serial": record.serial,
        **_origin(entry),
        "fingerprint": entry.fingerprint,
        "summary": _counts(entry),
        "changes": [
            {
                "address": change["address"],
                "action": change["action"],
                "movedFrom": change.get("movedFrom"),
                "fields": _paths(change),
            }
            for change in entry.changes
        ],
        "lifted": list(entry.lifted),
        "overrides": [asdict(override) for override in entry.overrides],
        "policy": entry.policy and _policy_document(entry.policy),
        "hash": record.hash,
    }


def _policy_document(change: PolicyChange) -> dict[str, Any]:
    return {
        "action": "clear" if change.text is None else "set",
        "hash": None if change.text is None else text_hash(change.text),
        "source": change.source,
    }


def _origin(entry: HistoryEntry | None) -> dict[str, Any]:
    names = ("who", "commit", "branch", "note")
    return {"at": entry and time_text(entry.at), **{name: getattr(entry, name, None) for name in names}}


def _lines(record: HistoryRecord) -> Iterator[str]:
    entry = record.entry
    yield "  ".join(
        filter(None, (f"serial {record.serial}", time_text(entry.at), entry.who, _revision(entry), entry.note))
    )
    if entry.policy is not None:
        yield f"    {_policy_text(entry.policy)}"
    else:
        summary = _counts(entry)
        moved = f", {summary['move']} moved" if summary["move"] else ""
        yield f"    {summary['create']} created, {summary['update']} updated, {summary['delete']} deleted{moved}"
    for change in entry.changes[:_MAX_CHANGES_SHOWN]:
        fields, moved = ", ".join(_paths(change)), f"{change['movedFrom']} -> " if change.get("movedFrom") else ""
        symbol = _SYMBOLS.get(change["action"], "?")
        yield f"    {symbol} {moved}{change['address']}{': ' if fields else ''}{fields}"
    if len(entry.changes) > _MAX_CHANGES_SHOWN:
        yield f"    … and {len(entry.changes) - _MAX_CHANGES_SHOWN} more (--format json shows all)"
    yield from (f"    lifted: {lifted}" for lifted in entry.lifted)
    yield from (f"    overridden: the rule {one.rule}, because: {one.reason}" for one in entry.overrides)


def _policy_text(change: PolicyChange) -> str:
    if change.text is None:
        return "policy cleared"
    return f"policy set{f' from {change.source}' if change.source else ''}: {text_hash(change.text)}"


def _revision(entry: HistoryEntry) -> str | None:
    """``main@c0ffee123456``, without the parts that are unknown."""
    commit = short_commit(entry.commit) if entry.commit else None
    return f"{entry.branch}@{commit}" if entry.branch and commit else commit


def _counts(entry: HistoryEntry) -> dict[str, int]:
    actions = [change["action"] for change in entry.changes]
    return {action: actions.count(action) for action in _SYMBOLS}


def _paths(change: Mapping[str, Any]) -> Sequence[str]:
    return [str(field["path"]) or "/" for field in change.get("fields", ())]


@click.command(
    epilog=examples(
        "hookline blame ACME@AdobeOrg/prod", exits="0 done, 1 no such webhook, 8 the state cannot be used"
    )
)
@click.argument("address", metavar="ORG/SANDBOX", shell_complete=complete_addresses)
@state_option
@format_option("text", "json", help="A table or JSON.")
def blame_command(address: str, state: str, form: str) -> None:
    """Show which apply set each field of an applied webhook.

    Fields with their default value are not shown. A moved webhook keeps the applies of its earlier addresses. If no
    apply set a value, somebody edited the state by hand:
    `hookline drift` shows details.
    """
    snapshot, records = read_with_history(open_state(state), state)
    stored = find(snapshot, address)
    try:
        blamed = blame_fields(stored.webhook.address, stored.document, records)
    except ValueError as broken:
        raise damaged_state_error(without_password(state), str(broken)) from broken
    if form == "json":
        print_json([_blame_document(one) for one in blamed])
    else:
        click.echo("\n".join(columns([_HEADINGS, *map(_row, blamed)])))


def _blame_document(blamed: BlamedField) -> dict[str, Any]:
    record = blamed.record
    return {
        "path": blamed.path,
        "value": blamed.value,
        "serial": record and record.serial,
        **_origin(record.entry if record else None),
    }


def _row(blamed: BlamedField) -> tuple[str, ...]:
    value = shortened(json.dumps(blamed.value, ensure_ascii=False), _MAX_VALUE_CHARS)
    if blamed.record is None:
        cells = (blamed.path, value, "-", "-", "no apply", "-")
    else:
        entry = blamed.record.entry
        serial, commit = str(blamed.record.serial), _revision(entry) or entry.note or "-"
        cells = (blamed.path, value, serial, time_text(entry.at), entry.who, commit)
    return tuple(map(printable, cells))
