"""Options of plan, apply and rollback, and the loading of webhook files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from hookline.cli.options import ADDRESS, Decorated, bundle
from hookline.config.loader import load
from hookline.model import Address, Desired
from hookline.paths import is_directory
from hookline.plan.deletion_guard import DeletionLimits


def paths_argument(metavar: str = "[PATH]...") -> Callable[[Decorated], Decorated]:
    return click.argument("paths", nargs=-1, metavar=metavar, type=click.Path(path_type=Path))


target_option = click.option(
    "--target",
    multiple=True,
    metavar="ORG/SANDBOX",
    type=ADDRESS,
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
    desired = load(config, paths, targets=targets)
    if not desired.webhooks and not desired.narrowed:
        problem = "contains no webhook" if is_directory(config) else "does not exist"
        click.echo(f"warning: the configuration directory {config} {problem}", err=True)
    return desired
