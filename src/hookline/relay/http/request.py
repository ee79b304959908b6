"""The headers of an attempt: what may stand in one, and which are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeGuard

import httpx
import msgspec

from hookline.errors import HooklineError
from hookline.relay.http.exchange import Attempt

Header = tuple[bytes, bytes]

# RFC 9110 §5.5: visible characters (Latin-1 as sent), spaces and tabs only between them.
_VALUE = re.compile(rb"(?:[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff\t]*[\x21-\x7e\xa0-\xff])?)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_EVENT_TIME = re.compile(r"[\x21-\x7e]{1,64}")


class UnfitHeader(ValueError):
    """A header cannot be sent as it is: it would be read as several, or as none."""


def attempt_headers(attempt: Attempt, signature: str = "") -> list[Header]:
    """The headers that tell one attempt from another. An event time that cannot stand in a header is left out.

    `signature` is the value of ``webhook-signature``; empty: there is none.
    """
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
    """The same headers with the body's length, as they are sent, with the empty line behind them."""
    time = attempt.event_time
    when = f"hookline-event-time: {time}\r\n" if _sendable(time) else ""
    signed = f"webhook-signature: {signature}\r\n" if signature else ""
    return (
        f"webhook-id: {attempt.id.hex()}\r\nwebhook-timestamp: {int(attempt.at)}\r\n"
        f"hookline-attempt: {attempt.number}\r\n{when}{signed}content-length: {len(attempt.body)}\r\n\r\n"
    ).encode("ascii")


def request_lines(target: bytes, netloc: bytes, headers: Iterable[Header]) -> bytes:
    """How a request begins: its line, the host, and headers; more lines may follow. Raises UnfitHeader."""
    lines = [b"POST %b HTTP/1.1\r\nhost: %b\r\n" % (target, netloc)]
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UnfitHeader(f"header {name.decode('latin-1')!r:.60} is malformed")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def _sendable(event_time: str | None) -> TypeGuard[str]:
    return event_time is not None and _EVENT_TIME.fullmatch(event_time) is not None


# A webhook's URL, taken apart for a connection.
_HINT: Final = "correct url in the webhook file and apply it"


class Target(msgspec.Struct, frozen=True):
    """`host` in ASCII, as it is resolved, perhaps with a dot at its end; see `server_name`.

    `netloc` is for the header ``host``; `path` is with the query.
    """

    url: str
    host: str
    port: int
    netloc: bytes
    path: bytes


def server_name(host: str) -> str:
    """What TLS calls `host`, and its certificate too: never with the dot that makes a name absolute (RFC 6066 §3)."""
    return host.removesuffix(".")


def parse_target(url: str) -> Target:
    """Raises HooklineError for what is no https URL: only a state that was edited by hand can hold one."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise HooklineError(f"not a URL: {error}", hint=_HINT) from error
    port = 443 if parsed.port is None else parsed.port
    if parsed.scheme != "https" or not parsed.host or not 0 < port < 65536:
        raise HooklineError(f"not an https URL: {url!r:.100}", hint=_HINT)
    return Target(
        url=str(parsed),
        host=parsed.raw_host.decode("ascii"),
        port=port,
        netloc=parsed.netloc,
        path=parsed.raw_path,
    )
