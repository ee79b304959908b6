"""Findings as a Code Quality report, which GitLab shows in a merge request.

The form is that of "Code Quality report format" in GitLab's documentation: a list with, for each finding,
`description`, `check_name`, `fingerprint`, `severity` and `location`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hookline.cli.output.json_output import json_output


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeQualityFinding:
    """`path` is relative to the root of the repository. `check` is the error code or the rule."""

    check: str
    description: str
    severity: Literal["info", "minor", "major", "critical", "blocker"]
    path: str
    line: int


def code_quality_report(findings: Iterable[CodeQualityFinding]) -> str:
    """The report; without findings an empty list, which GitLab needs to know that earlier findings are solved.

    GitLab compares the fingerprints of two reports to find new findings. A fingerprint is therefore unique in its
    report, and does not depend on the line: a finding that moves within its file is the same one.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    entries = []
    for one in findings:
        identity = (one.check, one.path, one.description)
        parts = [*identity, str(seen[identity])]
        seen[identity] += 1
        fingerprint = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
        entries.append(
            {
                "check_name": one.check,
                "description": one.description,
                "severity": one.severity,
                "fingerprint": fingerprint,
                "location": {"path": one.path, "lines": {"begin": one.line}},
            }
        )
    return json_output(entries, indent=2)
