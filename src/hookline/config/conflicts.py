"""Conflicts between documents: one address or sandbox id for two webhooks, and moves that exclude each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hookline.config import error_codes
from hookline.config.document_access import RuleFinding, finding_at, quote
from hookline.config.file_validator import ValidatedDocument
from hookline.model import Address


def check_across_documents(documents: Sequence[ValidatedDocument]) -> Iterator[tuple[int, RuleFinding]]:
    """Yields findings with the index of their document. If two documents conflict, the second has the finding."""
    by_address: dict[tuple[str, str], ValidatedDocument] = {}
    by_id: dict[tuple[str, str], ValidatedDocument] = {}
    for index, document in enumerate(documents):
        if document.address is None:
            continue
        organization, sandbox = document.address
        first = by_address.setdefault(document.address, document)
        if first is not document:
            problem = f"{organization}/{sandbox} already has a webhook in {first.file}:{first.line}"
            hint = "merge the two, or correct organization or sandbox; each sandbox has exactly one webhook"
            yield index, finding_at(("sandbox",), error_codes.SECOND_WEBHOOK, problem, hint)
        elif (sandbox_id := document.sandbox_id) is not None:
            other = by_id.setdefault((organization, sandbox_id), document)
            if other is not document:
                name = other.address[1] if other.address else ""
                problem = f"{quote(sandbox_id)} is also the id of sandbox {name} in {other.file}:{other.line}"
                hint = "correct one of the two; an event that has only the id could not be routed"
                yield index, finding_at(("sandbox", "id"), error_codes.SHARED_SANDBOX_ID, problem, hint)
    yield from _check_moves(documents, by_address)


def _check_moves(
    documents: Iterable[ValidatedDocument], by_address: Mapping[tuple[str, str], ValidatedDocument]
) -> Iterator[tuple[int, RuleFinding]]:
    """At most one webhook has moved from an address, and no webhook is declared at it."""
    moved: dict[Address, ValidatedDocument] = {}
    for index, document in enumerate(documents):
        old = document.moved_from
        if old is None or old == document.address:
            continue
        if still := by_address.get(old):
            problem = f"{old} is still declared in {still.file}:{still.line}"
            hint = "remove that webhook; if the move was applied before, remove movedFrom"
            yield index, finding_at(("movedFrom",), error_codes.MOVED_FROM, problem, hint)
        first = moved.setdefault(old, document)
        if first is not document:
            problem = f"{first.address} in {first.file}:{first.line} has moved from {old} as well"
            hint = "remove movedFrom from one of the two; a webhook moves to one address"
            yield index, finding_at(("movedFrom",), error_codes.MOVED_FROM, problem, hint)
