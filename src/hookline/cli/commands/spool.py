"""`hookline spool`: the group, and `recover`, which saves the readable part of a damaged spool."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Final

import click

from hookline.cli.commands.spool_move import spool_move_command
from hookline.cli.commands.spool_setup import spool_copy_command, spool_init_command, spool_migrate_command
from hookline.cli.options import PathParameter, examples, format_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.output.tables import columns
from hookline.cli.progress.progress import progress_bar
from hookline.exit_codes import ExitCode
from hookline.relay.spool.sqlite.recovery.recover import RecoveryResult, recover

_NAMES: Final = {
    "pending": "pending deliveries",
    "dead": "dead letters",
    "records": "records of deliveries",
    "lines": "rejected lines",
    "webhooks": "webhooks, with their pauses",
}


@click.group(
    epilog=examples(
        "hookline spool move .hookline/spool postgresql://hookline@db.acme.example/hookline --name edge-1",
        "hookline spool recover .hookline/spool .hookline/spool-recovered",
    )
)
def spool_command() -> None:
    """Create, move, copy, migrate and recover a spool.

    A relay creates a spool in a directory by itself. A shared spool in PostgreSQL is created once with `spool init`.
    """


@spool_command.command(
    "recover",
    epilog=examples(
        "hookline spool recover .hookline/spool .hookline/spool-recovered",
        exits="0 everything was saved, 1 some data was lost, 8 no such spool, a relay has locked "
        "it, or too little disk space",
    ),
)
@click.argument("old", type=PathParameter(path_type=Path, file_okay=False), metavar="DIR")
@click.argument("new", type=PathParameter(path_type=Path), metavar="NEW_DIR")
@format_option("text", "json", help="A table or a JSON object.")
def spool_recover_command(*, old: Path, new: Path, form: str) -> int:
    """Save the readable part of the damaged spool DIR to a new spool, NEW_DIR, and report the losses.

    Does not change DIR. It works on a copy beside NEW_DIR, which temporarily needs as much disk space again. If
    anything may be missing, the new spool has no checkpoints: a relay then reads its files from the start and
    recognizes the saved deliveries by their ids.
    """
    put_work_first()
    with progress_bar("rows") as on_progress:
        recovered = recover(old, new, on_progress)
    if form == "json":
        document = {
            "from": str(old),
            "to": str(new),
            "complete": recovered.complete,
            "saved": recovered.saved,
            "lost": recovered.lost,
            "positions": {"kept": recovered.positions, "dropped": recovered.dropped},
            "messages": {"kept": recovered.messages, "dropped": recovered.dropped_messages},
            "notes": recovered.notes,
        }
        print_json(document, indent=None)
    else:
        _print(new, recovered)
    return ExitCode.DONE if recovered.complete else ExitCode.FAILED


def _print(new: Path, recovered: RecoveryResult) -> None:
    rows = [("", "SAVED", "LOST")]
    for kind, name in _NAMES.items():
        lost = recovered.lost[kind]
        rows.append((name, f"{recovered.saved[kind]:,}", "unknown" if lost is None else f"{lost:,}"))
    rows.append(("positions of sources", f"{recovered.positions:,}", f"{recovered.dropped:,} dropped"))
    rows.append(("known messages of streams", f"{recovered.messages:,}", f"{recovered.dropped_messages:,} dropped"))
    click.echo("\n".join(columns(rows)))
    for note in recovered.notes:
        click.echo(f"  found: {note}", err=True)
    if recovered.complete:
        click.echo("The new spool contains everything that the old spool contained.", err=True)
    else:
        click.echo(
            "Data was lost, or may be: the new spool has no positions, so a relay reads files from their start.\n"
            "  Saved ids are duplicates within --dedupe-window; make it as long as the old --retain.",
            err=True,
        )
    click.echo(f"  next: hookline relay --spool {quote(str(new))}", err=True)


for _command in (spool_init_command, spool_move_command, spool_migrate_command, spool_copy_command):
    spool_command.add_command(_command)
