"""What only several documents together can get wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hookline.config import codes
from hookline.config.finding import Finding, shown
from hookline.config.judging import JudgedDocument


def check(documents: Iterable[JudgedDocument]) -> Iterator[tuple[int, Finding]]:
    """Findings with the index of their document: of two that cannot stand together, the second."""
    by_address: dict[tuple[str, str], JudgedDocument] = {}
    by_id: dict[tuple[str, str], JudgedDocument] = {}
    for index, document in enumerate(documents):
        if document.address is None:
            continue
        organization, sandbox = document.address
        first = by_address.setdefault(document.address, document)
        if first is not document:
            yield index, _second_webhook(f"{organization}/{sandbox}", first)
            continue
        if document.sandbox_id is None:
            continue
        other = by_id.setdefault((organization, document.sandbox_id), document)
        if other is not document:
            yield index, _shared_id(document.sandbox_id, other)


def _second_webhook(address: str, first: JudgedDocument) -> Finding:
    summary = f"sandbox: {address} has a webhook already, in {first.file}:{first.line}"
    hint = "one organization and sandbox has exactly one webhook: merge the two, or correct organization or sandbox"
    return Finding(code=codes.SECOND_WEBHOOK, path=("sandbox",), summary=summary, hint=hint)


def _shared_id(identifier: str, other: JudgedDocument) -> Finding:
    sandbox = other.address[1] if other.address else ""
    summary = f"sandbox.id: {shown(identifier)} is the id of sandbox {sandbox} too, in {other.file}:{other.line}"
    hint = "events that carry only the id could not be routed: correct one of the two"
    return Finding(code=codes.SHARED_SANDBOX_ID, path=("sandbox", "id"), summary=summary, hint=hint)
