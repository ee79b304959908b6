"""Requests: the target of a webhook's URL, the headers of an attempt, and the syntax that headers must have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeGuard

import msgspec

from hookline.errors import HooklineError
from hookline.relay.http.exchange import Attempt

Header = tuple[bytes, bytes]

# RFC 9110 §5.5: visible characters (Latin-1 as sent), spaces and tabs only between them.
SENDABLE_VALUE = re.compile(rb"(?:[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff\t]*[\x21-\x7e\xa0-\xff])?)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_EVENT_TIME = re.compile(r"[\x21-\x7e]{1,64}")


class UnfitHeader(ValueError):
    """A header cannot be sent. The endpoint would read several headers, or none."""


def attempt_headers(attempt: Attempt, signature: str = "") -> list[Header]:
    """The headers that differ between attempts, without an empty `signature` or a time that cannot be sent."""
    headers = [
        (b"webhook-id", attempt.id.hex().encode()),
        (b"webhook-timestamp", b"%d" % attempt.at),
        (b"hookline-attempt", b"%d" % attempt.number),
    ]
    if _sendable(attempt.event_time):
        headers.append((b"hookline-event-time", attempt.event_time.encode()))
    if signature:
        headers.append((b"webhook-signature", signature.encode("ascii")))
    return headers


def attempt_lines(attempt: Attempt, signature: str = "") -> bytes:
    """The same headers as bytes, with the body's length and the empty line at the end."""
    time = attempt.event_time
    when = f"hookline-event-time: {time}\r\n" if _sendable(time) else ""
    signed = f"webhook-signature: {signature}\r\n" if signature else ""
    return (
        f"webhook-id: {attempt.id.hex()}\r\nwebhook-timestamp: {int(attempt.at)}\r\n"
        f"hookline-attempt: {attempt.number}\r\n{when}{signed}content-length: {len(attempt.body)}\r\n\r\n"
    ).encode("ascii")


def request_lines(target: bytes, netloc: bytes, headers: Iterable[Header]) -> bytes:
    """The beginning of a request: its line, the host and `headers`. More lines may follow. Raises UnfitHeader."""
    lines = [b"POST %b HTTP/1.1\r\nhost: %b\r\n" % (target, netloc)]
    for name, value in headers:
        if not _NAME.fullmatch(name) or not SENDABLE_VALUE.fullmatch(value):
            raise UnfitHeader(f"header {name.decode('latin-1')!r:.60} is malformed")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def _sendable(event_time: str | None) -> TypeGuard[str]:
    return event_time is not None and _EVENT_TIME.fullmatch(event_time) is not None


# A URL that httpx would not change: a host in ASCII that is no IP address, and no dot before a path segment.
_PLAIN_URL: Final = re.compile(
    r"https://(?P<netloc>(?P<host>(?![0-9.]+[:/])[a-z0-9._-]+)(?::(?P<port>(?!443/)[1-9][0-9]{0,3}))?)"
    r"(?P<path>(?:/(?!\.)[A-Za-z0-9._~-]*)+(?P<query>\?[A-Za-z0-9._~=&-]*)?)"
)
_HINT: Final = "correct url in the webhook file and apply it"


class Target(msgspec.Struct, frozen=True):
    """A webhook's URL, split for a connection. `netloc` is the value of the header ``host``, `path` has the query.

    `url` is the URL of the webhook file. `path` may contain secrets, so it is not shown. `host` is in ASCII, as it is
    resolved, and may end with a dot; see `server_name`.
    """

    url: str
    host: str
    port: int
    netloc: bytes
    path: bytes

    def __repr__(self) -> str:
        return f"Target({self.url!r})"


def server_name(host: str) -> str:
    """The name of `host` in TLS and in its certificate, without the dot of an absolute name (RFC 6066 §3)."""
    return host.removesuffix(".")


def parse_target(url: str, query: bytes = b"") -> Target:
    """`query` has parameters that are added to the URL, percent-encoded.

    Raises HooklineError if `url` is not an https URL. Only a state that was edited by hand contains such a URL.
    """
    plain = _PLAIN_URL.fullmatch(url)
    if plain is None:
        return _parse_any(url, query)
    path = plain["path"].encode()
    return Target(
        url=url,
        host=plain["host"],
        port=int(plain["port"] or 443),
        netloc=plain["netloc"].encode(),
        path=_with_query(path, (plain["query"] or "")[1:].encode(), query),
    )


def _parse_any(url: str, query: bytes) -> Target:
    import httpx  # noqa: PLC0415 - loads rich and more, and few URLs need its rules

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise HooklineError(f"not a URL: {error}", hint=_HINT) from error
    port = 443 if parsed.port is None else parsed.port
    host = parsed.raw_host.decode("ascii")  # `host` would decode it, which fails for some names
    if parsed.scheme != "https" or not host or not 0 < port < 65536:
        raise HooklineError(f"not an https URL: {url!r:.100}", hint=_HINT)
    path = _with_query(parsed.raw_path, parsed.query, query)
    return Target(url=str(parsed), host=host, port=port, netloc=parsed.netloc, path=path)


def _with_query(path: bytes, own: bytes, query: bytes) -> bytes:
    """`path`, whose query is `own`, with the parameters of `query` behind it."""
    if not query:
        return path
    return path + (b"&" if own else b"" if path.endswith(b"?") else b"?") + query
