"""The rules for `movedFrom`, the earlier address of a webhook. The file validator compares several documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import RuleFinding, address_of, finding_at, text_at
from hookline.model import MAX_NAME_CHARACTERS, Address


def earlier_address(document: Any) -> Address | None:
    """The address in `movedFrom`, if it can be read."""
    text = text_at(document, "movedFrom")
    if text is None:
        return None
    try:
        return Address.parse(text)
    except ValueError:
        return None


def check_move(document: Any) -> Iterator[RuleFinding]:
    """Refuses the webhook's own address, and a part that is too long for an organization or a sandbox."""
    text = text_at(document, "movedFrom")
    if text is None:
        return
    if any(len(part) > MAX_NAME_CHARACTERS for part in text.split("/")):
        problem = f"an organization or a sandbox has at most {MAX_NAME_CHARACTERS} characters"
        yield finding_at(("movedFrom",), error_codes.WRONG_FORM, problem, "write ORGANIZATION/SANDBOX")
    elif (old := earlier_address(document)) is not None and old == address_of(document):
        hint = "write the address that the webhook had before, or remove movedFrom"
        yield finding_at(("movedFrom",), error_codes.MOVED_FROM, f"{old} is the webhook's own address", hint)
