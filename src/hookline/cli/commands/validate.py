"""`hookline validate`: report all errors in webhook files, without a state."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from hookline import __version__
from hookline.cli.options import config_option, examples, format_option
from hookline.cli.output.diagnostic_output import diagnostic_text, warn_of_left_out
from hookline.cli.output.json_output import json_output
from hookline.cli.output.standard_streams import print_runner_commands, put_code_first
from hookline.diagnostics import Diagnostic, Severity
from hookline.escaping import ci_log_text, printable, printable_lines
from hookline.exit_codes import ExitCode
from hookline.paths import repository_root

if TYPE_CHECKING:  # the import takes longer than `validate --help` may take
    from hookline.config.loader import Inspection

_FIELDS = ("code", "severity", "file", "line", "column", "address", "summary", "hint")
# GitHub shows ten annotations of a severity per step.
_MAX_ANNOTATIONS = 9


def text_report(inspection: Inspection) -> str:
    """Every diagnostic with its line, or one sentence if there is none."""
    if inspection.diagnostics:
        return "\n".join(diagnostic_text(diagnostic) for diagnostic in inspection.diagnostics)
    return f"{_count_text(inspection)} valid"


def json_report(inspection: Inspection) -> str:
    """``{"valid", "webhooks", "files", "diagnostics": […], "leftOut": […]}``; the counts include all files read."""
    report = {
        "valid": not inspection.diagnostics,
        "webhooks": inspection.documents,
        "files": inspection.files,
        "diagnostics": [{name: getattr(one, name) for name in _FIELDS} for one in inspection.diagnostics],
        "leftOut": [{"file": one.name, "reason": one.reason} for one in inspection.left_out],
    }
    return json_output(report, indent=2)


def github_report(inspection: Inspection) -> str:
    """Workflow commands (docs.github.com, "Workflow commands for GitHub Actions"), which become annotations.

    GitHub shows ten annotations of a severity for each step and drops the others silently. So the report contains
    nine annotations of a severity and one that counts the others, which follow as plain log lines.
    """
    if not inspection.diagnostics:
        return f"{_count_text(inspection)} valid"
    lines: list[str] = []
    for severity in Severity:
        matching = [diagnostic for diagnostic in inspection.diagnostics if diagnostic.severity is severity]
        annotated, others = matching[:_MAX_ANNOTATIONS], matching[_MAX_ANNOTATIONS:]
        lines += [_annotation(diagnostic) for diagnostic in annotated]
        if others:
            message = f"{len(others)} more {severity}{'' if len(others) == 1 else 's'}; see the log of this step"
            lines.append(f"::{severity} title=hookline::{message}")
            lines += [_log_line(diagnostic) for diagnostic in others]
    return "\n".join(lines)


def sarif_report(inspection: Inspection) -> str:
    """SARIF 2.1.0 (OASIS) for code scanning. Each rule contains the text of `explain`."""
    used = sorted({diagnostic.code for diagnostic in inspection.diagnostics})
    driver = {"name": "hookline", "version": __version__, "rules": [_rule(code) for code in used]}
    results = [_result(diagnostic, used.index(diagnostic.code)) for diagnostic in inspection.diagnostics]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json_output(log, indent=2)


def _count_text(inspection: Inspection) -> str:
    webhooks, files = inspection.documents, inspection.files
    return (
        f"{webhooks} webhook{'' if webhooks == 1 else 's'} in {files} file{'' if files == 1 else 's'}"
        f" {'is' if webhooks == 1 else 'are'}"
    )


def _annotation(diagnostic: Diagnostic) -> str:
    file = None if diagnostic.file is None else path_in_repository(diagnostic.file)
    values = {"file": file, "line": diagnostic.line, "col": diagnostic.column, "title": diagnostic.code}
    written = ",".join(f"{name}={_property(str(value))}" for name, value in values.items() if value is not None)
    message = diagnostic.summary + (f"\nhint: {diagnostic.hint}" if diagnostic.hint else "")
    return f"::{diagnostic.severity} {written}::{_data(message)}"


def _log_line(diagnostic: Diagnostic) -> str:
    """Plain text in which the runner finds no command."""
    return ci_log_text(printable(f"- {diagnostic.location}: {diagnostic.code}: {diagnostic.summary}"))


def _data(text: str) -> str:
    return ci_log_text(printable_lines(text)).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _rule(code: str) -> dict[str, Any]:
    from hookline.config.error_codes import explanations  # noqa: PLC0415 - loaded only for errors

    explanation = explanations()[code]
    examples = f"Wrong:\n\n{indent(explanation.wrong, '    ')}\n\nRight:\n\n{indent(explanation.right, '    ')}\n"
    why = " ".join(explanation.why.split())
    return {
        "id": code,
        "shortDescription": {"text": explanation.title},
        "fullDescription": {"text": why},
        "help": {"text": f"{why}\n\n{examples}", "markdown": f"{why}\n\n{examples}"},
        "defaultConfiguration": {"level": "error"},
    }


def path_in_repository(file: str) -> str:
    """The path from the root of the git repository, as GitHub wants it; unchanged for a file outside of one.

    A diagnostic names a file from the working directory, which may be a subdirectory of the repository.
    """
    absolute = Path(os.path.abspath(file))  # noqa: PTH100 - the name as written: links are not followed
    root = _root_above(absolute.parent)
    return file if root is None else absolute.relative_to(root).as_posix()


@cache
def _root_above(directory: Path) -> Path | None:
    return repository_root(directory)


def _uri(file: str) -> str:
    """Relative to the root of the repository, as code scanning wants it; a file outside of one is absolute."""
    path = path_in_repository(file)
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    message = diagnostic.summary + (f" ({diagnostic.hint})" if diagnostic.hint else "")
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": str(diagnostic.severity),
        "message": {"text": message},
    }
    if diagnostic.file is not None:
        location: dict[str, Any] = {"artifactLocation": {"uri": _uri(diagnostic.file)}}
        if diagnostic.line is not None:
            location["region"] = {"startLine": diagnostic.line, "startColumn": diagnostic.column or 1}
        result["locations"] = [{"physicalLocation": location}]
    return result


REPORTS: Mapping[str, Callable[[Inspection], str]] = {
    "text": text_report,
    "json": json_report,
    "github": github_report,
    "sarif": sarif_report,
}


@click.command(epilog=examples("hookline validate", "hookline validate --format github webhooks/acme"))
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@config_option
@format_option(*REPORTS, help="Output for people, programs, GitHub annotations or code scanning.")
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
