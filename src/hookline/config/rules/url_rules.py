"""The rules for the URL: it is https, names its host, contains no secret, and is sent as it is written.

URL: RFC 3986; hosts: RFC 1123 §2.1, RFC 5890.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

from hookline.config import error_codes
from hookline.config.document_access import RuleFinding, finding_at, mapping_at, quote, text_at
from hookline.config.secret_names import SECRET_FORM, holds_secret_form, looks_secret_parameter

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?"
)
_INVALID_IN_URL = re.compile(r"[^!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]|%(?![0-9A-Fa-f]{2})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
# The host parser of the URL standard reads a host that ends in a number as an IPv4 address, in any spelling
# (0x7f000001, 2130706433, 017700000001, 127.1): https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
MAX_HOST_CHARACTERS = 253


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
    yield from _check_path(parts["authority"].rpartition("@")[2].lower() + parts["path"])
    yield from _check_query(parts["query"] or "", mapping_at(document, "query"))
    yield from _check_authority(parts["authority"])


def query_names(query: str) -> list[str]:
    """The names of the parameters in a URL's query, decoded. Some servers separate them by semicolons, too."""
    return [name for part in query.split(";") for name, _ in parse_qsl(part, keep_blank_values=True)]


def _check_query(query: str, added: Any) -> Iterator[RuleFinding]:
    if not query:
        return
    secret = False
    for name in query_names(query):
        if looks_secret_parameter(name):
            secret = True
            summary = f"query parameter {quote(name)} looks like a secret"
            yield _in_url(error_codes.URL_SECRET, summary, _as_parameter_hint(name))
    if not secret and holds_secret_form(unquote(query)):
        yield _in_url(error_codes.URL_SECRET, "the query contains a secret", _as_parameter_hint("NAME"))
    for name in dict.fromkeys(query_names(query)):
        if name in added:
            problem = f"query parameter {quote(name)} is also in query:"
            yield _in_url(error_codes.QUERY_REPEATED, problem, "keep one of the two")


def _check_path(path: str) -> Iterator[RuleFinding]:
    """`path` begins with the host, because the paths of some hosts are secrets."""
    segments = [unquote(segment) for segment in path.split("/")[1:]]
    if not {".", ".."}.isdisjoint(segments):
        hint = "write the path that is meant: clients and servers remove such segments, each in its own way"
        yield _in_url(error_codes.URL_DOT_SEGMENT, "the path contains a segment . or ..", hint)
    named = [part.partition("=") for segment in segments for part in segment.split(";")]
    for name, equals, _ in named:
        if equals and looks_secret_parameter(name):
            summary = f"path parameter {quote(name)} looks like a secret"
            yield _in_url(error_codes.URL_SECRET, summary, _as_parameter_hint(name))
            return
    if holds_secret_form(unquote(path)):
        yield _in_url(error_codes.URL_SECRET, "the path contains a secret", _as_parameter_hint("NAME"))


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


def _as_parameter_hint(name: str) -> str:
    """Names of other forms are not repeated, because they can be anything."""
    plain = name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,30}", name) and not holds_secret_form(name) else "NAME"
    reference = f"{{{plain}: {{env: HOOKLINE_SECRET_…}}}}"
    return f"send it as a header, or if the endpoint wants it in the query: query: {reference}; replace a real secret"


def _check_host(host: str) -> Iterator[RuleFinding]:
    name = host.removesuffix(".")
    labels = name.split(".")
    if not name:
        yield _in_url(error_codes.NOT_A_URL, "has no host", "write https://host/path")
    elif "[" in name or "]" in name or _NUMBER.fullmatch(labels[-1]):
        hint = "write the host's name: certificates are issued for names, and an address can change its owner"
        yield _in_url(error_codes.IP_LITERAL, f"host {quote(host)} is an IP address", hint)
    elif not name.isascii():
        encoded, reason = _encoded(name)
        summary = f"host {quote(host)} is not ASCII" + (
            f", and no request can be sent to it: {reason}" if reason else ""
        )
        hint = (
            f"write its encoded form: {encoded}" if encoded else "write a name that is registered, or its ASCII alias"
        )
        yield _in_url(error_codes.URL_HOST, summary, hint)
    elif len(name) > MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        hint = "use letters, digits and hyphens, at most 63 between two dots"
        yield _in_url(error_codes.URL_HOST, f"{quote(host)} is not a host name", hint)
    elif problem := next(filter(None, map(_encoding_problem, labels)), None):
        hint = "copy the encoded name from the domain's registration; the relay sends to names of IDNA 2008 only"
        yield _in_url(error_codes.URL_HOST, f"no request can be sent to host {quote(host)}: {problem}", hint)


def _encoded(name: str) -> tuple[str, str]:
    """The encoded form of an international name, or the reason why IDNA 2008 has none (emoji, mixed directions).

    Only the encoded form is accepted because a reviewer cannot distinguish letters that look alike.
    """
    import idna  # noqa: PLC0415 - its tables are large, and few files have such a host

    try:
        return idna.encode(name, uts46=True).decode("ascii"), ""
    except (UnicodeError, ValueError, IndexError) as error:
        return "", str(error)


def _encoding_problem(label: str) -> str | None:
    """The reason why a label that begins with ``xn--`` is no name of IDNA 2008."""
    if not label.lower().startswith("xn--"):
        return None
    import idna  # noqa: PLC0415

    try:
        idna.decode(label)
    except (UnicodeError, ValueError, IndexError) as error:
        return f"{quote(label)} is not an encoded name: {error}"
    return None


def _in_url(code: str, message: str, hint: str) -> RuleFinding:
    return finding_at(("url",), code, message, hint)


def _without_secrets(url: str) -> str:
    """The URL without user name, password and query, which may be secret, and without secrets in its path."""
    path = re.sub(r"//[^/?#]*@", "//…@", url.partition("?")[0]).partition(";")[0]
    shown = SECRET_FORM.sub("…", path)
    return quote(shown if not holds_secret_form(unquote(shown)) else "…")
