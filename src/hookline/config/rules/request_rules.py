"""The rules for the request to an endpoint: its URL and its header parameters.

The URL must be https, name its host and contain no secret (RFC 3986; hosts: RFC 1123 §2.1, RFC 5890). Headers: names
RFC 9110 §5.6.2, values §5.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

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
from hookline.config.secret_names import looks_like_secret_value, looks_secret

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?"
)
_INVALID_IN_URL = re.compile(r"[^!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]|%(?![0-9A-Fa-f]{2})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
# The host parser of the URL standard reads a host that ends in a number as an IPv4 address, in any spelling
# (0x7f000001, 2130706433, 017700000001, 127.1): https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
# The two editions of IDNA encode these characters differently (RFC 5891 §2.3.1 does not map them).
_DEVIATIONS = frozenset("ßς\u200c\u200d")
_MAX_HOST_CHARACTERS = 253

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_UNSENDABLE = re.compile(r"[^\x20-\x7e\t]")
_RESERVED = frozenset(
    [
        *("host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive"),
        *("te", "trailer", "upgrade"),
    ]
)
_RESERVED_PREFIXES = ("proxy-", "webhook-", "hookline-")


def check_url(document: Any) -> Iterator[RuleFinding]:
    url = text_at(document, "url")
    if not url:
        return
    parts = _URL.fullmatch(url)
    if parts is None:
        message = f"must be an https URL, found {_without_secrets(url)}"
        yield _in_url(error_codes.NOT_A_URL, message, "write https://host/path")
        return
    if parts["scheme"].lower() != "https":
        hint = "write https://; feedback contains personal data and must be encrypted"
        yield _in_url(error_codes.NOT_HTTPS, f"must be an https URL, found {_without_secrets(url)}", hint)
    rest = url[len(parts["scheme"]) + 3 + len(parts["authority"]) :]
    if invalid := _INVALID_IN_URL.search(rest):
        hint = "percent-encode it; a space is %20"
        yield _in_url(error_codes.NOT_A_URL, f"{quote(invalid[0])} is not allowed in a URL", hint)
    if parts["fragment"] is not None:
        yield _in_url(error_codes.URL_FRAGMENT, "contains a fragment (#…), which is never sent", "remove it")
    for name, _ in parse_qsl(parts["query"] or "", keep_blank_values=True):
        if looks_secret(name):
            summary = f"query parameter {quote(name)} looks like a secret"
            yield _in_url(error_codes.URL_SECRET, summary, _as_header_hint("X-Api-Key"))
    yield from _check_authority(parts["authority"])


def _check_authority(authority: str) -> Iterator[RuleFinding]:
    user, at, location = authority.rpartition("@")
    if at:
        summary = "contains a user name or password" if user else "contains an @ before the host"
        yield _in_url(error_codes.URL_CREDENTIALS, summary, _as_header_hint("Authorization"))
    host, colon, port = (location, "", "") if location.endswith("]") else location.rpartition(":")
    if not colon:
        host, port = location, ""
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        hint = "write a port from 1 to 65535, or remove it; the default is 443"
        yield _in_url(error_codes.URL_PORT, f"port {quote(port)} is not a number from 1 to 65535", hint)
    yield from _check_host(host)


def _as_header_hint(name: str) -> str:
    return f"send it as a header: headers: {{{name}: {{env: HOOKLINE_SECRET_…}}}}; replace the secret if it is real"


def _check_host(host: str) -> Iterator[RuleFinding]:
    name = host.removesuffix(".")
    labels = name.split(".")
    if not name:
        yield _in_url(error_codes.NOT_A_URL, "has no host", "write https://host/path")
    elif "[" in name or "]" in name or _NUMBER.fullmatch(labels[-1]):
        hint = "write the host's name: certificates are issued for names, and an address can change its owner"
        yield _in_url(error_codes.IP_LITERAL, f"host {quote(host)} is an IP address", hint)
    elif not name.isascii():
        yield _in_url(error_codes.URL_HOST, f"host {quote(host)} is not ASCII", _a_label_hint(name))
    elif len(name) > _MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        hint = "use letters, digits and hyphens, at most 63 between two dots"
        yield _in_url(error_codes.URL_HOST, f"{quote(host)} is not a host name", hint)


def _a_label_hint(name: str) -> str:
    """Only the encoded form is accepted because a reviewer cannot distinguish letters that look alike."""
    try:
        encoded = "" if _DEVIATIONS & set(name) else name.encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    return f"write its encoded form: {encoded or 'xn--…'}"


def _in_url(code: str, message: str, hint: str) -> RuleFinding:
    return finding_at(("url",), code, message, hint)


def _without_secrets(url: str) -> str:
    """The URL without user name, password and query, which may be secret."""
    return quote(re.sub(r"//[^/?#]*@", "//…@", url.partition("?")[0]))


def check_headers(document: Any) -> Iterator[RuleFinding]:
    """Checks `headers` and `authentication.header`."""
    jwt = value_at(document, "authentication", "type") == "jwt"
    jwt_header = text_at(document, "authentication", "header")
    if jwt and jwt_header is not None:
        yield from _check_name(("authentication", "header"), jwt_header, on_key=False)
    first_spellings: dict[str, str] = {}
    for name, value in mapping_at(document, "headers").items():
        path = ("headers", name)
        yield from _check_name(path, name, on_key=True)
        if (first := first_spellings.setdefault(name.lower(), name)) != name:
            hint = "keep one of the two; header names ignore upper and lower case"
            yield finding_at(
                path, error_codes.HEADER_REPEATED, f"is the same header as {quote(first)}", hint, on_key=True
            )
        if jwt and name.lower() == (jwt_header or "authorization").lower():
            hint = "remove it here, or send the JWT in another header: authentication: {header: …}"
            yield finding_at(path, error_codes.HEADER_OF_JWT, "this header carries the JWT", hint, on_key=True)
        if isinstance(value, str):
            yield from _check_literal(path, name, value)


def _check_name(path: DocumentPath, name: str, *, on_key: bool) -> Iterator[RuleFinding]:
    if not _TOKEN.fullmatch(name):
        code, problem = error_codes.HEADER_NAME, "is not a header name"
        hint = "use letters, digits and hyphens, as in X-Team"
    elif name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
        code, problem = error_codes.HEADER_RESERVED, "is reserved"
        hint = "choose another name: HTTP or hookline sets this header in every request"
    else:
        return
    yield finding_at(path, code, f"{quote(name)} {problem}", hint, on_key=on_key)


def _check_literal(path: DocumentPath, name: str, value: str) -> Iterator[RuleFinding]:
    secret = looks_secret(name) or looks_like_secret_value(value)
    if secret:
        hint = f"write {name}: {{env: HOOKLINE_SECRET_…}} or {{file: …}}; replace the secret if it is real"
        yield finding_at(path, error_codes.HEADER_SECRET, "the value looks like a secret", hint, on_key=True)
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
