"""Saved plans as files: told from webhook files, read within bounds, and shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hookline.canonical import read_webhook, write_webhook
from hookline.cli.plan_output import FORMS, print_plan
from hookline.config import file_validator, schema_validator
from hookline.config.document_access import RuleFinding, text_at
from hookline.config.fast_validator import webhook_validator
from hookline.config.file_validator import ValidatedDocument
from hookline.config.rules import all_rules
from hookline.diagnostics import Diagnostic, sorted_diagnostics
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.escaping import printable
from hookline.plan.plan import Change, Plan
from hookline.plan.plan_file import read_plan

# Ten thousand webhooks that all change are some 50 MB.
MAX_BYTES = 256 << 20


def is_plan_file(path: Path) -> bool:
    """Whether apply takes a PATH for a saved plan: by what is in it, for the name may be any.

    A plan is a JSON object with a formatVersion. What is called .json is meant to be one, even when it is broken;
    what is called .yaml or .yml never is (a webhook file may well be written as JSON).
    """
    if path.is_dir() or path.suffix in {".yaml", ".yml"}:
        return False
    if path.suffix == ".json":
        return True
    data = _read(path) if path.is_file() else b""
    return data.lstrip().startswith(b"{") and b'"formatVersion"' in data


def read_plan_file(path: Path) -> Plan:
    """The plan in a file. Raises WrongUse when there is none, Stale when it was changed after it was made."""
    data = _read(path)
    if len(data) > MAX_BYTES:
        raise WrongUse(
            f"{path} is larger than {MAX_BYTES >> 20} MiB, and no plan is",
            hint="name a file that `hookline plan --out FILE` wrote",
        )
    return read_plan(data, str(path))


def show_plan_file(path: Path, form: str) -> None:
    """Write the plan in a file to stdout, in one of `FORMS`. Raises like `read_plan_file`, and WrongUse for the form.

    Nothing is compared with a state: whether the plan still fits is for apply to find out.
    """
    if form not in FORMS:
        raise WrongUse(f"a plan is not shown as {form}", hint=f"give --format {', '.join(FORMS)}")
    print_plan(read_plan_file(path), form)


def _read(path: Path) -> bytes:
    """At most one byte more than a plan may have."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise WrongUse(f"{path} is not a file", hint="write the plan into a file first")
            return file.read(MAX_BYTES + 1)
    except OSError as failed:
        raise WrongUse(
            f"{path} cannot be read: {failed.strerror}", hint="name a file that `hookline plan --out FILE` wrote"
        ) from failed


# The documents of a saved plan, judged by the rules for webhook files.
#
# A plan file is as much untrusted input as a webhook file is, and gets around none of its rules.
def refuse_documents(plan: Plan, file: str) -> None:
    """Raise InvalidConfiguration unless every webhook that `plan` writes is one that a file could declare.

    Raises WrongUse when one is not in the canonical form, by which two are compared.
    """
    written = [change for change in plan.changes if change.after is not None]
    found = [_placed(finding, file, change) for change in written for finding in _findings(change)]
    found += [
        _placed(finding, file, written[index])
        for index, finding in file_validator.check_across_documents(map(_judged, written))
    ]
    if found:
        raise InvalidConfiguration(sorted_diagnostics(found))
    for change in written:
        _refuse_other_form(change, file)


def _findings(change: Change) -> Iterator[RuleFinding]:
    document = change.after
    if not webhook_validator()(document):
        yield from schema_validator.check_schema(document)
    yield from all_rules.check_rules(document)


def _judged(change: Change) -> ValidatedDocument:
    source = change.source
    return ValidatedDocument(
        file=printable(source.file) if source else "",
        index=0,
        line=source.line if source else 1,
        address=(change.address.organization, change.address.sandbox),
        sandbox_id=text_at(change.after, "sandbox", "id"),
        value=None,
    )


def _placed(finding: RuleFinding, file: str, change: Change) -> Diagnostic:
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
