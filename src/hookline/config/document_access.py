"""What a check hands back: a finding that knows where in the document it is, not yet where in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hookline.escaping import printable

DocumentPath = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LONGEST = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """`path` leads to the value in its document; with `on_key` the key itself is at fault, not its value."""

    code: str
    path: DocumentPath
    summary: str
    hint: str | None = None
    on_key: bool = False


def path_text(path: DocumentPath) -> str:
    """``authentication.keys[0].secret``, as a person would name the place; ``""`` for the whole document."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quote(part)}]"
    return text


def quote(value: object) -> str:
    """A value as JSON, on one line, cut after 60 characters, nothing in it that a terminal would obey."""
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + "…" + ('"' if text.startswith('"') else "")


# Careful steps into a document that may have any shape: the schema says what is wrong with it, checks go on.
def value_at(document: Any, *path: str | int) -> Any:
    """What stands at a path, or None."""
    for part in path:
        if isinstance(document, Mapping) and isinstance(part, str):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return document


def text_at(document: Any, *path: str | int) -> str | None:
    """The string at a path; None for everything else."""
    value = value_at(document, *path)
    return value if isinstance(value, str) else None


def mapping_at(document: Any, *path: str | int) -> Mapping[str, Any]:
    """The mapping at a path; an empty one for everything else."""
    value = value_at(document, *path)
    return value if isinstance(value, Mapping) else {}


def list_at(document: Any, *path: str | int) -> list[Any]:
    """The list at a path; an empty one for everything else."""
    value = value_at(document, *path)
    return value if isinstance(value, list) else []


def address_of(document: Any) -> tuple[str, str] | None:
    """Organization and sandbox name, where both are written as strings."""
    organization = text_at(document, "organization")
    sandbox = text_at(document, "sandbox") or text_at(document, "sandbox", "name")
    return (organization, sandbox) if organization and sandbox else None


def secret_references(document: Any) -> list[tuple[DocumentPath, Mapping[str, Any]]]:
    """Every place of a document where a secret reference stands, and what stands there."""
    found: list[tuple[DocumentPath, Any]] = [
        (("headers", name), value) for name, value in mapping_at(document, "headers").items()
    ]
    for index, _ in enumerate(list_at(document, "authentication", "keys")):
        for part in ("secret", "passphrase"):
            path: DocumentPath = ("authentication", "keys", index, part)
            found.append((path, value_at(document, *path)))
    for index, _ in enumerate(list_at(document, "signature", "keys")):
        path = ("signature", "keys", index, "secret")
        found.append((path, value_at(document, *path)))
    for name in ("clientCertificate", "clientKey"):
        found.append((("delivery", "tls", name), value_at(document, "delivery", "tls", name)))
    return [(path, value) for path, value in found if isinstance(value, Mapping)]
