"""The rules for names: a reviewer must see every character of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import (
    DocumentPath,
    RuleFinding,
    finding_at,
    list_at,
    mapping_at,
    quote,
    text_at,
    value_at,
)
from hookline.escaping import is_invisible, printable

_NAMES: tuple[DocumentPath, ...] = (
    ("organization",),
    ("sandbox",),
    ("sandbox", "name"),
    ("sandbox", "id"),
    ("movedFrom",),
    ("name",),
    ("owner",),
    ("authentication", "header"),
)


def check_names(document: Any) -> Iterator[RuleFinding]:
    """Refuses invisible characters in names: two names that look equal would be two webhooks, or two campaigns."""
    for path, name, on_key in _names(document):
        if name.isascii() and name.isprintable():
            continue
        # The schema refuses control characters in values, and a line break or tab needs no name.
        faults = (one for one in name if is_invisible(one) and (on_key or unicodedata.category(one) != "Cc"))
        character = None if printable(name) == name else next(faults, None)
        if character is None:
            continue
        described = unicodedata.name(character, "control character").lower()
        problem = f"{quote(name)} contains the invisible character U+{ord(character):04X} ({described})"
        hint = "remove it; if the name was copied, write it by hand"
        yield finding_at(path, error_codes.INVISIBLE_IN_NAME, problem, hint, on_key=on_key)


def _names(document: Any) -> Iterator[tuple[DocumentPath, str, bool]]:
    """Every name of a document: its path, and whether it is a key."""
    for path in _NAMES:
        if (text := text_at(document, *path)) is not None:
            yield path, text, False
    for index, campaign in enumerate(list_at(document, "campaigns")):
        if isinstance(campaign, str):
            yield ("campaigns", index), campaign, False
    for section in ("authentication", "signature"):
        for index, _ in enumerate(list_at(document, section, "keys")):
            if isinstance(key_id := value_at(document, section, "keys", index, "id"), str):
                yield (section, "keys", index, "id"), key_id, False
    for parent in (("query",), ("authentication", "claims")):  # a header name is a token: HL040
        for name in mapping_at(document, *parent):
            yield (*parent, name), name, True
