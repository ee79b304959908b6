"""Options of plan, apply and rollback, and the loading of webhook files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click

from hookline.apply import time_zone
from hookline.cli.completions import complete_addresses
from hookline.cli.options import ADDRESS, TEXT, Decorated, bundle
from hookline.cli.output.diagnostic_output import warn_of_left_out
from hookline.config.discovery import name_of_path
from hookline.config.loader import load, require_files
from hookline.errors import WrongUse
from hookline.escaping import printable
from hookline.model import Address, Desired, SourcePlace
from hookline.paths import is_directory
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.folder_organizations import note_folders
from hookline.plan.plan import Action, Plan
from hookline.plan.policy_check import OverrideRequest, PathsInConfig, PlaceOf
from hookline.plan.policy_guard import PolicyGuard
from hookline.settings import user_name
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
    "--verbose",
    "-v",
    is_flag=True,
    help="Show every field of each created webhook, even if the plan creates many, and the place of each value.",
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
        help="Allow the deletion of this webhook, or its move to another address, even if it is protected "
        "(repeatable).",
    ),
    click.option(
        "--max-deletes",
        type=click.IntRange(min=0),
        metavar="N",
        help="Allow at most N deletions and moves, regardless of their share of the webhooks. Protected webhooks "
        "remain blocked.",
    ),
    click.option(
        "--allow-move",
        is_flag=True,
        help="Allow moves of webhooks (`movedFrom`) to another organization.",
    ),
)


def _override_request(override: tuple[str, ...], reason: str | None, approved_by: tuple[str, ...]) -> OverrideRequest:
    if not override:
        if reason is not None or approved_by:
            raise WrongUse(
                "--reason and --approved-by need --override RULE", hint="name the rule that they are about"
            )
        return OverrideRequest(who=user_name())
    if reason is None or not reason.strip():
        raise WrongUse("--override needs --reason TEXT", hint="the history records the rule and the reason")
    return OverrideRequest(
        rules=tuple(dict.fromkeys(override)),
        reason=" ".join(reason.split()),
        who=user_name(),
        approved_by=tuple(dict.fromkeys(approved_by)),
    )


override_options = bundle(
    "overrides",
    _override_request,
    click.option(
        "--override",
        multiple=True,
        metavar="RULE",
        type=TEXT,
        help="Lift a rule of the policy that is overridable (repeatable). The history records it, with the reason.",
    ),
    click.option("--reason", metavar="TEXT", type=TEXT, help="The reason for --override."),
    click.option(
        "--approved-by",
        multiple=True,
        metavar="USER",
        type=TEXT,
        help="Another owner of the rule who agrees with --override (repeatable).",
    ),
)


def policy_guard(config: Path | None, overrides: OverrideRequest, place_of: PlaceOf | None) -> PolicyGuard:
    """Checks plans against the policy of the state.

    Args:
        config: The configuration directory; None if the changes come from no file.
        overrides: The rules that the command line lifts.
        place_of: Finds the places of values; None if the changes come from no file.
    """
    paths_in_config = None if config is None else paths_below(config)
    return PolicyGuard(zone_of=time_zone, paths_in_config=paths_in_config, place_of=place_of, request=overrides)


def paths_below(config: Path) -> PathsInConfig:
    """Finds the paths of files below the configuration directory, wherever the command runs.

    A file that a link leads to has two. The one in a hidden directory does not count: Kubernetes mounts files there.
    """
    root, real_root = PurePosixPath(os.path.abspath(config)), PurePosixPath(os.path.realpath(config))  # noqa: PTH100 - as named

    def paths_in_config(file: str) -> tuple[PurePosixPath, ...]:
        path, real = PurePosixPath(os.path.abspath(file)), PurePosixPath(os.path.realpath(file))  # noqa: PTH100
        if not path.is_relative_to(root) or not real.is_relative_to(real_root):
            return ()
        named, linked = path.relative_to(root), real.relative_to(real_root)
        is_hidden = any(part.startswith(".") for part in linked.parts)
        return (named,) if is_hidden or linked == named else (named, linked)

    return paths_in_config


def places_in(desired: Desired) -> PlaceOf:
    """Finds the places of values in the webhook files."""

    def place_of(address: Address, path: str) -> SourcePlace | None:
        declared = desired.webhooks.get(address)
        return None if declared is None else declared.place_of(path)

    return place_of


def places_of_changes(plan: Plan) -> PlaceOf:
    """The places at which the changed webhooks of a saved plan begin. Its files are not read."""
    sources = {change.address: change.source for change in plan.changes if change.source is not None}

    def place_of(address: Address, _path: str) -> SourcePlace | None:
        source = sources.get(address)
        return None if source is None else SourcePlace(printable(source.file), source.line, 1)

    return place_of


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
    """The plan with a note for each created or moved webhook whose folder has held other organizations so far."""
    if stored.lineage is None or not (plan.count(Action.CREATE) or plan.count(Action.MOVE)):
        return plan
    return note_folders(plan, desired, stored, store.history(), PurePosixPath(name_of_path(str(config))))
