"""`hookline dead export` and `hookline dead import`: dead letters outside of a spool."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import click

from hookline.cli.dead_letter_options import filter_from, filter_text, filters
from hookline.cli.options import spool_option
from hookline.cli.progress import counting
from hookline.errors import HooklineError
from hookline.private_files import replacing
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, Rejected
from hookline.relay.formats.dead_letter_json import dead_letter_line, parse_exported_line
from hookline.relay.spool.admin import NOTHING, Count, DeadLetterImport
from hookline.relay.spool.factory import spool_store
from hookline.units import utc_text

SOME_REFUSED: Final = 3
ALL_REFUSED: Final = 1
_GROUP: Final = 500
_NAMED: Final = 50  # more complaints than that tell nobody more
# A line of 1 MiB in which every byte had to be escaped, and what stands around it.
_LONGEST: Final = 8 << 20
_OLD_SECONDS: Final = 30 * 86_400.0


@click.command("export", epilog="Example: hookline dead export --http-status 422 --out letters.ndjson")
@spool_option
@filters
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of standard output."
)
@click.argument("ids", nargs=-1, metavar="[ID]…")
def export_command(*, spool: str, out: Path | None, ids: tuple[str, ...], **chosen: Any) -> None:
    """Write dead letters as NDJSON, one per line, with their ids (`hookline schema dead-letter`).

    They also remain in the spool. `hookline dead import` adds such a file to a spool as dead letters. `hookline
    relay` delivers it under the same ids. It contains the addresses of recipients: only its owner can read FILE.
    """
    narrowed = filter_from(ids, chosen)
    count = NOTHING
    with spool_store(spool).dead_letters() as dead:
        total = dead.count(narrowed).total
        with counting("exporting", total) as told, _output(out) as file:
            for letter in dead.every(narrowed):
                file.write(dead_letter_line(letter))
                count = _told(count, letter, told)
    click.echo(f"Exported {filter_text(count)}.", err=True)


@contextmanager
def _output(out: Path | None) -> Iterator[IO[bytes]]:
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with replacing(out, mode=0o600) as file:
            yield file


@click.command(
    "import",
    epilog="Example: hookline dead import letters.ndjson, then: hookline dead replay --all. Exit codes: 0 all dead "
    "letters are in the spool, 1 none could be imported, 3 some lines were refused.",
)
@spool_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE|-")
def import_command(*, spool: str, file: Path) -> int:
    """Add exported dead letters to a spool, under their own ids.

    Counts the ids that the spool already knows and does not change them. Names and refuses invalid lines. If the
    command is interrupted, run it again to import the rest.
    """
    new, seen, old = NOTHING, NOTHING, 0
    refusals = _Refusals(str(file))
    with _input(file) as lines, _spool(spool) as spooled, counting("importing", None) as told:
        letters = _letters(lines, refusals)
        while group := list(islice(letters, _GROUP)):
            new += spooled.add(group)
            for letter in group:
                seen = _told(seen, letter, None)
                old += letter.at < time.time() - _OLD_SECONDS
            if told is not None:
                told(seen)
    click.echo(f"Imported {filter_text(new)}; {seen.total - new.total:,} known already, {refusals.total:,} refused.")
    if old:
        click.echo(
            f"  {old:,} died more than 30 days ago: a relay with that --retain forgets what is not replayed", err=True
        )
    if refusals.total:
        return SOME_REFUSED if seen.total else ALL_REFUSED
    return 0


def _spool(location: str) -> AbstractContextManager[DeadLetterImport]:
    store = spool_store(location)
    store.create_if_missing(since=utc_text(datetime.now(UTC)))
    return store.dead_letter_import()


class _Refusals:
    """What does not hold, said on stderr with its place."""

    def __init__(self, name: str) -> None:
        self.total = 0
        self._name = name

    def add(self, number: int, reason: str) -> None:
        self.total += 1
        if self.total <= _NAMED:
            click.echo(f"{self._name}:{number}: {reason}", err=True)
        elif self.total == _NAMED + 1:
            click.echo(f"{self._name}:{number}: and more, which are only counted", err=True)


def _letters(lines: Iterator[bytes | None], refusals: _Refusals) -> Iterator[DeadLetter]:
    for number, line in enumerate(lines, 1):
        if line is None:
            refusals.add(number, f"too long: over {_LONGEST} bytes")
        elif line.strip():
            letter = parse_exported_line(line)
            if isinstance(letter, Rejected):
                refusals.add(number, letter.reason[:300])
            else:
                yield letter


@contextmanager
def _input(file: Path) -> Iterator[Iterator[bytes | None]]:
    """The lines of a file or of standard input, None for one that is too long."""
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as opened:
            yield _bounded(opened)
    except OSError as failed:
        raise HooklineError(f"{file} cannot be read: {failed.strerror}", hint="check the path") from failed


def _bounded(file: IO[bytes]) -> Iterator[bytes | None]:
    while line := file.readline(_LONGEST + 1):
        if len(line) <= _LONGEST or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(_LONGEST + 1)
        yield None


def _told(count: Count, letter: DeadLetter, told: Callable[[Count], None] | None) -> Count:
    count += Count(1, 0) if isinstance(letter, DeadDelivery) else Count(0, 1)
    if told is not None and count.total % _GROUP == 0:
        told(count)
    return count
