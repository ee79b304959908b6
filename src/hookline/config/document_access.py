"""Access to the values of a document that may have any shape, and findings that point to a value in it.

A finding has a path in the document. The position in the file is added later. The functions return None or an empty
collection if a value is missing or has another type, because the schema reports that and the other rules continue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hookline.config.secret_names import names_secret
from hookline.escaping import printable
from hookline.model import Address

DocumentPath = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MAX_QUOTED_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """A problem of a document. `path` leads to the value; if `on_key` is true, the key is wrong, not its value."""

    code: str
    path: DocumentPath
    summary: str
    hint: str | None = None
    on_key: bool = False


def finding_at(path: DocumentPath, code: str, problem: str, hint: str | None, *, on_key: bool = False) -> RuleFinding:
    """Returns a finding whose summary is the path and the problem.

    Args:
        path: leads to the value.
        code: the error code.
        problem: the summary without the path.
        hint: the next step.
        on_key: whether the key is wrong, not its value.
    """
    where = path_text(path)
    summary = f"{where}: {problem}" if where else problem
    return RuleFinding(code=code, path=path, summary=summary, hint=hint, on_key=on_key)


def path_text(path: DocumentPath) -> str:
    """Returns a path as in ``authentication.keys[0].secret``; ``""`` is the whole document."""
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
    """Returns a value as JSON on one line, cut after 60 characters, with unprintable characters escaped."""
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    if len(text) <= _MAX_QUOTED_CHARACTERS:
        return text
    return text[: _MAX_QUOTED_CHARACTERS - 2] + "…" + ('"' if text.startswith('"') else "")


# The errors of a file's YAML, and of a document's schema, after which the rest is not examined.
MAX_FINDINGS = 1000
# Mappings of the file's format with secrets in them. Written as a text or a list, they may hold the secrets.
SECRET_SECTIONS = frozenset(["authentication", "headers", "query", "signature"])


def below_secret_name(path: DocumentPath) -> bool:
    """Whether a value is under a key whose name looks secret, or in the place of a mapping with secrets."""
    if path[:1] and path[0] in SECRET_SECTIONS:
        if len(path) == 1 or not isinstance(path[1], str):
            return True
        path = path[1:]
    return any(isinstance(part, str) and part != "keys" and names_secret(part) for part in path)


def value_at(document: Any, *path: str | int) -> Any:
    return _follow(document, path)


def _follow(document: Any, path: DocumentPath) -> Any:
    for part in path:  # documents consist of dicts and lists; asking for a Mapping takes five times as long
        if type(document) is dict:
            document = document.get(part)
        elif type(document) is list and type(part) is int and part < len(document):
            document = document[part]
        else:
            return None
    return document


def text_at(document: Any, *path: str | int) -> str | None:
    value = _follow(document, path)
    return value if isinstance(value, str) else None


def mapping_at(document: Any, *path: str | int) -> Mapping[str, Any]:
    value = _follow(document, path)
    return value if type(value) is dict else {}


def list_at(document: Any, *path: str | int) -> list[Any]:
    value = _follow(document, path)
    return value if type(value) is list else []


def address_of(document: Any) -> Address | None:
    """Returns the organization and the sandbox name if both are strings."""
    organization = text_at(document, "organization")
    sandbox = text_at(document, "sandbox") or text_at(document, "sandbox", "name")
    return Address(organization, sandbox) if organization and sandbox else None


def secret_references(document: Any) -> Iterator[tuple[DocumentPath, Mapping[str, Any]]]:
    """Yields every secret reference of a document with its path."""
    for part in ("headers", "query"):
        for name, value in mapping_at(document, part).items():
            if type(value) is dict:
                yield (part, name), value
    for section, names in (("authentication", ("secret", "passphrase")), ("signature", ("secret",))):
        for index, key in enumerate(list_at(document, section, "keys")):
            for name in names:
                if value := mapping_at(key, name):
                    yield (section, "keys", index, name), value
    for name in ("clientCertificate", "clientKey"):
        if value := mapping_at(document, "delivery", "tls", name):
            yield ("delivery", "tls", name), value
