"""What plan and apply share: their options, and how what is desired is read and what is planned is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hookline.cli.planoutput import print_rows
from hookline.config import inspect, load
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.model import Address, Desired
from hookline.plan.safety import Brakes

__all__ = [
    "addresses", "brake_options", "load_desired", "make_brakes", "paths_argument", "print_rows", "target_option",
    "verbose_option",
]  # fmt: skip

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def addresses(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[Address, ...]:
    """A click callback: every value as an address, or wrong use of the command line."""
    try:
        return tuple(Address.parse(value) for value in values)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), ctx=ctx, param=param) from wrong


def paths_argument(metavar: str = "[PATH]...") -> Callable[[Decorated], Decorated]:
    def decorate(function: Decorated) -> Decorated:
        return click.argument("paths", nargs=-1, metavar=metavar, type=click.Path(path_type=Path))(function)

    return decorate


def target_option(function: Decorated) -> Decorated:
    return click.option(
        "--target",
        multiple=True,
        metavar="ORG/SANDBOX",
        callback=addresses,
        help="Plan only this webhook (repeatable). A narrowed run never deletes.",
    )(function)


def brake_options(function: Decorated) -> Decorated:
    function = click.option(
        "--max-deletes",
        type=click.IntRange(min=0),
        metavar="N",
        help="Allow at most N deletions, regardless of their share of the webhooks. Protected webhooks remain "
        "blocked.",
    )(function)
    return click.option(
        "--allow-delete",
        multiple=True,
        metavar="ORG/SANDBOX",
        callback=addresses,
        help="Allow the deletion of this webhook, even if it is protected (repeatable).",
    )(function)


def verbose_option(function: Decorated) -> Decorated:
    return click.option(
        "--verbose",
        "-v",
        is_flag=True,
        help="Show every field of each created webhook, even if the plan creates many.",
    )(function)


def load_desired(config: Path, paths: tuple[Path, ...], targets: tuple[Address, ...]) -> Desired:
    """What the files say, narrowed to the targets when there are any; every file is read once.

    Raises InvalidConfiguration, and WrongUse for a path or a target that is not there.
    """
    if not targets:
        desired = load(config, paths)
        if not desired.webhooks and not desired.narrowed:
            found = "holds no webhook" if config.is_dir() else "does not exist"
            click.echo(f"warning: the configuration directory {config} {found}", err=True)
        return desired
    inspection = inspect(config, paths)
    wanted = {None, *(str(target) for target in targets)}
    concerning = tuple(found for found in inspection.diagnostics if found.address in wanted)
    if concerning:
        raise InvalidConfiguration(concerning)
    declared = inspection.desired.webhooks
    missing = [target for target in targets if target not in declared]
    if missing:
        raise WrongUse(f"no webhook file is for {missing[0]}", hint=_nearest(missing[0], list(declared)))
    return Desired({address: declared[address] for address in sorted(set(targets))}, narrowed=True)


def _nearest(target: Address, known: list[Address]) -> str:
    alike = [one for one in known if str(one).lower() == str(target).lower()] or known[:5]
    if not alike:
        return "the configuration directory holds no webhook"
    return f"there are: {', '.join(str(one) for one in alike)}"


def make_brakes(allow_delete: tuple[Address, ...], max_deletes: int | None) -> Brakes:
    return Brakes(allow_delete=frozenset(allow_delete), max_deletes=max_deletes)
