"""What a URL may be: https, a host by name, and nothing secret in it (RFC 3986; hosts RFC 1123 §2.1, RFC 5890)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from hookline.config import error_codes
from hookline.config.document_access import RuleFinding, quote, text_at
from hookline.config.secret_names import looks_secret

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?"
)
_NOT_IN_A_URL = re.compile(r"[^!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]|%(?![0-9A-Fa-f]{2})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
# The URL standard ends its host parser with "ends in a number": such a host is an IPv4 address, however it is
# written (0x7f000001, 2130706433, 017700000001, 127.1): https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
# Characters that the two editions of IDNA encode differently (RFC 5891 §2.3.1 does not map them).
_DEVIATIONS = frozenset("ßς\u200c\u200d")
_LONGEST_HOST = 253


def check(document: Any) -> Iterator[RuleFinding]:
    """Findings about `url`."""
    url = text_at(document, "url")
    if not url:
        return
    found = _URL.fullmatch(url)
    if found is None:
        yield _finding(error_codes.NOT_A_URL, f"must be an https URL, found {_safe(url)}", "write https://host/path")
        return
    if found["scheme"].lower() != "https":
        hint = "feedback holds personal data and is only sent encrypted: write https://"
        yield _finding(error_codes.NOT_HTTPS, f"must be an https URL, found {_safe(url)}", hint)
    rest = url[len(found["scheme"]) + 3 + len(found["authority"]) :]
    if wrong := _NOT_IN_A_URL.search(rest):
        hint = "percent-encode it, as %20 for a space"
        yield _finding(error_codes.NOT_A_URL, f"{quote(wrong[0])} cannot stand in a URL", hint)
    if found["fragment"] is not None:
        yield _finding(error_codes.URL_FRAGMENT, "a fragment (#…) is never sent", "remove it")
    yield from _check_query(found["query"] or "")
    yield from _check_authority(found["authority"])


def _check_query(query: str) -> Iterator[RuleFinding]:
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if looks_secret(name):
            summary = f"query parameter {quote(name)} looks like a secret written into the file"
            hint = (
                "send it as a header instead: headers: {X-Api-Key: {env: HOOKLINE_SECRET_…}}; renew it if it is real"
            )
            yield _finding(error_codes.URL_SECRET, summary, hint)


def _check_authority(authority: str) -> Iterator[RuleFinding]:
    user, at, place = authority.rpartition("@")
    if at:
        hint = (
            "send it as a header instead: headers: {Authorization: {env: HOOKLINE_SECRET_…}}; renew it if it is real"
        )
        summary = "a user name or password stands in the URL" if user else "a stray @ stands before the host"
        yield _finding(error_codes.URL_CREDENTIALS, summary, hint)
    host, colon, port = (place, "", "") if place.endswith("]") else place.rpartition(":")
    if not colon:
        host, port = place, ""
    if colon and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        yield _finding(
            error_codes.URL_PORT, f"port {quote(port)} is not a number from 1 to 65535", "443 is the default"
        )
    yield from _check_host(host)


def _check_host(host: str) -> Iterator[RuleFinding]:
    name = host.removesuffix(".")
    labels = name.split(".")
    if not name:
        yield _finding(error_codes.NOT_A_URL, "the URL names no host", "write https://host/path")
    elif "[" in name or "]" in name or _NUMBER.fullmatch(labels[-1]):
        hint = "write the host's name: its certificate is issued for it, and an address can be another's tomorrow"
        yield _finding(error_codes.IP_LITERAL, f"{quote(host)} is an IP address", hint)
    elif not name.isascii():
        yield _finding(error_codes.URL_HOST, f"host {quote(host)} is not written in ASCII", _a_label_hint(name))
    elif len(name) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        hint = "letters, digits and hyphens, at most 63 between two dots"
        yield _finding(error_codes.URL_HOST, f"{quote(host)} is not a host name", hint)


def _a_label_hint(name: str) -> str:
    """Look-alike letters cannot be told apart in a review, so only the encoded form is taken."""
    try:
        encoded = "" if _DEVIATIONS & set(name) else name.encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    return f"write its encoded form: {encoded or 'xn--…'}"


def _finding(code: str, message: str, hint: str) -> RuleFinding:
    return RuleFinding(code=code, path=("url",), summary=f"url: {message}", hint=hint)


def _safe(url: str) -> str:
    """The URL without user name, password and query: they may be secret."""
    return quote(re.sub(r"//[^/?#]*@", "//…@", url.partition("?")[0]))
