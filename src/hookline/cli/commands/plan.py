"""`hookline plan`: show the changes that apply would make."""

from __future__ import annotations

from pathlib import Path

import click

from hookline.apply import raise_if_blocked
from hookline.cli.options import ParsedParameter, config_option, examples, spool_option, state_option
from hookline.cli.output.output_file import is_standard_output
from hookline.cli.output.plan_output import FORMS, Output, parse_output, refuse_outputs, write_outputs
from hookline.cli.output.standard_streams import put_code_first
from hookline.cli.plan_of_files import plan_of_files
from hookline.cli.plan_options import (
    deletion_options,
    load_desired,
    override_options,
    paths_argument,
    target_option,
    verbose_option,
)
from hookline.cli.policy_file_note import policy_file_option
from hookline.exit_codes import ExitCode
from hookline.model import Address
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.policy_check import OverrideRequest, raise_if_denied


@click.command(
    epilog=examples(
        "hookline plan",
        "hookline plan --target ACME@AdobeOrg/prod",
        "hookline plan --out plan.json --format text --format markdown=comment.md",
        exits="0 done, 2 the plan has changes (with --detailed-exitcode), 5 invalid files, 6 a "
        "change is blocked, 8 the state cannot be used",
    )
)
@paths_argument()
@config_option
@state_option
@spool_option
@target_option
@deletion_options
@override_options
@policy_file_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the plan as JSON for `hookline apply FILE`. Only you can read the file. - is standard output.",
)
@click.option(
    "--format",
    multiple=True,
    type=ParsedParameter("output", parse_output),
    metavar=f"{'|'.join(FORMS)}[=FILE]",
    help="How to show the plan, and in which file (repeatable; one can go to standard output).  [default: text]",
)
@verbose_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if the plan has changes.")
def plan_command(
    *,
    paths: tuple[Path, ...],
    config: Path,
    state: str,
    spool: str,
    target: tuple[Address, ...],
    deletion_limits: DeletionLimits,
    overrides: OverrideRequest,
    policy_file: Path | None,
    out: Path | None,
    format: tuple[Output, ...],
    verbose: bool,
    detailed_exitcode: bool,
) -> int:
    """Show the changes that apply would make.

    Compares the webhook files with the stored state and changes neither. A PATH narrows the run to the webhooks
    that it contains. Secrets remain references: the plan never contains their values. A plan with a blocked change
    is still shown and saved in full. If a spool exists, each change shows how many pending deliveries it affects.
    The plan also states what becomes of them (dead letters, sent to the new URL, or held), and how long they take
    at the present and at the planned limits. If the state has a policy, the plan shows each violation at the place
    in the file that causes it.
    """
    put_code_first()
    outputs = format or (() if out is not None and is_standard_output(out) else (Output("text", None),))
    refuse_outputs(outputs, out)
    plan = plan_of_files(
        load_desired(config, paths, target),
        config,
        state,
        spool,
        policy_file=policy_file,
        limits=deletion_limits,
        overrides=overrides,
    )
    write_outputs(plan, outputs, out, verbose=verbose)
    raise_if_blocked(plan)
    raise_if_denied(plan.violations)
    return ExitCode.CHANGES if detailed_exitcode and plan.changes else ExitCode.DONE
