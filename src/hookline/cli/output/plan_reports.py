"""The problems of a plan for code review: violations of the policy, and deletions that the deletion guard blocks."""

from __future__ import annotations

from hookline.cli.output.diagnostic_reports import github_annotations, quality_report, sarif_log
from hookline.config import error_codes
from hookline.diagnostics import Diagnostic, Severity
from hookline.escaping import printable
from hookline.plan.move_guard import blocked_hint
from hookline.plan.plan import Change, Plan
from hookline.plan.render_text import plan_summary
from hookline.policy.violation import Violation
from hookline.settings import DEFAULT_CONFIG


def plan_diagnostics(plan: Plan) -> list[Diagnostic]:
    """A problem that no file has is reported for the configuration directory, because reports need a file."""
    return [*map(_of_violation, plan.violations), *map(_of_blocked, plan.blocked)]


def _of_violation(violation: Violation) -> Diagnostic:
    detail = "" if violation.detail is None else f" ({violation.detail})"
    lifted = "" if violation.overridden is None else f"; lifted: {violation.overridden}"
    concerned = f"{violation.subject}: " if violation.subject else ""
    place = violation.place
    return Diagnostic(
        code=str(violation.kind),
        summary=printable(f"{violation.rule}: {concerned}{violation.message}{detail}{lifted}"),
        file=DEFAULT_CONFIG if place is None else place.file,
        line=None if place is None else place.line,
        column=None if place is None else place.column,
        severity=Severity.ERROR if violation.denies else Severity.WARNING,
        address=None if violation.address is None else str(violation.address),
    )


def _of_blocked(change: Change) -> Diagnostic:
    """A blocked deletion has no place. A blocked move has the place of the webhook that names its earlier address."""
    source = change.source
    return Diagnostic(
        code=error_codes.DELETION_BLOCKED,
        summary=printable(f"{change.address}: {change.blocked}"),
        file=DEFAULT_CONFIG if source is None else source.file,
        line=None if source is None else source.line,
        address=str(change.address),
        hint=blocked_hint(change),
    )


def plan_as_annotations(plan: Plan) -> str:
    """Annotations of GitHub, and the summary of the plan as a plain log line."""
    lines = [github_annotations(plan_diagnostics(plan)), plan_summary(plan)]
    return "\n".join(line for line in lines if line) + "\n"


def plan_as_sarif(plan: Plan) -> str:
    return sarif_log(plan_diagnostics(plan)) + "\n"


def plan_as_code_quality(plan: Plan) -> str:
    return quality_report(plan_diagnostics(plan)) + "\n"
