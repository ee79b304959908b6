"""The rules for the header and query parameters of a request.

Headers: names RFC 9110 §5.6.2, values §5.5. Query parameters: any text, which the relay percent-encodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import (
    DocumentPath,
    RuleFinding,
    finding_at,
    mapping_at,
    quote,
    text_at,
    value_at,
)
from hookline.config.secret_names import (
    holds_secret_form,
    looks_like_secret_value,
    looks_secret,
    looks_secret_parameter,
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_UNSENDABLE = re.compile(r"[^\x20-\x7e\t]")
_UNSENDABLE_IN_QUERY = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# HTTP's own headers, those that change the meaning of body and connection, and those that hookline sets.
_RESERVED = frozenset(
    [
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "accept-encoding"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "expect", "date", "cookie", "user-agent"),
    ]
)
_RESERVED_PREFIXES = ("proxy-", "webhook-", "hookline-")


def check_headers(document: Any) -> Iterator[RuleFinding]:
    """Checks `headers` and `authentication.header`."""
    jwt = value_at(document, "authentication", "type") == "jwt"
    jwt_header = text_at(document, "authentication", "header")
    if jwt and jwt_header is not None:
        yield from _check_name(("authentication", "header"), jwt_header, on_key=False)
    first_spellings: dict[str, str] = {}
    token_header = _as_servers_read(jwt_header or "authorization") if jwt else None
    for name, value in mapping_at(document, "headers").items():
        path = ("headers", name)
        yield from _check_name(path, name, on_key=True)
        if (first := first_spellings.setdefault(_as_servers_read(name), name)) != name:
            hint = "keep one of the two; header names ignore upper and lower case, and many servers read _ as -"
            yield finding_at(
                path, error_codes.HEADER_REPEATED, f"is the same header as {quote(first)}", hint, on_key=True
            )
        if _as_servers_read(name) == token_header:
            hint = "remove it here, or send the JWT in another header: authentication: {header: …}"
            yield finding_at(path, error_codes.HEADER_OF_JWT, "this header carries the JWT", hint, on_key=True)
        if isinstance(value, str):
            yield from _check_literal(path, name, value)


def _as_servers_read(name: str) -> str:
    """The name as a server may read it: in lower case, and with - for _, which CGI and WSGI do not distinguish."""
    return name.lower().replace("_", "-")


def _check_name(path: DocumentPath, name: str, *, on_key: bool) -> Iterator[RuleFinding]:
    if not _TOKEN.fullmatch(name):
        code, problem = error_codes.HEADER_NAME, "is not a header name"
        hint = "use letters, digits and hyphens, as in X-Team"
    elif (read := _as_servers_read(name)) in _RESERVED or read.startswith(_RESERVED_PREFIXES):
        code, problem = error_codes.HEADER_RESERVED, "is reserved"
        hint = "choose another name: HTTP or hookline sets this header in every request"
    else:
        return
    yield finding_at(path, code, f"{quote(name)} {problem}", hint, on_key=on_key)


def _check_literal(path: DocumentPath, name: str, value: str) -> Iterator[RuleFinding]:
    secret = looks_secret(name) or looks_like_secret_value(value)
    if secret:
        yield finding_at(path, error_codes.HEADER_SECRET, _LITERAL, _reference_hint(name), on_key=True)
    if _VALUE.fullmatch(value) is None:
        problem, hint = _value_problem(value)
        # If the value may be secret, the caret points to the key.
        yield finding_at(path, error_codes.HEADER_VALUE, problem, hint, on_key=secret)


def _value_problem(value: str) -> tuple[str, str]:
    """The problem of a value that cannot be sent, and a hint."""
    if invalid := _UNSENDABLE.search(value):
        char = invalid[0]
        name = {"\r": "a carriage return", "\n": "a line break", "\0": "a NUL"}.get(char, f"U+{ord(char):04X}")
        hint = "write one line of ASCII; a line break could add another header"
        return f"the value contains {name}, which cannot be sent", hint
    if not value:
        return "the value is empty", "write a value, or remove the header"
    return "the value begins or ends with a space", "remove the space; receivers drop it"


def check_query(document: Any) -> Iterator[RuleFinding]:
    """Checks `query`: names and literal values. `url_rules.check_url` compares it with the URL's own query."""
    for name, value in mapping_at(document, "query").items():
        path = ("query", name)
        if not name:
            problem, hint = "the name of a parameter is empty", "write a name, as in tenant"
            yield finding_at(path, error_codes.QUERY_VALUE, problem, hint, on_key=True)
        if holds_secret_form(name):
            hint = "write a name, and the secret as a reference: {env: HOOKLINE_SECRET_…} or {file: …}"
            yield finding_at(("query",), error_codes.HEADER_SECRET, "the name of a parameter is a secret", hint)
        if not isinstance(value, str):
            continue
        secret = looks_secret_parameter(name) or looks_like_secret_value(value)
        if secret:
            yield finding_at(path, error_codes.HEADER_SECRET, _LITERAL, _reference_hint(name), on_key=True)
        if invalid := _UNSENDABLE_IN_QUERY.search(value):
            problem = f"the value contains U+{ord(invalid[0]):04X}, which cannot be sent"
            yield finding_at(path, error_codes.QUERY_VALUE, problem, "write one line of text", on_key=secret)


_LITERAL = "the value looks like a secret"


def _reference_hint(name: str) -> str:
    return f"write {name}: {{env: HOOKLINE_SECRET_…}} or {{file: …}}; replace the secret if it is real"
