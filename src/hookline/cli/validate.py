"""`hookline validate`: everything that is wrong with the webhook files, without any state."""

from __future__ import annotations

from pathlib import Path

import click

from hookline.cli.options import config_option, format_option
from hookline.cli.reports import REPORTS
from hookline.errors import InvalidConfiguration, WrongUse


@click.command(epilog="Example: hookline validate --format github webhooks/acme")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@config_option
@format_option(*REPORTS, help="Output for people, programs, GitHub annotations or code scanning.")
def command(paths: tuple[Path, ...], config: Path, form: str) -> int:
    """Validate webhook files; needs no state.

    Checks all files of the configuration directory, or each PATH (a file or a directory), and reports all errors.
    Exits with 5 if it finds an error.
    """
    from hookline.config import inspect  # noqa: PLC0415 - the schema library takes longer than `--help` may

    if not paths and not config.is_dir():
        hint = "run this beside the configuration directory, or name it: --config DIR"
        raise WrongUse(f"there is no configuration directory {config}", hint=hint)
    inspection = inspect(config, paths)
    click.echo(REPORTS[form](inspection))
    return InvalidConfiguration.exit_code if inspection.diagnostics else 0
