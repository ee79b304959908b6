"""`hookline formats`: list the line formats, and show how the relay would read a file."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, assert_never

import click

from hookline.cli.completions import complete_files
from hookline.cli.ingest_options import defaults_options, line_format_option
from hookline.cli.options import choice_option, examples
from hookline.cli.output.json_output import json_output
from hookline.cli.output.tables import columns
from hookline.escaping import printable, shortened
from hookline.exit_codes import ExitCode
from hookline.observe.log import Log
from hookline.relay.delivery_record import Delivery, Line, Rejected, Skipped
from hookline.relay.event import Event, primary_identity
from hookline.relay.formats.line_reader import is_readable
from hookline.relay.formats.registry import DESCRIPTIONS, FORMATS
from hookline.relay.ingest.preview import SUPPLIED_BY, PreviewedEvent, preview_document, preview_line
from hookline.relay.routing import Defaults, SkipNames
from hookline.relay.sources.open import open_sources

_MAX_CELL_CHARS = 60
_ROWS_PER_TABLE = 200


@click.group(invoke_without_command=True, epilog=examples("hookline formats", "hookline formats test events.ndjson"))
@click.pass_context
def formats_command(context: click.Context) -> None:
    """List the formats that `relay` reads, or try them on a file."""
    if context.invoked_subcommand is None:
        rows = [("FORMAT", "CHANNELS", "A LINE IS")]
        rows += [(name, DESCRIPTIONS[name].channels, DESCRIPTIONS[name].lines) for name in FORMATS]
        click.echo("\n".join(columns(rows)))


@formats_command.command(
    "test", epilog=examples("hookline formats test --format sendgrid --map campaign=category events.ndjson")
)
@click.argument("file", metavar="FILE|-", shell_complete=complete_files)
@line_format_option
@defaults_options
@choice_option("--output", forms=["text", "json"], help="A table or JSON.")
def formats_test_command(*, file: str, format: str, defaults: Defaults, output: str) -> int:
    """Show how each line of FILE is recognized and read, which events are skipped, and which fields are missing.

    Needs no state, delivers nothing and stores nothing. Exits with 3 if events would be rejected, if no line is
    recognized, or if a part of FILE cannot be read.
    """
    counts = _Counts()
    events = (
        event
        for line in _lines(file, format, defaults, counts)
        for event in counts.add(preview_line(line, format, defaults))
    )
    if output == "json":
        _print_json(events, counts)
    else:
        _print_table(events, counts)
    if counts.is_unrecognized:
        click.echo("no line was recognized: `hookline formats` lists the formats", err=True)
    is_incomplete = counts.refused or counts.is_unrecognized or counts.has_unread_bytes
    return ExitCode.INCOMPLETE if is_incomplete else ExitCode.DONE


def _lines(file: str, format: str, defaults: Defaults, counts: _Counts) -> Iterator[Line]:
    is_event = partial(is_readable, format=format, mapping=defaults.mapping)
    log = Log(sys.stderr.write, level="warning", format="text", clock=time.time)
    with closing(open_sources([file], (), follow=False, logger=log, is_event=is_event)) as source:
        end = False
        while not end:
            batch = source.read()
            end = batch.end
            yield from batch.lines
        for _, unread in source.unfinished():
            counts.has_unread_bytes = True
            if unread:  # otherwise a warning has named the damage
                click.echo("The last line was not read: it has no line end, so it may be incomplete.", err=True)


class _Counts:
    """Counts events by kind. The number of kinds is bounded."""

    def __init__(self) -> None:
        self.formats: Counter[str] = Counter()
        self.relayed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self.rejected = self.recognized = 0
        self.refused = 0
        self.has_unread_bytes = False
        self._names = SkipNames()

    def add(self, events: Iterable[PreviewedEvent]) -> Iterator[PreviewedEvent]:
        for one in events:
            self.formats[one.format or "none"] += 1
            self.recognized += one.is_recognized
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

    @property
    def is_unrecognized(self) -> bool:
        """Whether lines were read, and none was recognized and understood. Blank lines do not count."""
        lines = self.formats["none"] + self.skipped["unread_outcome"]
        return not self.recognized and lines > self.skipped["not_an_event"]

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
    """Write one object event by event, because a log may be larger than memory."""
    click.echo('{"events": [', nl=False)
    for number, one in enumerate(events):
        click.echo((",\n" if number else "\n") + json_output(preview_document(one)), nl=False)
    click.echo(f'\n], "summary": {json_output(counts.as_json())}}}')


def _print_table(events: Iterable[PreviewedEvent], counts: _Counts) -> None:
    """Write tables of limited length, because the column widths depend on the rows."""
    remaining = iter(events)
    while rows := [_row(one) for one in islice(remaining, _ROWS_PER_TABLE)]:
        click.echo(
            "\n".join(columns([("LINE", "FORMAT", "READ AS", "RECIPIENT", "MESSAGE", "CAMPAIGN", "MISSING"), *rows]))
        )
    click.echo()
    for name, counter in (("recognized", counts.formats), ("relayed", counts.relayed), ("skipped", counts.skipped)):
        click.echo(f"{name:<10}  {_counter_text(counter) or '0'}")
    if counts.unknown:
        click.echo(f"{'unknown':<10}  {_counter_text(counts.unknown)}: not in the provider's documentation")
    if unread := counts.skipped["unread_outcome"]:
        click.echo(f"{'unread':<10}  unread_outcome {unread}: not understood, although they look like results")
    click.echo(f"{'rejected':<10}  {counts.rejected}")
    for field, n in sorted(counts.missing.items()):
        click.echo(f"{'missing':<10}  {field} in {n}: {SUPPLIED_BY[field]}")


def _counter_text(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counter.items()))


def _row(one: PreviewedEvent) -> tuple[str, ...]:
    cells = (*_cells(one), ", ".join(one.missing))
    return (str(one.line), one.format or "-", *(shortened(printable(cell), _MAX_CELL_CHARS) for cell in cells))


def _cells(one: PreviewedEvent) -> tuple[str, str, str, str]:
    match one.parsed:
        case Rejected(reason):
            return f"rejected: {reason}", "", "", ""
        case Skipped(reason, name):
            return f"skipped: {reason}{f' {name}' if name else ''}", "", "", ""
        case Delivery() as delivery:
            return f"{delivery.channel} {delivery.status}, with the id {delivery.id.hex()}", "", "", ""
        case Event() as event:
            read_as = f"{event.channel} {event.status}"
            if (failure := event.failure) is not None:
                read_as += f", {failure.type or 'no type'} {failure.code or ''} {failure.reason or ''}"
            return (
                read_as,
                primary_identity(event.identity_map) or "",
                event.execution_id or "",
                event.campaign_id or "",
            )
