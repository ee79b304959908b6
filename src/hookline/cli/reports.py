"""What `validate` found, in each of its formats. Pure: an inspection becomes text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hookline import __version__
from hookline.cli.findings import as_text
from hookline.diagnostics import Diagnostic

if TYPE_CHECKING:  # importing it takes longer than `validate --help` may
    from hookline.config import Inspection

_FIELDS = ("code", "severity", "file", "line", "column", "address", "summary", "hint")


def text_report(inspection: Inspection) -> str:
    """Every finding with its line, or one sentence when there is none."""
    if inspection.diagnostics:
        return "\n".join(as_text(diagnostic) for diagnostic in inspection.diagnostics)
    return f"{_counted(inspection)} valid"


def json_report(inspection: Inspection) -> str:
    """``{"valid", "webhooks", "files", "diagnostics": […]}``; the counts are of what was looked at."""
    report = {
        "valid": not inspection.diagnostics,
        "webhooks": inspection.documents,
        "files": inspection.files,
        "diagnostics": [_as_json(diagnostic) for diagnostic in inspection.diagnostics],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


def github_report(inspection: Inspection) -> str:
    """Workflow commands (docs.github.com, "Workflow commands for GitHub Actions"), which become annotations."""
    if not inspection.diagnostics:
        return f"{_counted(inspection)} valid"
    return "\n".join(_annotation(diagnostic) for diagnostic in inspection.diagnostics)


def sarif_report(inspection: Inspection) -> str:
    """SARIF 2.1.0 (OASIS), for code scanning."""
    from hookline.config.codes import TITLES  # noqa: PLC0415 - see above

    used = sorted({diagnostic.code for diagnostic in inspection.diagnostics})
    driver = {
        "name": "hookline",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": TITLES[code]}} for code in used],
    }
    results = [_result(diagnostic, used.index(diagnostic.code)) for diagnostic in inspection.diagnostics]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _counted(inspection: Inspection) -> str:
    webhooks, files = inspection.documents, inspection.files
    return (
        f"{webhooks} webhook{'' if webhooks == 1 else 's'} in {files} file{'' if files == 1 else 's'}"
        f" {'is' if webhooks == 1 else 'are'}"
    )


def _as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    fields = asdict(diagnostic)
    return {name: fields[name] for name in _FIELDS}


def _annotation(diagnostic: Diagnostic) -> str:
    properties = {
        "file": diagnostic.file,
        "line": diagnostic.line,
        "col": diagnostic.column,
        "title": diagnostic.code,
    }
    written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value is not None)
    message = diagnostic.summary + (f"\nhint: {diagnostic.hint}" if diagnostic.hint else "")
    return f"::{diagnostic.severity} {written}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    message = diagnostic.summary + (f" ({diagnostic.hint})" if diagnostic.hint else "")
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": str(diagnostic.severity),
        "message": {"text": message},
    }
    if diagnostic.file is not None:
        location: dict[str, Any] = {"artifactLocation": {"uri": diagnostic.file}}
        if diagnostic.line is not None:
            location["region"] = {"startLine": diagnostic.line, "startColumn": diagnostic.column}
        result["locations"] = [{"physicalLocation": location}]
    return result


REPORTS: Mapping[str, Callable[[Inspection], str]] = {
    "text": text_report,
    "json": json_report,
    "github": github_report,
    "sarif": sarif_report,
}
