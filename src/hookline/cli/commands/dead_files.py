"""`hookline dead export` and `hookline dead import`: dead letters as NDJSON files."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Final

import click

from hookline.cli.applied_state import open_or_create_spool
from hookline.cli.dead_letter_options import filter_options, ids_argument, letter_count_text, warn_of_unknown_webhook
from hookline.cli.options import examples, spool_option
from hookline.cli.output.output_file import is_standard_output, open_output, refuse_output
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.progress.progress import count_progress
from hookline.errors import HooklineError
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, Rejected
from hookline.relay.formats.dead_letter_json import dead_letter_line, parse_exported_line
from hookline.relay.spool.admin import NO_LETTERS, Count, DeadLetterImport, Filter
from hookline.relay.spool.factory import spool_store

_GROUP_LETTERS: Final = 500
_MAX_REPORTED: Final = 50
# The JSON of a line of 1 MiB in which every byte is escaped, with room for its envelope.
_MAX_LINE_BYTES: Final = 8 << 20
_OLD_SECONDS: Final = 30 * 86_400.0


@click.command(
    "export",
    epilog=examples("hookline dead export --webhook ACME@AdobeOrg/prod --http-status 422 --out letters.ndjson"),
)
@spool_option
@filter_options
@click.option(
    "--out", type=click.Path(path_type=Path), default="-", metavar="FILE", help="The file; - is standard output."
)
@ids_argument
def dead_export_command(*, spool: str, selection: Filter, out: Path) -> None:
    """Write dead letters as NDJSON, one per line, with their ids (`hookline schema dead-letter`).

    They also remain in the spool. `hookline dead import` adds such a file to a spool as dead letters. `hookline
    relay` delivers it under the same ids. It contains the addresses of recipients: only its owner can read FILE.
    """
    refuse_output(out)
    if not is_standard_output(out):
        put_work_first()
    warn_of_unknown_webhook(selection, spool)
    count = NO_LETTERS
    with spool_store(spool).dead_letters() as dead:
        total = dead.count(selection).total
        with count_progress("exporting", total) as on_progress, open_output(out, mode=0o600) as file:
            for letter in dead.all_in_order(selection):
                file.write(dead_letter_line(letter))
                count += _count([letter])
                if on_progress is not None and count.total % _GROUP_LETTERS == 0:
                    on_progress(count)
    click.echo(f"Exported {letter_count_text(count)}.", err=True)


@click.command(
    "import",
    epilog=examples(
        "hookline dead import letters.ndjson && hookline dead replay --all",
        exits="0 all dead letters are in the spool, 1 none could be imported, 3 some lines were refused",
    ),
)
@spool_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE|-")
def dead_import_command(*, spool: str, file: Path) -> int:
    """Add exported dead letters to a spool, under their own ids.

    Counts the ids that the spool already knows and does not change them. Names and refuses invalid lines. If the
    command is interrupted, run it again to import the rest.
    """
    put_work_first()
    new, seen, old = NO_LETTERS, NO_LETTERS, 0
    refusals = _Refusals(printable(str(file)))
    with _input(file) as lines, _spool(spool) as spooled, count_progress("importing", None) as on_progress:
        letters = _letters(lines, refusals)
        while group := list(islice(letters, _GROUP_LETTERS)):
            new += spooled.add(group)
            seen += _count(group)
            old += sum(letter.at < time.time() - _OLD_SECONDS for letter in group)
            if on_progress is not None:
                on_progress(seen)
    click.echo(
        f"Imported {letter_count_text(new)}; {seen.total - new.total:,} already known, {refusals.total:,} refused."
    )
    if old:
        click.echo(
            f"  {old:,} are more than 30 days old: replay them, or a relay with that --retain deletes them", err=True
        )
    if refusals.total:
        return ExitCode.INCOMPLETE if seen.total else ExitCode.FAILED
    return ExitCode.DONE


def _spool(location: str) -> AbstractContextManager[DeadLetterImport]:
    return open_or_create_spool(location).dead_letter_import()


class _Refusals:
    """Writes each refused line to stderr, with its number and the reason, and counts them."""

    def __init__(self, name: str) -> None:
        self.total = 0
        self._name = name

    def add(self, number: int, reason: str) -> None:
        self.total += 1
        if self.total <= _MAX_REPORTED:
            click.echo(f"{self._name}:{number}: {printable(reason)}", err=True)
        elif self.total == _MAX_REPORTED + 1:
            click.echo(f"{self._name}:{number}: more lines are refused; they are only counted", err=True)


def _letters(lines: Iterator[bytes | None], refusals: _Refusals) -> Iterator[DeadLetter]:
    for number, line in enumerate(lines, 1):
        if line is None:
            refusals.add(number, f"too long: more than {_MAX_LINE_BYTES} bytes")
        elif line.strip():
            letter = parse_exported_line(line)
            if isinstance(letter, Rejected):
                refusals.add(number, letter.reason[:300])
            else:
                yield letter


@contextmanager
def _input(file: Path) -> Iterator[Iterator[bytes | None]]:
    """The lines of a file or of standard input; None for a line that is too long."""
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as opened:
            yield _bounded_lines(opened)
    except OSError as failed:
        raise HooklineError(f"{file} cannot be read: {failed.strerror}", hint="check the path") from failed


def _bounded_lines(file: IO[bytes]) -> Iterator[bytes | None]:
    while line := file.readline(_MAX_LINE_BYTES + 1):
        if len(line) <= _MAX_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(_MAX_LINE_BYTES + 1)
        yield None


def _count(letters: Sequence[DeadLetter]) -> Count:
    deliveries = sum(isinstance(letter, DeadDelivery) for letter in letters)
    return Count(deliveries, len(letters) - deliveries)
