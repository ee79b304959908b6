"""`hookline formats`: which forms of lines the relay understands, and how it would read a file of them."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, assert_never

import click

from hookline.cli.ingest_options import IngestOptions, reading_options
from hookline.cli.tables import columns, shortened
from hookline.escaping import printable
from hookline.observe.log import Log
from hookline.relay.delivery_record import Delivery, Rejected, Skipped
from hookline.relay.event import Event, primary_identity
from hookline.relay.formats.registry import DESCRIPTIONS, FORMATS
from hookline.relay.ingest.preview import SUPPLIED_BY, PreviewedEvent, preview_document, preview_line
from hookline.relay.routing import SkipNames
from hookline.relay.sources.open import open_sources

SOME_REJECTED = 3
_WIDEST = 60
_AT_ONCE = 200


@click.group(invoke_without_command=True, epilog="Example: hookline formats test events.ndjson")
@click.pass_context
def command(context: click.Context) -> None:
    """List the formats that `relay` reads, or try them on a file."""
    if context.invoked_subcommand is None:
        rows = [("FORMAT", "CHANNELS", "A LINE IS")]
        rows += [(name, DESCRIPTIONS[name].channels, DESCRIPTIONS[name].lines) for name in FORMATS]
        click.echo("\n".join(columns(rows)))


@command.command(
    "test", epilog="Example: hookline formats test --format sendgrid --map campaign=category events.ndjson"
)
@click.argument("file", metavar="FILE|-")
@reading_options
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="A table or JSON."
)
def test_command(
    *,
    file: str,
    ingest: IngestOptions,
    output: str,
) -> int:
    """Show how each line of FILE is recognized and read, which events are skipped, and which fields are missing.

    Needs no state, delivers nothing and stores nothing. Exits with 3 if events would be rejected.
    """
    counts = _Counts()
    events = (
        one for line in _lines(file) for one in counts.all_of(preview_line(line, ingest.format, ingest.defaults))
    )
    if output == "json":
        _print_json(events, counts)
    else:
        _print_table(events, counts)
    return SOME_REJECTED if counts.refused else 0


def _lines(file: str) -> Iterator[Any]:
    log = Log(sys.stderr.write, level="warning", format="text", clock=time.time)
    source = open_sources([file], (), follow=False, from_start=True, logger=log)
    try:
        end = False
        while not end:
            batch = source.read()
            end = batch.end
            yield from batch.lines
        if source.unfinished():
            click.echo("The last line has no line end, so it is not read: it may not be whole.", err=True)
    finally:
        source.close()


class _Counts:
    """What came by, by kind; the number of kinds is bounded."""

    def __init__(self) -> None:
        self.formats: Counter[str] = Counter()
        self.relayed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.rejected = 0
        self.refused = 0
        self._names = SkipNames()

    def all_of(self, events: Iterable[PreviewedEvent]) -> Iterator[PreviewedEvent]:
        """Hand each on, and count it."""
        for one in events:
            self.formats[one.format or "none"] += 1
            self.missing.update(one.missing)
            self.refused += one.is_rejected
            match one.parsed:
                case Event(status=status) | Delivery(status=status):
                    self.relayed[str(status)] += 1
                case Skipped() as skipped:
                    key = self._names.key(skipped)
                    self.skipped[key] += 1
                    if one.unknown_status:
                        self.unknown[key.partition(":")[2]] += 1
                case Rejected():
                    self.rejected += 1
                case _:
                    assert_never(one.parsed)
            yield one

    def as_json(self) -> dict[str, Any]:
        return {
            "formats": dict(self.formats),
            "relayed": dict(self.relayed),
            "skipped": dict(sorted(self.skipped.items())),
            "unknown": dict(sorted(self.unknown.items())),
            "rejected": self.rejected,
            "missing": dict(self.missing),
        }


def _print_json(events: Iterable[PreviewedEvent], counts: _Counts) -> None:
    """One object, written as it is read: a log may be larger than memory."""
    click.echo('{"events": [', nl=False)
    for number, one in enumerate(events):
        click.echo((",\n" if number else "\n") + json.dumps(preview_document(one), ensure_ascii=False), nl=False)
    click.echo(f'\n], "summary": {json.dumps(counts.as_json(), ensure_ascii=False)}}}')


def _print_table(events: Iterable[PreviewedEvent], counts: _Counts) -> None:
    """In pieces, whose columns are each as wide as they need to be."""
    remaining = iter(events)
    while rows := [_row(one) for one in islice(remaining, _AT_ONCE)]:
        click.echo(
            "\n".join(columns([("LINE", "FORMAT", "READ AS", "RECIPIENT", "MESSAGE", "CAMPAIGN", "MISSING"), *rows]))
        )
    click.echo()
    for name, counted in (("recognized", counts.formats), ("relayed", counts.relayed), ("skipped", counts.skipped)):
        click.echo(f"{name:<10}  {_told(counted) or '0'}")
    if counts.unknown:
        click.echo(f"{'unknown':<10}  {_told(counts.unknown)}: words that the sender's documentation did not have")
    click.echo(f"{'rejected':<10}  {counts.rejected}")
    for what, n in sorted(counts.missing.items()):
        click.echo(f"{'missing':<10}  {what} in {n}: {SUPPLIED_BY[what]}")


def _told(counted: Counter[str]) -> str:
    return ", ".join(f"{what} {n}" for what, n in sorted(counted.items()))


def _row(one: PreviewedEvent) -> tuple[str, ...]:
    what, recipient, message, campaign = _cells(one)
    cells = (what, recipient, message, campaign, ", ".join(one.missing))
    return (str(one.line), one.format or "-", *(shortened(printable(cell), _WIDEST) for cell in cells))


def _cells(one: PreviewedEvent) -> tuple[str, str, str, str]:
    match one.parsed:
        case Rejected(reason):
            return f"rejected: {reason}", "", "", ""
        case Skipped(reason, name):
            return f"skipped: {reason}{f' {name}' if name else ''}", "", "", ""
        case Delivery() as letter:
            return f"{letter.channel} {letter.status}, under the id {letter.id.hex()}", "", "", ""
        case Event() as event:
            read_as = f"{event.channel} {event.status}"
            if event.failure is not None:
                read_as += (
                    f", {event.failure.type or 'no type'} {event.failure.code or ''} {event.failure.reason or ''}"
                )
            return read_as, primary_identity(event) or "", event.execution_id or "", event.campaign_id or ""
