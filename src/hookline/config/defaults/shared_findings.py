"""Errors in defaults files, each reported once with the webhooks that it affects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from hookline.config.defaults.defaults_chain import Inherited, pointer
from hookline.config.defaults.defaults_file import DefaultsFile
from hookline.config.defaults.merging import unit_of
from hookline.config.document_access import DocumentPath
from hookline.diagnostics import Diagnostic
from hookline.model import Address, FileLocation


@dataclass(frozen=True, slots=True)
class Heir:
    """A webhook below a defaults file, and the values that it has from there."""

    address: Address | None
    source: FileLocation
    inherited: Inherited


@dataclass(frozen=True, slots=True)
class SharedFinding:
    """A finding of a webhook whose value comes from a defaults file, with its place there."""

    diagnostic: Diagnostic
    heir: Heir


def report_shared(
    files: Iterable[DefaultsFile],
    heirs: Sequence[Heir],
    shared: Iterable[SharedFinding],
    wanted: Set[Address],
) -> Iterator[Diagnostic]:
    """Yields each error of a defaults file once.

    Args:
        files: the defaults files, with the errors that each has by itself.
        heirs: the webhooks below them.
        shared: the errors that a default has together with other values of a webhook.
        wanted: the webhooks that are not ignored; all, if it is empty.
    """
    for file in files:
        for path, diagnostic in file.findings:
            affected = [one for one in heirs if _is_affected(one.inherited, file, path)]
            yield from _report(diagnostic, affected, wanted)
    grouped: dict[Diagnostic, list[Heir]] = {}
    for finding in shared:
        grouped.setdefault(finding.diagnostic, []).append(finding.heir)
    for diagnostic, affected in grouped.items():
        yield from _report(diagnostic, affected, wanted)


def _is_affected(inherited: Inherited, file: DefaultsFile, path: DocumentPath) -> bool:
    """Whether a webhook has a value of the file that overlaps with the one at the path."""
    wanted = pointer(unit_of(file.values, path)) if path else ""
    return any(
        place.file == file.name and (found in ("", wanted) or f"{found}/".startswith(f"{wanted}/"))
        for found, place in inherited.items()
    )


def _report(diagnostic: Diagnostic, affected: Sequence[Heir], wanted: Set[Address]) -> Iterator[Diagnostic]:
    if wanted and not any(heir.address is None or heir.address in wanted for heir in affected):
        return
    yield replace(diagnostic, summary=f"{diagnostic.summary} ({_affected_text(affected)})")


def _affected_text(affected: Sequence[Heir]) -> str:
    if not affected:
        return "affects no webhook"
    first = affected[0].source
    place = f"{first.file}:{first.line}"
    if len(affected) == 1:
        return f"affects the webhook in {place}"
    return f"affects {len(affected):,} webhooks, the first in {place}"
