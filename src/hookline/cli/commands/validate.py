"""`hookline validate`: report all errors in webhook files, without a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookline.cli.options import config_option, examples, format_option
from hookline.cli.output.diagnostic_output import diagnostic_text, warn_of_left_out
from hookline.cli.output.diagnostic_reports import github_annotations, quality_report, sarif_log
from hookline.cli.output.json_output import json_output
from hookline.cli.output.standard_streams import print_runner_commands, put_code_first
from hookline.exit_codes import ExitCode

if TYPE_CHECKING:  # the import takes longer than `validate --help` may take
    from hookline.config.loader import Inspection

_FIELDS = ("code", "severity", "file", "line", "column", "address", "summary", "hint")


def text_report(inspection: Inspection) -> str:
    """Every diagnostic with its line, or one sentence if there is none."""
    if inspection.diagnostics:
        return "\n".join(diagnostic_text(diagnostic) for diagnostic in inspection.diagnostics)
    return f"{_count_text(inspection)} valid"


def json_report(inspection: Inspection) -> str:
    """``{"valid", "webhooks", "files", "defaultsFiles", "diagnostics": […], "leftOut": […]}``; the counts include all
    files read."""
    report = {
        "valid": not inspection.diagnostics,
        "webhooks": inspection.documents,
        "files": inspection.files,
        "defaultsFiles": inspection.defaults_files,
        "diagnostics": [{name: getattr(one, name) for name in _FIELDS} for one in inspection.diagnostics],
        "leftOut": [{"file": one.name, "reason": one.reason} for one in inspection.left_out],
    }
    return json_output(report, indent=2)


def github_report(inspection: Inspection) -> str:
    """Annotations of GitHub, or one sentence if there is no diagnostic."""
    return github_annotations(inspection.diagnostics) or f"{_count_text(inspection)} valid"


def sarif_report(inspection: Inspection) -> str:
    return sarif_log(inspection.diagnostics)


def gitlab_report(inspection: Inspection) -> str:
    return quality_report(inspection.diagnostics)


def _count_text(inspection: Inspection) -> str:
    webhooks, files = inspection.documents, inspection.files
    defaults = inspection.defaults_files
    beside = f" and {defaults} defaults file{'' if defaults == 1 else 's'}" if defaults else ""
    return (
        f"{webhooks} webhook{'' if webhooks == 1 else 's'} in {files} file{'' if files == 1 else 's'}{beside}"
        f" {'is' if webhooks == 1 and not beside else 'are'}"
    )


REPORTS: Mapping[str, Callable[[Inspection], str]] = {
    "text": text_report,
    "json": json_report,
    "github": github_report,
    "sarif": sarif_report,
    "gitlab": gitlab_report,
}


@click.command(epilog=examples("hookline validate", "hookline validate --format github webhooks/acme"))
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@config_option
@format_option(
    *REPORTS, help="Output for people, programs, GitHub's annotations, code scanning, or GitLab's Code Quality."
)
def validate_command(paths: tuple[Path, ...], config: Path, form: str) -> int:
    """Validate webhook files; needs no state.

    Checks all files of the configuration directory, or each PATH (a file or a directory), and reports all errors.
    Exits with 5 if it finds an error.
    """
    from hookline.config.loader import inspect, require_files  # noqa: PLC0415 - the schema library loads too slowly

    if not paths:
        require_files(config)
    put_code_first()
    inspection = inspect(config, paths)
    warn_of_left_out(inspection.left_out)
    # Only this report contains commands that the runner must execute.
    (print_runner_commands if form == "github" else click.echo)(REPORTS[form](inspection))
    return ExitCode.INVALID_CONFIGURATION if inspection.diagnostics else ExitCode.DONE
