"""`hookline policy`: the policy that every plan and apply obeys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hookline.apply import time_zone
from hookline.cli.commands.policy_setting import policy_clear_command, policy_set_command, policy_show_command
from hookline.cli.completions import complete_files
from hookline.cli.options import config_option, examples, format_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.standard_streams import put_code_first
from hookline.cli.plan_options import paths_below, places_in
from hookline.config.loader import inspect
from hookline.config.policy_file import read_policy_file
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.model import Desired
from hookline.plan.plan_document import violation_document
from hookline.plan.policy_check import PolicyContext
from hookline.plan.policy_trial import PolicyTrial, try_policy
from hookline.plan.render_text import rows_of_violation
from hookline.state.factory import open_state


@click.group(epilog=examples("hookline policy test policy.yaml && hookline policy set policy.yaml"))
def policy_command() -> None:
    """Show, try and set the policy that the state holds.

    A policy has rules for webhooks, freeze windows, folders bound to organizations, and limits of deletions. plan,
    apply and rollback obey the policy of the state. A policy file in the repository changes nothing until somebody
    sets it.
    """


@policy_command.command(
    "test",
    epilog=examples(
        "hookline policy test policy.yaml",
        "hookline policy test --state postgresql://reader@db.example/hookline policy.yaml",
        exits="0 every webhook satisfies the policy, 5 the policy file has errors, 6 a webhook violates a rule that "
        "denies, 8 the state cannot be used",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path), shell_complete=complete_files)
@config_option
@state_option
@format_option("text", "json", help="Text for people, or JSON.")
def policy_test_command(*, file: Path, config: Path, state: str, form: str) -> int:
    """Try the policy in FILE on the webhook files and on the applied webhooks. Changes nothing.

    Shows which webhooks would violate it if they were created or updated now, and names rules that are about no
    webhook. Freeze windows and limits of deletions concern plans; active windows are named.
    """
    put_code_first()
    policy = read_policy_file(file).policy
    stored = open_state(state).read()
    if stored.lineage is None:
        click.echo("note: nothing was applied yet, so only the webhook files are tried", err=True)
    desired = _valid_webhooks(config)
    context = PolicyContext(
        at=datetime.now(UTC),
        zone_of=time_zone,
        applied=len(stored.webhooks),
        paths_in_config=paths_below(config),
        place_of=places_in(desired),
    )
    trial = try_policy(policy, desired.webhooks, stored.webhooks, context)
    if form == "json":
        print_json(_document(trial))
    else:
        click.echo("\n".join(printable(line) for line in _lines(trial, len(desired.webhooks), len(stored.webhooks))))
    return ExitCode.BLOCKED if trial.denies else ExitCode.DONE


def _valid_webhooks(config: Path) -> Desired:
    """The webhooks of the files. Files with errors cannot be tried."""
    inspection = inspect(config)
    if inspection.diagnostics:
        count = len(inspection.diagnostics)
        note = f"note: the webhook files have {count} error{'' if count == 1 else 's'}, and webhooks with errors are "
        click.echo(f"{note}not tried; `hookline validate` shows them", err=True)
    return inspection.desired


def _document(trial: PolicyTrial) -> dict[str, Any]:
    return {
        "files": [violation_document(one) for one in trial.files],
        "state": [violation_document(one) for one in trial.state],
        "unused": list(trial.unused),
        "frozen": list(trial.frozen),
    }


def _lines(trial: PolicyTrial, files: int, applied: int) -> Iterator[str]:
    for name, count, violations in (("files", files, trial.files), ("state", applied, trial.state)):
        violating = len({one.address for one in violations})
        yield f"Of {count} webhook{'' if count == 1 else 's'} in the {name}, {violating or 'none'} would violate it."
        yield from (row.text for one in violations for row in rows_of_violation(one))
    yield from (f"Rule {rule} is about no webhook: check its `when`." for rule in trial.unused)
    yield from (f"The freeze window {rule} includes the present time." for rule in trial.frozen)


policy_command.add_command(policy_show_command)
policy_command.add_command(policy_set_command)
policy_command.add_command(policy_clear_command)
