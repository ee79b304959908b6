"""What only several documents together can get wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hookline.config import codes
from hookline.config.finding import Finding, shown
from hookline.config.shape import address_of, text_at
from hookline.model import Source


@dataclass(frozen=True, slots=True)
class Written:
    """A document's value and where it begins."""

    value: Any
    source: Source


def check(documents: Iterable[Written]) -> Iterator[tuple[int, Finding]]:
    """Findings with the index of their document: of two that cannot stand together, the second."""
    by_address: dict[tuple[str, str], Source] = {}
    by_id: dict[tuple[str, str], tuple[str, Source]] = {}
    for index, written in enumerate(documents):
        address = address_of(written.value)
        if address is None:
            continue
        organization, sandbox = address
        first = by_address.setdefault(address, written.source)
        if first is not written.source:
            yield index, _second_webhook(f"{organization}/{sandbox}", first)
            continue
        identifier = text_at(written.value, "sandbox", "id")
        if identifier is None:
            continue
        other, place = by_id.setdefault((organization, identifier), (sandbox, written.source))
        if other != sandbox:
            yield index, _shared_id(identifier, other, place)


def _second_webhook(address: str, first: Source) -> Finding:
    summary = f"sandbox: {address} has a webhook already, in {first.file}:{first.line}"
    hint = "one organization and sandbox has exactly one webhook: merge the two, or correct organization or sandbox"
    return Finding(code=codes.SECOND_WEBHOOK, path=("sandbox",), summary=summary, hint=hint)


def _shared_id(identifier: str, other: str, place: Source) -> Finding:
    summary = f"sandbox.id: {shown(identifier)} is the id of sandbox {other} too, in {place.file}:{place.line}"
    hint = "events that carry only the id could not be routed: correct one of the two"
    return Finding(code=codes.SHARED_SANDBOX_ID, path=("sandbox", "id"), summary=summary, hint=hint)
