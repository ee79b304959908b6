"""`hookline plan`: show what apply would do."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hookline.apply import refuse_blocked
from hookline.cli.options import config_option, state_option
from hookline.cli.planning import (
    brake_options,
    load_desired,
    make_brakes,
    paths_argument,
    print_rows,
    target_option,
)
from hookline.model import Address
from hookline.plan.make import make_plan
from hookline.plan.render_json import plan_document
from hookline.plan.render_text import render_text
from hookline.state.opening import open_state

CHANGES = 2


@click.command(
    epilog="Example: hookline plan --detailed-exitcode webhooks/acme. "
    "Exit codes: 0 done, 2 there are changes (with --detailed-exitcode), 5 invalid files, 6 a change is blocked, "
    "8 the state cannot be used."
)
@paths_argument
@config_option
@state_option
@target_option
@brake_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, or JSON (hookline schema plan).",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
def command(
    *,
    paths: tuple[Path, ...],
    config: Path,
    state: str,
    targets: tuple[Address, ...],
    allow_delete: tuple[Address, ...],
    max_deletes: int | None,
    form: str,
    detailed_exitcode: bool,
) -> int:
    """Show what apply would do.

    Compares the webhook files with the stored state and changes neither. A PATH narrows the run to what is written
    there. Nothing that is stored or printed holds a secret: they stay references.
    """
    desired = load_desired(config, paths, targets)
    stored = open_state(state).read()
    plan = make_plan(stored, desired, make_brakes(allow_delete, max_deletes))
    if form == "json":
        click.echo(json.dumps(plan_document(plan), indent=2, ensure_ascii=False))
    else:
        print_rows(render_text(plan))
    refuse_blocked(plan)
    return CHANGES if detailed_exitcode and plan.changes else 0
