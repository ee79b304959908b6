"""`hookline history`: every apply."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from hookline.cli.applied import read_with_history
from hookline.cli.options import format_option, state_option
from hookline.escaping import printable
from hookline.plan.rebase import short_commit
from hookline.state.chain import as_text
from hookline.state.opening import open_state
from hookline.state.port import Entry, Record

_SYMBOLS = {"create": "+", "update": "~", "delete": "-"}
# An apply of thousands is told by its counts; --format json names them all.
_NAMED = 20


@click.command(
    epilog="Example: hookline history --limit 5. Exit codes: 0 done, 8 the state cannot be used.",
)
@state_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the last N applies.")
@format_option("text", "json", help="Text for people, or a JSON array.")
def command(state: str, limit: int | None, form: str) -> None:
    """Show every apply, the latest first: serial, time, who, commit, changes, and options that allowed deletions."""
    _, records = read_with_history(open_state(state), state)
    shown = records[::-1][:limit]
    if form == "json":
        click.echo(json.dumps([_document(record) for record in shown], indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join("\n".join(map(printable, _lines(record))) for record in shown))


def _document(record: Record) -> dict[str, Any]:
    entry = record.entry
    return {
        "serial": record.serial,
        "at": as_text(entry.at),
        "who": entry.who,
        "commit": entry.commit,
        "branch": entry.branch,
        "note": entry.note,
        "fingerprint": entry.fingerprint,
        "summary": counts(entry),
        "changes": [
            {"address": change["address"], "action": change["action"], "fields": _paths(change)}
            for change in entry.changes
        ],
        "lifted": list(entry.lifted),
        "hash": record.hash,
    }


def _lines(record: Record) -> Iterator[str]:
    entry = record.entry
    yield "  ".join(
        filter(None, (f"serial {record.serial}", as_text(entry.at), entry.who, revision(entry), entry.note))
    )
    summary = counts(entry)
    yield f"    {summary['create']} created, {summary['update']} updated, {summary['delete']} deleted"
    for change in entry.changes[:_NAMED]:
        fields = ", ".join(_paths(change))
        yield f"    {_SYMBOLS.get(change['action'], '?')} {change['address']}{': ' if fields else ''}{fields}"
    if len(entry.changes) > _NAMED:
        yield f"    … and {len(entry.changes) - _NAMED} more (--format json shows them all)"
    yield from (f"    lifted: {lifted}" for lifted in entry.lifted)


def revision(entry: Entry) -> str | None:
    """``main@c0ffee123456``, as far as it is known."""
    commit = short_commit(entry.commit) if entry.commit else None
    return f"{entry.branch}@{commit}" if entry.branch and commit else commit


def counts(entry: Entry) -> dict[str, int]:
    actions = [change["action"] for change in entry.changes]
    return {action: actions.count(action) for action in _SYMBOLS}


def _paths(change: Mapping[str, Any]) -> Sequence[str]:
    return [str(field["path"]) or "/" for field in change.get("fields", ())]
