"""`hookline show`: show one applied webhook, or a saved plan."""

from __future__ import annotations

from pathlib import Path

import click

from hookline.cli.applied_state import find, read_applied, read_backlogs
from hookline.cli.completions import complete_addresses_and_files
from hookline.cli.options import config_option, examples, format_option, spool_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.yaml_writer import as_yaml
from hookline.errors import HooklineError, WrongUse
from hookline.model import Declared
from hookline.paths import is_regular_file
from hookline.state.store import Stored


@click.command(
    epilog=examples(
        "hookline show ACME@AdobeOrg/prod",
        "hookline show --origin ACME@AdobeOrg/prod",
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
@click.option(
    "--origin",
    is_flag=True,
    help="Show the file and line of the configuration directory that each applied value comes from.",
)
@config_option
def show_command(*, subject: str, state: str, spool: str, form: str, origin: bool, config: Path) -> None:
    """Show one applied webhook in canonical form: a webhook file without fields that have their default value.

    If the argument is an existing file, shows the changes of that saved plan. A comment below the webhook gives its
    pending deliveries and dead letters.

    The state holds values and not their origin. --origin finds each value in the present files: in the webhook's own
    file, or in the defaults file that gives it. A value that the files do not have is marked.
    """
    if is_regular_file(subject):
        from hookline.cli.output.plan_output import FORMS, print_plan  # noqa: PLC0415 - only needed for plans
        from hookline.cli.plan_input import read_plan_file  # noqa: PLC0415 - only needed for plans

        if origin:
            raise WrongUse(f"{subject} is a saved plan, which has no origins", hint="use `hookline plan --verbose`")
        if form not in FORMS:
            raise WrongUse(f"a plan cannot be shown as {form}", hint=f"use --format {', '.join(FORMS)}")
        print_plan(read_plan_file(Path(subject)), form)
        return
    if form == "markdown":
        raise WrongUse("a webhook cannot be shown as markdown", hint="use --format text, json or yaml")
    stored = find(read_applied(state), subject)
    if origin:
        from hookline.cli.output.origin_table import print_origins, value_origins  # noqa: PLC0415 - as above

        if form == "yaml":
            raise WrongUse("origins cannot be shown as yaml", hint="use --format text or json")
        print_origins(list(value_origins(stored, _declared(stored, config))), form)
        return
    if form == "json":
        print_json(stored.document)
    else:
        click.echo(as_yaml(stored.document), nl=False)
        backlog = (read_backlogs(spool) or {}).get(stored.webhook.address)
        if backlog is not None:
            click.echo(f"# in the spool: {backlog.pending} pending, {backlog.dead} dead")


def _declared(stored: Stored, config: Path) -> Declared:
    """The webhook of the files. Raises HooklineError if they have no valid one."""
    from hookline.config.loader import inspect  # noqa: PLC0415 - only --origin reads files

    address = stored.webhook.address
    found = inspect(config).desired.webhooks.get(address)
    if found is None:
        raise HooklineError(
            f"no valid file in {config} declares {address}",
            hint="check it with `hookline validate`, or name the configuration directory with --config",
        )
    return found
