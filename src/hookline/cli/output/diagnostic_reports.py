"""Diagnostics for code review: GitHub annotations, SARIF for code scanning, GitLab's Code Quality reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import Any
from urllib.parse import quote

from hookline import __version__
from hookline.cli.output.code_quality import CodeQualityFinding, code_quality_report
from hookline.cli.output.json_output import json_output
from hookline.diagnostics import Diagnostic, Severity
from hookline.escaping import ci_log_text, printable, printable_lines
from hookline.paths import repository_root

# GitHub shows ten annotations of a severity per step.
_MAX_ANNOTATIONS = 9


def github_annotations(diagnostics: Sequence[Diagnostic]) -> str:
    """Workflow commands (docs.github.com, "Workflow commands for GitHub Actions"), which become annotations.

    GitHub shows ten annotations of a severity for each step and drops the others silently. So the report contains
    nine annotations of a severity and one that counts the others, which follow as plain log lines.
    """
    lines: list[str] = []
    for severity in Severity:
        matching = [diagnostic for diagnostic in diagnostics if diagnostic.severity is severity]
        annotated, others = matching[:_MAX_ANNOTATIONS], matching[_MAX_ANNOTATIONS:]
        lines += [_annotation(diagnostic) for diagnostic in annotated]
        if others:
            message = f"{len(others)} more {severity}{'' if len(others) == 1 else 's'}; see the log of this step"
            lines.append(f"::{severity} title=hookline::{message}")
            lines += [_log_line(diagnostic) for diagnostic in others]
    return "\n".join(lines)


def sarif_log(diagnostics: Sequence[Diagnostic]) -> str:
    """SARIF 2.1.0 (OASIS) for code scanning. Each rule contains the text of `explain`."""
    used = sorted({diagnostic.code for diagnostic in diagnostics})
    driver = {"name": "hookline", "version": __version__, "rules": [_rule(code) for code in used]}
    results = [_result(diagnostic, used.index(diagnostic.code)) for diagnostic in diagnostics]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json_output(log, indent=2)


def quality_report(diagnostics: Sequence[Diagnostic]) -> str:
    """A Code Quality report for GitLab, which requires a file and a line of each finding."""
    return code_quality_report(_finding(diagnostic) for diagnostic in diagnostics)


def _finding(diagnostic: Diagnostic) -> CodeQualityFinding:
    hint = f" ({diagnostic.hint})" if diagnostic.hint else ""
    return CodeQualityFinding(
        check=diagnostic.code,
        description=f"{diagnostic.summary}{hint}",
        severity="major" if diagnostic.severity is Severity.ERROR else "minor",
        path=path_in_repository(diagnostic.file or "."),
        line=diagnostic.line or 1,
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
