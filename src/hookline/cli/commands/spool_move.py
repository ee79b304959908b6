"""`hookline spool move`: empties a spool into another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from shlex import quote
from typing import Any, Final

import click

from hookline.cli.options import SPOOL_LOCATION, TEXT, examples, format_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.output.tables import columns
from hookline.cli.progress.progress import progress_bar
from hookline.errors import SpoolStalled, SpoolUnusable, WrongUse
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.transfer import Contents, Moved, MovedPosition, move
from hookline.units import utc_text

_ROWS: Final = {
    "pending": "pending deliveries",
    "dead": "dead letters",
    "records": "records of deliveries",
    "lines": "rejected lines",
    "messages": "known messages of streams",
    "positions": "positions of sources",
    "webhooks": "webhooks, with their pauses",
}
_STDIN: Final = "-"


@click.command(
    "move",
    epilog=examples(
        "hookline spool move .hookline/spool postgresql://hookline@db.acme.example/hookline --name edge-1",
        "hookline spool move postgresql://hookline@db.acme.example/hookline .hookline/spool --dry-run",
        exits="0 everything was moved, 8 a spool is missing, in use, or cannot be written, 64 wrong use, 130 "
        "interrupted: run it again",
    ),
)
@click.argument("origin", type=SPOOL_LOCATION, metavar="FROM")
@click.argument("destination", type=SPOOL_LOCATION, metavar="TO")
@click.option(
    "--name", type=TEXT,
    help="The --name of the relays that read the files. Into a shared spool: the positions get this name. From a "
    "shared spool: only the positions of this name are moved.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the numbers. Move nothing.")
@format_option("text", "json", help="A table or a JSON object.")
def spool_move_command(*, origin: str, destination: str, name: str | None, dry_run: bool, form: str) -> None:
    """Move everything in the spool FROM to the spool TO: pending deliveries, dead letters, rejected lines, records,
    positions and known messages of sources, and the states of webhooks.

    Both spools must exist, and each is a directory or a shared spool. No process may use FROM, and none can while the
    move lasts. Relays may use a shared TO. What TO knows already is left as it is. FROM keeps only its totals.

    If the move is interrupted, run the same command again: it moves the rest, and nothing is lost or there twice.
    """
    if not dry_run:
        put_work_first()
    old, new = spool_store(origin), spool_store(destination)
    _require_two(old, new)
    now = time.time()
    with ExitStack() as stack:
        source = stack.enter_context(old.move_source(since=utc_text(now)))
        target = stack.enter_context(new.move_target(since=utc_text(now)))
        contents = source.contents()
        if not contents.rows and not contents.webhooks:
            _report(old, new, Moved(contents=contents, known=0), dry_run=dry_run, form=form)
            return
        reader, rename = _naming(old, new, contents, name)
        if dry_run:
            moved = Moved(contents=contents, known=0)
        else:
            try:
                with progress_bar("rows") as on_progress:
                    moved = move(source, target, now=now, reader=reader, rename=rename, on_progress=on_progress)
            except SpoolStalled as stalled:
                before = f"{stalled.hint}; then run" if stalled.hint else "run"
                stalled.hint = f"{before} the same command again, which moves the rest"
                raise
    left = [one for one in contents.readers if one and reader is not None and one != reader]
    _report(old, new, moved, dry_run=dry_run, form=form, left=left)


def _require_two(old: SpoolStore, new: SpoolStore) -> None:
    """Raises WrongUse or SpoolUnusable. Under two names, one spool is refused when it is opened."""
    if old.name == new.name:
        raise WrongUse(f"FROM and TO are the same spool: {old.name}", hint="name two different spools")
    if not new.exists():
        raise SpoolUnusable(
            f"no spool exists at {new.name}", hint=f"`hookline spool init --spool {quote(new.name)}` creates it"
        )


def _naming(
    old: SpoolStore, new: SpoolStore, contents: Contents, name: str | None
) -> tuple[str | None, Callable[[MovedPosition], MovedPosition]]:
    """The reader whose positions are moved (None: all), and the reader that each has afterwards."""
    if name is not None and not (old.shared or new.shared):
        raise WrongUse("--name is for a shared spool", hint="leave it out")
    if not old.shared:
        if new.shared and name is None and contents.readers:
            raise WrongUse(
                f"the positions of files in {old.name} need a name in a shared spool",
                hint="give --name, with the name that the relays of these files will have",
            )
        return None, lambda one: _named(one, name or "")
    names = [reader for reader in contents.readers if reader]
    if name is not None and name not in names:
        raise WrongUse(f"no position in {old.name} has the name {name!r}", hint=f"its names: {', '.join(names)}")
    if not new.shared and name is None and len(names) > 1:
        raise WrongUse(
            f"{old.name} has the positions of several names: {', '.join(names)}",
            hint="give --name; the positions of the others remain",
        )
    return name, lambda one: one if new.shared else MovedPosition("", one.position)


def _named(one: MovedPosition, name: str) -> MovedPosition:
    """Files and pipes belong to a name. The position in a log belongs to all that read it."""
    position = one.position
    is_named = bool(position.inode or position.device or position.name == _STDIN)
    return MovedPosition(name if is_named else "", position)


def _report(
    old: SpoolStore, new: SpoolStore, moved: Moved, *, dry_run: bool, form: str, left: Sequence[str] = ()
) -> None:
    """Show the numbers, and what FROM has now. `left` are the names whose positions remain there."""
    counts: dict[str, Any] = {kind: getattr(moved.contents, kind) for kind in _ROWS}
    if form == "json":
        document = {"from": old.name, "to": new.name, "dryRun": dry_run, "moved": counts, "known": moved.known}
        print_json(document, indent=None)
        return
    if not moved.contents.rows and not moved.contents.webhooks:
        click.echo(f"Nothing to move: the spool {old.name} is empty.", err=True)
        return
    title = "WOULD MOVE" if dry_run else "MOVED"
    rows = [("", title), *((text, f"{counts[kind]:,}") for kind, text in _ROWS.items())]
    click.echo("\n".join(columns(rows)))
    if moved.known:
        click.echo(f"  {moved.known:,} of these were known in {new.name}, and left as they were", err=True)
    if left and not dry_run:
        click.echo(f"The spool {old.name} keeps the positions of other names: {', '.join(left)}.", err=True)
    elif not dry_run:
        click.echo(f"The spool {old.name} is empty.", err=True)
