"""`hookline schema`: print the JSON Schemas of hookline's documents."""

from __future__ import annotations

import click

from hookline.cli.completions import complete_values
from hookline.cli.options import examples
from hookline.errors import WrongUse
from hookline.schemas import schema_names, schema_text


@click.command(epilog=examples("hookline schema", "hookline schema webhook > webhook.v1.schema.json"))
@click.argument("name", required=False, shell_complete=complete_values(schema_names))
def schema_command(name: str | None) -> None:
    """Print a JSON Schema (2020-12).

    NAME is webhook, defaults, event, payload, plan, status or dead-letter for the newest version, or one version
    (webhook.v1). Without a NAME, lists the names of all schemas.
    """
    if name is None:
        click.echo("\n".join(schema_names()))
        return
    try:
        click.echo(schema_text(name), nl=False)
    except KeyError as error:
        hint = f"known schemas: {', '.join(schema_names())}"
        raise WrongUse(f"unknown schema: {name!r}", hint=hint) from error
