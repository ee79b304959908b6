"""`hookline show`: show one applied webhook, or a saved plan."""

from __future__ import annotations

from pathlib import Path

import click

from hookline.cli.applied_state import find, read_applied, read_backlogs
from hookline.cli.completions import complete_addresses_and_files
from hookline.cli.options import examples, format_option, spool_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.yaml_writer import as_yaml
from hookline.errors import WrongUse
from hookline.paths import is_regular_file


@click.command(
    epilog=examples(
        "hookline show ACME@AdobeOrg/prod",
        "hookline show plan.json",
        exits="0 done, 1 no such webhook, 7 the plan was edited, 8 the state cannot be used, 64 not a plan",
    )
)
@click.argument("subject", metavar="ORG/SANDBOX|PLANFILE", shell_complete=complete_addresses_and_files)
@state_option
@spool_option
@format_option(
    "text",
    "json",
    "yaml",
    "markdown",
    help="For a webhook, text and yaml print a webhook file. For a plan: text, json or markdown, as in `plan`.",
)
def show_command(subject: str, state: str, spool: str, form: str) -> None:
    """Show one applied webhook in canonical form: a webhook file without fields that have their default value.

    If the argument is an existing file, shows the changes of that saved plan. A comment below the webhook gives its
    pending deliveries and dead letters.
    """
    if is_regular_file(subject):
        from hookline.cli.output.plan_output import FORMS, print_plan  # noqa: PLC0415 - only needed for plans
        from hookline.cli.plan_input import read_plan_file  # noqa: PLC0415 - only needed for plans

        if form not in FORMS:
            raise WrongUse(f"a plan cannot be shown as {form}", hint=f"use --format {', '.join(FORMS)}")
        print_plan(read_plan_file(Path(subject)), form)
        return
    if form == "markdown":
        raise WrongUse("a webhook cannot be shown as markdown", hint="use --format text, json or yaml")
    stored = find(read_applied(state), subject)
    if form == "json":
        print_json(stored.document)
    else:
        click.echo(as_yaml(stored.document), nl=False)
        backlog = (read_backlogs(spool) or {}).get(stored.webhook.address)
        if backlog is not None:
            click.echo(f"# in the spool: {backlog.pending} pending, {backlog.dead} dead")
