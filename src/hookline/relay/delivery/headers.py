"""The headers of an attempt: what may stand in one, and which are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeGuard

from hookline import __version__
from hookline.errors import SecretUnavailable
from hookline.model import SecretRef, Webhook
from hookline.relay.delivery.port import Attempt
from hookline.relay.secrets import SecretResolver, without_newline

Header = tuple[bytes, bytes]

# RFC 9110 §5.5: visible characters (Latin-1 as sent), spaces and tabs only between them.
_VALUE = re.compile(rb"(?:[\x21-\x7e\xa0-\xff](?:[\x20-\x7e\xa0-\xff\t]*[\x21-\x7e\xa0-\xff])?)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_EVENT_TIME = re.compile(r"[\x21-\x7e]{1,64}")


class UnfitHeader(ValueError):
    """A header cannot be sent as it is: it would be read as several, or as none."""


def fixed_headers(webhook: Webhook, resolver: SecretResolver) -> list[Header]:
    """The headers that are the same in every attempt: hookline's own, and the webhook's with secrets resolved.

    Raises SecretUnavailable when a reference cannot be resolved, or a value cannot stand in a header.
    """
    organization = webhook.address.organization
    headers = [(b"content-type", b"application/json"), (b"user-agent", f"hookline/{__version__}".encode())]
    for name, value in webhook.headers:
        headers.append((name.encode("ascii"), _value(name, value, resolver, organization)))
    return headers


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


def _value(name: str, value: str | SecretRef, resolver: SecretResolver, organization: str) -> bytes:
    if isinstance(value, str):
        raw, origin = value.encode("utf-8"), "its value"
    else:
        raw, origin = without_newline(resolver.resolve(value, organization).reveal()), f"secret {value}"
    try:
        encoded = raw.decode("utf-8").encode("latin-1")
    except UnicodeError:
        encoded = b"\n"
    if _VALUE.fullmatch(encoded) is None:
        raise SecretUnavailable(
            f"header {name}: {origin} cannot be sent: it holds a line end, another control character, a character"
            " beyond Latin-1, or a space at its beginning or end",
            hint="store the bare value, on one line",
        )
    return encoded
