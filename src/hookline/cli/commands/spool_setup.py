"""`hookline spool init`, `migrate` and `copy`."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from typing import Final

import click

from hookline.cli.options import DURATION, PathParameter, examples, spool_option
from hookline.cli.output.standard_streams import put_work_first
from hookline.errors import WrongUse
from hookline.relay.spool.factory import SpoolStore, spool_place, spool_store
from hookline.relay.spool.sqlite.transfer.spool_copy import copy_spool
from hookline.units import utc_text

MAX_SLOTS: Final = 1024
MIN_LEASE_SECONDS: Final = 3.0
MAX_LEASE_SECONDS: Final = 300.0


def _lease(_context: click.Context, _parameter: click.Parameter, seconds: float | None) -> float | None:
    if seconds is not None and not MIN_LEASE_SECONDS <= seconds <= MAX_LEASE_SECONDS:
        raise click.BadParameter(f"a lease lasts from {MIN_LEASE_SECONDS:g}s to {MAX_LEASE_SECONDS:g}s")
    return seconds


@click.command(
    "init",
    epilog=examples(
        "hookline spool init --spool postgresql://hookline@db.acme.example/hookline",
        exits="0 created, 8 the spool exists or cannot be created, 64 wrong use",
    ),
)
@spool_option
@click.option("--slots", type=click.IntRange(1, MAX_SLOTS), help="Shared: the shares of the endpoints. Default: 64.")
@click.option(
    "--lease", type=DURATION, callback=_lease,
    help="Shared: the time after which others take over the endpoints of a process that has died. Default: 10s.",
)  # fmt: skip
def spool_init_command(*, spool: str, slots: int | None, lease: float | None) -> None:
    """Create an empty spool. Refuses one that exists.

    A shared spool gets the schema hookline_spool in its database (hookline_spool_NAME with ?spool=NAME). Its number
    of slots is fixed: give it several for each process that will deliver.
    """
    put_work_first()
    store = spool_store(spool)
    if (slots, lease) != (None, None) and not store.shared:
        raise WrongUse(
            "--slots and --lease are for a shared spool", hint="a spool in a directory belongs to one relay at a time"
        )
    store.create(since=utc_text(time.time()), slots=slots, lease_seconds=lease)
    click.echo(f"Created the spool {spool_place(store)}.")
    name = " --name NAME" if store.shared else ""
    click.echo(f"  next: hookline relay --spool {quote(store.name)}{name}", err=True)


@click.command(
    "migrate",
    epilog=examples(
        "hookline spool migrate --spool postgresql://hookline@db.acme.example/hookline",
        exits="0 the spool has the format of this version, 8 a process of an older version uses it, or it cannot be "
        "migrated",
    ),
)
@spool_option
def spool_migrate_command(*, spool: str) -> None:
    """Change the format of a spool to that of this version.

    The processes of a shared spool may be of this version and of the one before: they work in the older format. When
    the last process of the older version has ended, this command changes the format. A relay does it by itself for a
    spool in a directory.
    """
    put_work_first()
    store = spool_store(spool)
    before, after = store.migrate(since=utc_text(time.time()))
    if before == after:
        click.echo(f"Nothing to do: the spool {spool_place(store)} has format {after}, that of this version.")
    else:
        click.echo(f"Migrated the spool {spool_place(store)} from format {before} to {after}.")


@click.command(
    "copy",
    epilog=examples(
        "hookline spool copy /var/backups/hookline/spool-2026-11-28",
        exits="0 copied, 8 no such spool, or the copy cannot be written, 64 NEW_DIR exists",
    ),
)
@spool_option
@click.argument("new", type=PathParameter(path_type=Path), metavar="NEW_DIR")
def spool_copy_command(*, spool: str, new: Path) -> None:
    """Copy a spool to the new directory NEW_DIR, for a backup. Its relay may run.

    The copy is the spool at one moment: deliveries, dead letters and positions agree. It is a spool itself, and
    appears when it is complete. A relay that uses it sends again what was delivered since that moment.
    """
    put_work_first()
    _require_directory(spool_store(spool))
    copy_spool(Path(spool), new)
    click.echo(f"Copied the spool {Path(spool).absolute()} to {new}.")


def _require_directory(store: SpoolStore) -> None:
    if store.shared:
        raise WrongUse(
            f"{store.name} is a spool in PostgreSQL",
            hint="back it up with PostgreSQL's own tools, for example pg_dump",
        )
