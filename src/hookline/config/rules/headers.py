"""What a header parameter may be (names RFC 9110 §5.6.2, values §5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import DocumentPath, RuleFinding, mapping_at, path_text, quote, text_at, value_at
from hookline.config.secret_names import looks_like_secret_value, looks_secret

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_NOT_SENDABLE = re.compile(r"[^\x20-\x7e\t]")
_RESERVED = frozenset(
    [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
    ]
)
_RESERVED_PREFIXES = ("proxy-", "webhook-", "hookline-")


def check(document: Any) -> Iterator[RuleFinding]:
    """Findings about `headers` and `authentication.header`."""
    jwt = value_at(document, "authentication", "type") == "jwt"
    jwt_header = (text_at(document, "authentication", "header") or "authorization").lower() if jwt else None
    if jwt and text_at(document, "authentication", "header") is not None:
        yield from _check_name(
            ("authentication", "header"), text_at(document, "authentication", "header") or "", on_key=False
        )
    seen: dict[str, str] = {}
    for name, value in mapping_at(document, "headers").items():
        path = ("headers", name)
        yield from _check_name(path, name, on_key=True)
        if (first := seen.setdefault(name.lower(), name)) != name:
            hint = "header names are the same in upper and lower case: keep one of the two"
            yield _on_key(error_codes.HEADER_REPEATED, path, f"the same header as {quote(first)}", hint)
        if name.lower() == jwt_header:
            hint = "remove it here, or send the JWT in another one: authentication: {header: …}"
            yield _on_key(error_codes.HEADER_OF_JWT, path, "this header carries the JWT", hint)
        if isinstance(value, str):
            yield from _check_literal(path, name, value)


def _check_name(path: DocumentPath, name: str, *, on_key: bool) -> Iterator[RuleFinding]:
    where = path_text(path)
    if not _TOKEN.fullmatch(name):
        hint = "letters, digits and hyphens, as in X-Team"
        summary = f"{where}: {quote(name)} is not a header name"
        yield RuleFinding(code=error_codes.HEADER_NAME, path=path, summary=summary, hint=hint, on_key=on_key)
    elif name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
        hint = "choose another name: this one is set by HTTP or by hookline in every request"
        summary = f"{where}: {quote(name)} is reserved"
        yield RuleFinding(code=error_codes.HEADER_RESERVED, path=path, summary=summary, hint=hint, on_key=on_key)


def _check_literal(path: DocumentPath, name: str, value: str) -> Iterator[RuleFinding]:
    secret = looks_secret(name) or looks_like_secret_value(value)
    if secret:
        hint = f"write {name}: {{env: HOOKLINE_SECRET_…}} or {{file: …}}; renew the secret if it is a real one"
        yield _on_key(error_codes.HEADER_SECRET, path, "looks like a secret written into the file", hint)
    if _VALUE.fullmatch(value) is None:
        # A caret under the key: the value itself may be secret, and its line is shown.
        yield RuleFinding(code=error_codes.HEADER_VALUE, path=path, on_key=secret, **_about_value(path, value))


def _about_value(path: DocumentPath, value: str) -> Mapping[str, str]:
    where = path_text(path)
    if wrong := _NOT_SENDABLE.search(value):
        char = wrong[0]
        name = {"\r": "a carriage return", "\n": "a line break", "\0": "a NUL"}.get(char, f"U+{ord(char):04X}")
        hint = "a header value is one line of ASCII; with a line break in it another header could be smuggled in"
        return {"summary": f"{where}: the value holds {name}, which cannot be sent", "hint": hint}
    if not value:
        return {"summary": f"{where}: the value is empty", "hint": "write a value, or remove the header"}
    return {
        "summary": f"{where}: the value begins or ends with a space",
        "hint": "remove the space: receivers cut it off",
    }


def _on_key(code: str, path: DocumentPath, message: str, hint: str) -> RuleFinding:
    return RuleFinding(code=code, path=path, summary=f"{path_text(path)}: {message}", hint=hint, on_key=True)
