"""`hookline limits`: print every limit of size, count and time."""

from __future__ import annotations

import json
from itertools import groupby

import click

from hookline.cli.limits_table import limits
from hookline.cli.options import format_option
from hookline.cli.output.tables import columns


@click.command(epilog="Example: hookline limits --format json | jq '.[] | select(.group == \"Input\")'")
@format_option("text", "json", help="Text for people, or JSON.")
def limits_command(*, form: str) -> None:
    """Print every limit of size, count and time, with the place that defines it.

    They hold for each file, line, request or connection. Only those of options can be changed; the value shown is
    their default.
    """
    if form == "json":
        click.echo(json.dumps([limit._asdict() for limit in limits()], indent=2, ensure_ascii=False))
        return
    for group, members in groupby(limits(), key=lambda limit: limit.group):
        click.echo(f"{group}\n")
        for line in columns([(limit.value, limit.meaning, limit.place) for limit in members]):
            click.echo(f"  {line}")
        click.echo()
