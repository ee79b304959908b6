"""Options of plan, apply and rollback, and the loading of webhook files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from hookline.cli.completions import complete_addresses
from hookline.cli.options import ADDRESS, Decorated, bundle
from hookline.cli.output.diagnostic_output import warn_of_left_out
from hookline.config.discovery import name_of_path
from hookline.config.loader import load, require_files
from hookline.model import Address, Desired
from hookline.paths import is_directory
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.folder_organizations import note_folders
from hookline.plan.plan import Action, Plan
from hookline.state.store import Snapshot, StateStore


def paths_argument(metavar: str = "[PATH]...") -> Callable[[Decorated], Decorated]:
    return click.argument("paths", nargs=-1, metavar=metavar, type=click.Path(path_type=Path))


target_option = click.option(
    "--target",
    multiple=True,
    metavar="ORG/SANDBOX",
    type=ADDRESS,
    shell_complete=complete_addresses,
    help="Plan only this webhook (repeatable). A narrowed run never deletes.",
)
verbose_option = click.option(
    "--verbose", "-v", is_flag=True, help="Show every field of each created webhook, even if the plan creates many."
)


deletion_options = bundle(
    "deletion_limits",
    DeletionLimits,
    click.option(
        "--allow-delete",
        multiple=True,
        metavar="ORG/SANDBOX",
        type=ADDRESS,
        shell_complete=complete_addresses,
        callback=lambda _context, _parameter, addresses: frozenset(addresses),
        help="Allow the deletion of this webhook, even if it is protected (repeatable).",
    ),
    click.option(
        "--max-deletes",
        type=click.IntRange(min=0),
        metavar="N",
        help="Allow at most N deletions, regardless of their share of the webhooks. Protected webhooks remain "
        "blocked.",
    ),
)


def load_desired(config: Path, paths: tuple[Path, ...], targets: tuple[Address, ...]) -> Desired:
    """The webhooks of the files or targets. Raises InvalidConfiguration, WrongUse for a missing path or target."""
    return load(config, paths, targets=targets, on_left_out=warn_of_left_out)


def require_desired(config: Path, desired: Desired, stored: Snapshot) -> None:
    """Raise WrongUse if there is neither a webhook file nor a stored webhook.

    Such a directory is usually another one than meant. If webhooks are stored, their deletion is blocked and shown,
    after a warning.
    """
    if desired.webhooks or desired.narrowed:
        return
    if not stored.webhooks:
        require_files(config)
    problem = "contains no webhook" if is_directory(config) else "does not exist"
    click.echo(f"warning: the configuration directory {config} {problem}", err=True)


def with_folder_notes(plan: Plan, desired: Desired, stored: Snapshot, store: StateStore, config: Path) -> Plan:
    """The plan with a note for each created webhook whose folder has held other organizations so far."""
    if stored.lineage is None or not plan.count(Action.CREATE):
        return plan
    return note_folders(plan, desired, stored, store.history(), PurePosixPath(name_of_path(str(config))))
