"""Reads saved plans, and checks their documents.

A plan file is as untrusted as a webhook file, so the same rules apply to its documents.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from hookline.canonical import canonical_document
from hookline.config.conflicts import check_across_documents
from hookline.config.document_access import RuleFinding, text_at
from hookline.config.file_validator import ValidatedDocument, check_document
from hookline.diagnostics import Diagnostic, sorted_diagnostics
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.escaping import printable
from hookline.paths import is_directory, is_regular_file
from hookline.plan.plan import Change, Plan
from hookline.plan.plan_file import read_plan
from hookline.private_files import writable_by_all

# A plan that changes ten thousand webhooks has about 50 MB.
MAX_PLAN_BYTES = 256 << 20


def is_plan_file(path: Path) -> bool:
    """Whether apply treats a PATH as a saved plan. The content decides, because a plan can have any name.

    A plan is a JSON object with a formatVersion. A file named .json always counts as a plan, even if it is broken.
    A file named .yaml or .yml never does, because a webhook file may contain JSON.
    """
    if is_directory(path) or path.suffix in {".yaml", ".yml"}:
        return False
    if path.suffix == ".json":
        return True
    data = _read(path) if is_regular_file(path) else b""
    return data.lstrip().startswith(b"{") and b'"formatVersion"' in data


def read_plan_file(path: Path) -> Plan:
    """The plan in a file. Raises WrongUse if the file contains none, Stale if somebody edited it."""
    data = _read(path)
    if (exposed := writable_by_all(path)) is not None:
        text = f"warning: anybody can write to {exposed}, and so exchange the saved plan {path}; check its changes"
        click.echo(text, err=True)
    if len(data) > MAX_PLAN_BYTES:
        raise WrongUse(
            f"{path} is larger than {MAX_PLAN_BYTES >> 20} MiB, the maximum for a plan",
            hint="name a file that `hookline plan --out FILE` wrote",
        )
    return read_plan(data, str(path))


def _read(path: Path) -> bytes:
    """The content, at most one byte more than a plan may have."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise WrongUse(f"{path} is not a file", hint="write the plan to a file first")
            return file.read(MAX_PLAN_BYTES + 1)
    except OSError as failed:
        raise WrongUse(
            f"{path} cannot be read: {failed.strerror}", hint="name a file that `hookline plan --out FILE` wrote"
        ) from failed


def refuse_documents(plan: Plan, file: str) -> None:
    """Raise InvalidConfiguration for a webhook that no file could declare, WrongUse for one not in canonical form."""
    written = [change for change in plan.changes if change.after is not None]
    diagnostics = [
        _diagnostic(finding, file, change) for change in written for finding in check_document(change.after)
    ]
    conflicts = check_across_documents(tuple(map(_validated, written)))
    diagnostics += [_diagnostic(finding, file, written[index]) for index, finding in conflicts]
    if diagnostics:
        raise InvalidConfiguration(sorted_diagnostics(diagnostics))
    for change in written:
        if change.after is not None and canonical_document(change.after) != change.after:
            raise WrongUse(
                f"{file} cannot be applied: {printable(str(change.address))} is not in canonical form",
                hint="create the plan again: hookline plan --out FILE",
            )


def _validated(change: Change) -> ValidatedDocument:
    source = change.source
    return ValidatedDocument(
        file=printable(source.file) if source else "",
        index=0,
        line=source.line if source else 1,
        address=change.address,
        sandbox_id=text_at(change.after, "sandbox", "id"),
        canonical=None,
    )


def _diagnostic(finding: RuleFinding, file: str, change: Change) -> Diagnostic:
    """A diagnostic with the file and the address, without a line: nobody writes a plan by hand."""
    address = printable(str(change.address))
    return Diagnostic(
        code=finding.code, file=file, address=address, summary=f"{address}: {finding.summary}", hint=finding.hint
    )
