"""What plan and apply share: their options, and how a plan is made and shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hookline.config import load
from hookline.model import Address, Desired
from hookline.plan.render_text import Row, Tone
from hookline.plan.safety import Brakes
from hookline.settings import no_colour

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_COLOURS = {
    Tone.DELETE: "red",
    Tone.BLOCKED: "magenta",
    Tone.UPDATE: "yellow",
    Tone.CREATE: "green",
    Tone.NOTE: "cyan",
}


def addresses(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[Address, ...]:
    """A click callback: every value as an address, or wrong use of the command line."""
    try:
        return tuple(Address.parse(value) for value in values)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), ctx=ctx, param=param) from wrong


def paths_argument(function: Decorated) -> Decorated:
    return click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))(function)


def target_option(function: Decorated) -> Decorated:
    return click.option(
        "--target",
        "targets",
        multiple=True,
        metavar="ORG/SANDBOX",
        callback=addresses,
        help="Look at this webhook only (repeatable). A narrowed run never deletes.",
    )(function)


def brake_options(function: Decorated) -> Decorated:
    function = click.option(
        "--max-deletes",
        type=click.IntRange(min=0),
        metavar="N",
        help="Allow up to N deletions and no more, whatever their share of the webhooks; never of a protected one.",
    )(function)
    return click.option(
        "--allow-delete",
        multiple=True,
        metavar="ORG/SANDBOX",
        callback=addresses,
        help="Allow the deletion of this webhook, also when it is protected (repeatable).",
    )(function)


def load_desired(config: Path, paths: tuple[Path, ...], targets: tuple[Address, ...]) -> Desired:
    """What the files say, narrowed to the targets when there are any. Raises InvalidConfiguration."""
    if not targets:
        return load(config, paths)
    found = [load(config, paths, target=target) for target in targets]
    return Desired({address: each for one in found for address, each in one.webhooks.items()}, narrowed=True)


def make_brakes(allow_delete: tuple[Address, ...], max_deletes: int | None) -> Brakes:
    return Brakes(allow_delete=frozenset(allow_delete), max_deletes=max_deletes)


def print_rows(rows: tuple[Row, ...]) -> None:
    """Write a rendered plan to stdout, in colour on a terminal."""
    plain = no_colour()
    for row in rows:
        colour = None if plain else _COLOURS.get(row.tone)
        click.echo(click.style(row.text, fg=colour) if colour else row.text)
