"""The documents of a saved plan, judged by the rules for webhook files.

A plan file is as much untrusted input as a webhook file is, and gets around none of its rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from hookline.canonical import read_webhook, write_webhook
from hookline.config import checks, crossing, schema
from hookline.config.finding import Finding
from hookline.config.judging import JudgedDocument
from hookline.config.shape import text_at
from hookline.config.verdict import webhook_verdict
from hookline.diagnostics import Diagnostic, in_order
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.escaping import printable
from hookline.plan.changes import Change, Plan


def refuse_documents(plan: Plan, file: str) -> None:
    """Raise InvalidConfiguration unless every webhook that `plan` writes is one that a file could declare.

    Raises WrongUse when one is not in the canonical form, by which two are compared.
    """
    written = [change for change in plan.changes if change.after is not None]
    found = [_placed(finding, file, change) for change in written for finding in _findings(change)]
    found += [_placed(finding, file, written[index]) for index, finding in crossing.check(map(_judged, written))]
    if found:
        raise InvalidConfiguration(in_order(found))
    for change in written:
        _refuse_other_form(change, file)


def _findings(change: Change) -> Iterator[Finding]:
    document = change.after
    if not webhook_verdict()(document):
        yield from schema.check(document)
    yield from checks.check(document)


def _judged(change: Change) -> JudgedDocument:
    source = change.source
    return JudgedDocument(
        file=printable(source.file) if source else "",
        index=0,
        line=source.line if source else 1,
        address=(change.address.organization, change.address.sandbox),
        sandbox_id=text_at(change.after, "sandbox", "id"),
        value=None,
    )


def _placed(finding: Finding, file: str, change: Change) -> Diagnostic:
    """A plan is not written by hand: its file and the address are place enough."""
    address = printable(str(change.address))
    return Diagnostic(
        code=finding.code, file=file, address=address, summary=f"{address}: {finding.summary}", hint=finding.hint
    )


def _refuse_other_form(change: Change, file: str) -> None:
    if change.after is not None and write_webhook(read_webhook(change.after)) != change.after:
        raise WrongUse(
            f"{file} is not a plan that can be applied: {printable(str(change.address))} is not in canonical form",
            hint="make the plan again: hookline plan --out FILE",
        )
