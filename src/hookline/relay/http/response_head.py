"""The head of an HTTP/1.1 response (RFC 9112): whether it is valid, and how it frames the body.

The parser is lenient about the status and strict about reuse of the connection. A head that two parsers could read
differently (line ends without CR, folded lines, a space before a colon, lines that are no headers, a length beside a
coding) still has a clear status, and that is the outcome. Its end is uncertain, so the connection is closed: bytes
after it could be mistaken for the next response. The parser refuses only bytes that are no head, and a head with
contradictory lengths (RFC 9112 §6.3: "MUST discard the received response").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

import msgspec

from hookline.relay.http.exchange import Response

MAX_HEADER_LINES: Final = 256

# All quantifiers are possessive, so no input of an endpoint makes these patterns backtrack.
_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9110 §5.5: CR, LF and NUL are dangerous in a value. Other control characters are merely unusual.
_FIELD = _NAME + rb":[^\x00\r\n]*+\r\n"
_FIELDS = rb"(?:" + _FIELD + rb")*+"
_STATUS_LINE = rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\x00\r\n]*+)?\r\n"
_HEAD = re.compile(_STATUS_LINE + _FIELDS + rb"\r\n")
_TRAILERS = re.compile(_FIELDS + rb"\r\n")
_BEGINNING: Final = b"HTTP/1."

# RFC 9112 §2.2 and §5.2: a line may end in LF alone; a line that begins with a space continues the one before it.
_LOOSE_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]++")
_LINE_END = re.compile(rb"\r?\n")
# RFC 9112 §5.1: parsers differ on a space before the colon; in a response it is to be removed.
_SPACE_BEFORE_COLON = re.compile(rb"(\r\n" + _NAME + rb")[ \t]++:")
# Lines that are no headers. The status line before them still gives the result of the request.
_HEAD_WITH_INVALID_LINES = re.compile(_STATUS_LINE + rb"(?:[^\x00\r\n]++\r\n)*+\r\n")
_VALID_LINE = re.compile(_FIELD)

_DIGITS = re.compile(rb"[0-9]+")
# RFC 9110 has whole seconds only; fractions are sent too.
_RETRY_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?", re.ASCII)
# About thirty years: longer than any intended delay, and still an ordinary number.
_MAX_RETRY_AFTER_SECONDS = 1e9


class NotHttp(Exception):
    """The bytes are not an HTTP/1.1 response. The message completes "no complete HTTP response: …"."""


class Framing(Enum):
    """How the end of a body is marked."""

    LENGTH = "content-length"
    CHUNKED = "chunked"
    UNKNOWN = "by the end of the connection, or in a way that is not trusted"


class Head(msgspec.Struct, frozen=True):
    """A parsed head.

    `length` is in bytes, for Framing.LENGTH. `keeps_alive`: the head permits further use of the connection. `block`
    is the normalized head: each line ends with CRLF, and lines that are no headers are left out.
    """

    status: int
    framing: Framing
    length: int
    keeps_alive: bool
    retry_after: bytes | None
    block: bytes

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Names and values, in order."""
        lines = (line.partition(b":") for line in self.block.split(b"\r\n")[1:-2])
        return [(name, value.strip(b" \t")) for name, _, value in lines]


def find_head_end(block: bytes | bytearray, start: int = 0) -> int:
    """The position after the first head in `block`, -1 if it is incomplete. The search begins at `start`."""
    found = _LOOSE_END.search(block, start)
    return -1 if found is None else found.end()


def begins_like_http(block: bytes | bytearray) -> bool:
    """Whether `block`, which may be short, can become a response. A mail server's greeting cannot."""
    return block.startswith(_BEGINNING) or _BEGINNING.startswith(block)


def find_trailers_end(block: bytes | bytearray, start: int) -> int | None:
    """The end of the trailers that begin at `start` (RFC 9112 §7.1.2), None if they are incomplete or invalid."""
    found = _TRAILERS.match(block, start)
    return None if found is None else found.end()


def parse_head(block: bytes) -> Head:
    """Parse a head, which includes the empty line at its end. Raises NotHttp."""
    if block.count(b"\n") > MAX_HEADER_LINES:
        raise NotHttp(f"a head of more than {MAX_HEADER_LINES} lines")
    found = _HEAD.fullmatch(block)
    strict = found is not None
    if found is None:
        block = _SPACE_BEFORE_COLON.sub(rb"\1:", _LINE_END.sub(b"\r\n", _FOLD.sub(b" ", block)))
        found = _HEAD.fullmatch(block)
    has_invalid_lines = found is None
    if found is None:
        found = _HEAD_WITH_INVALID_LINES.fullmatch(block)
        first, *lines = block.splitlines(keepends=True)
        block = b"".join([first, *filter(_VALID_LINE.fullmatch, lines), b"\r\n"])
    if found is None:
        raise NotHttp("a malformed head")
    status, lowered = int(found[2]), block.lower()
    lengths = _values(block, lowered, b"\r\ncontent-length:")
    codings = _values(lowered, lowered, b"\r\ntransfer-encoding:")
    length = _single_length(lengths)
    framing = _framing(status, None if has_invalid_lines else length, [] if has_invalid_lines else codings)
    keeps_alive = (
        strict
        and found[1] != b"0"
        and framing is not Framing.UNKNOWN
        and len(lengths) + len(codings) <= 1
        and not (_has_no_body(status) and (codings or length))
        and not any(b"close" in value for value in _values(lowered, lowered, b"\r\nconnection:"))
    )
    retry_after = _values(block, lowered, b"\r\nretry-after:")
    return Head(
        status=status,
        framing=framing,
        length=length if framing is Framing.LENGTH and length is not None and not _has_no_body(status) else 0,
        keeps_alive=keeps_alive,
        retry_after=retry_after[0] if retry_after else None,
        block=block,
    )


def _values(block: bytes, lowered: bytes, name: bytes) -> list[bytes]:
    """Each value of a header. `name` is in lower case, with the line end before it and its colon."""
    values = []
    at = lowered.find(name)
    while at >= 0:
        begin = at + len(name)
        end = block.index(b"\r\n", begin)
        values.append(block[begin:end].strip(b" \t"))
        at = lowered.find(name, end)
    return values


def _single_length(values: list[bytes]) -> int | None:
    """RFC 9112 §6.3: equal lengths count as one; different lengths are an error. Raises NotHttp."""
    if not values:
        return None
    each = {value.strip(b" \t") for joined in values for value in joined.split(b",")}
    value = each.pop()
    if each or not _DIGITS.fullmatch(value):
        raise NotHttp("a malformed or conflicting content-length")
    # Longer than any body that the relay reads, and still an ordinary number.
    return int(value) if len(value) < 19 else 10**18


def _framing(status: int, length: int | None, codings: list[bytes]) -> Framing:
    if _has_no_body(status):
        return Framing.LENGTH
    if codings:
        return Framing.CHUNKED if codings == [b"chunked"] else Framing.UNKNOWN
    return Framing.UNKNOWN if length is None else Framing.LENGTH


def _has_no_body(status: int) -> bool:
    """RFC 9112 §6.3: these statuses have no body, regardless of their headers."""
    return status < 200 or status in (204, 304)


def response_of(status: int, retry_after: bytes | None, clock: Callable[[], float]) -> Response:
    """The result of a complete head with this value of Retry-After. `clock` returns Unix time in seconds."""
    if retry_after is None or 200 <= status < 300:
        return Response(status)
    return Response(status, parse_retry_after(retry_after.decode("latin-1"), clock()))


def parse_retry_after(value: str, now: float) -> float | None:
    """The delay of a Retry-After header (RFC 9110 §10.2.3), in seconds from `now` (Unix time).

    It is 0 for a time in the past and for a negative number, and None if `value` is no number and no HTTP-date.
    """
    text = value.strip()
    if _RETRY_SECONDS.fullmatch(text):
        return min(max(0.0, float(text)), _MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        # An HTTP-date is always in GMT; the obsolete asctime form has no time zone.
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, at - now), _MAX_RETRY_AFTER_SECONDS)
