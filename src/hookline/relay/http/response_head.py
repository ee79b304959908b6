"""The head of an HTTP/1.1 answer (RFC 9112): what may be one, and what it says about the bytes behind it.

An answer is taken at its word, but a connection has to earn that it is used again. A head that two readers could take
differently (line ends without CR, folded lines, a space before a colon, lines that are no headers, a length beside a
coding) still says 2xx or 503, and the outcome is that. Where the answer ends is then anybody's guess, so nothing that
comes behind it is ever an answer to something else. Only what is no head at all, or contradicts itself on its length
(RFC 9112 §6.3: "MUST discard the received response"), is refused.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

import msgspec

MAX_HEADER_LINES: Final = 256

# Possessive throughout: nothing an endpoint sends can make these look twice at a byte.
_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9110 §5.5: CR, LF and NUL are dangerous in a value; the other controls are merely odd.
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
# RFC 9112 §5.1: a space before the colon has been read in different ways; in an answer it is to be removed.
_SPACED = re.compile(rb"(\r\n" + _NAME + rb")[ \t]++:")
# Whatever stands where a header should: the status line before it says all the same what became of the request.
_ODD_HEAD = re.compile(_STATUS_LINE + rb"(?:[^\x00\r\n]++\r\n)*+\r\n")
_SOUND_LINE = re.compile(_FIELD)

_DIGITS = re.compile(rb"[0-9]+")


class NotHttp(Exception):
    """What came back is no HTTP/1.1 answer. The message completes "no complete HTTP answer: …"."""


class Framing(Enum):
    """How the end of a body is marked."""

    LENGTH = "content-length"
    CHUNKED = "chunked"
    UNKNOWN = "by the end of the connection, or in a way that is not trusted"


class Head(msgspec.Struct, frozen=True):
    """`length` is in bytes, for Framing.LENGTH. `lasting`: the connection may be used again, by what the head says.

    `block` is the head as it was taken: each line whole and ended with CRLF, without those that are no headers.
    """

    status: int
    framing: Framing
    length: int
    lasting: bool
    retry_after: bytes | None
    block: bytes

    @property
    def informational(self) -> bool:
        return self.status < 200

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names and values, in order."""
        lines = (line.partition(b":") for line in self.block.split(b"\r\n")[1:-2])
        return [(name, value.strip(b" \t")) for name, _, value in lines]


def find_end(block: bytes | bytearray, start: int = 0) -> int:
    """Where the first head in `block` ends, -1 when it does not yet. `start`: it does not end before that."""
    found = _LOOSE_END.search(block, start)
    return -1 if found is None else found.end()


def begins_like_http(block: bytes | bytearray) -> bool:
    """Whether `block`, which may be short, can become an answer: a mail server's greeting need not be waited for."""
    return block.startswith(_BEGINNING) or _BEGINNING.startswith(block)


def trailers_end(block: bytes | bytearray, start: int) -> int | None:
    """Where the trailers that begin at `start` end (RFC 9112 §7.1.2), None when they are incomplete or unsound."""
    found = _TRAILERS.match(block, start)
    return None if found is None else found.end()


def parse_head(block: bytes) -> Head:
    """A head, with the empty line that ends it. Raises NotHttp."""
    if block.count(b"\n") > MAX_HEADER_LINES:
        raise NotHttp(f"a head of more than {MAX_HEADER_LINES} lines")
    found = _HEAD.fullmatch(block)
    sound = found is not None
    if found is None:
        block = _SPACED.sub(rb"\1:", _LINE_END.sub(b"\r\n", _FOLD.sub(b" ", block)))
        found = _HEAD.fullmatch(block)
    odd = found is None
    if found is None:
        found = _ODD_HEAD.fullmatch(block)
        block = _without_odd_lines(block)
    if found is None:
        raise NotHttp("a malformed head")
    status = int(found[2])
    lowered = block.lower()
    lengths = _values(block, lowered, b"\r\ncontent-length:")
    codings = _values(lowered, lowered, b"\r\ntransfer-encoding:")
    length = _one_length(lengths)
    framing = _framing(status, None if odd else length, [] if odd else codings)
    lasting = (
        sound
        and found[1] != b"0"
        and framing is not Framing.UNKNOWN
        and len(lengths) + len(codings) <= 1
        and not (_without_body(status) and (codings or length))
        and not any(b"close" in value for value in _values(lowered, lowered, b"\r\nconnection:"))
    )
    waits = _values(block, lowered, b"\r\nretry-after:")
    return Head(
        status=status,
        framing=framing,
        length=length if framing is Framing.LENGTH and length is not None and not _without_body(status) else 0,
        lasting=lasting,
        retry_after=waits[0] if waits else None,
        block=block,
    )


def _without_odd_lines(block: bytes) -> bytes:
    first, *lines = block.splitlines(keepends=True)
    return b"".join([first, *filter(_SOUND_LINE.fullmatch, lines), b"\r\n"])


def _values(block: bytes, lowered: bytes, name: bytes) -> list[bytes]:
    """Each value of a header; `name` in lower case, from the line end before it to its colon."""
    values = []
    at = lowered.find(name)
    while at >= 0:
        begin = at + len(name)
        end = block.index(b"\r\n", begin)
        values.append(block[begin:end].strip(b" \t"))
        at = lowered.find(name, end)
    return values


def _one_length(values: list[bytes]) -> int | None:
    """RFC 9112 §6.3: a length that is repeated is one, lengths that differ are none. Raises NotHttp."""
    if not values:
        return None
    each = {value.strip(b" \t") for joined in values for value in joined.split(b",")}
    value = each.pop()
    if each or not _DIGITS.fullmatch(value):
        raise NotHttp("a malformed or conflicting content-length")
    # Longer than anything that is read, and an ordinary number all the same.
    return int(value) if len(value) < 19 else 10**18


def _framing(status: int, length: int | None, codings: list[bytes]) -> Framing:
    if _without_body(status):
        return Framing.LENGTH
    if codings:
        return Framing.CHUNKED if codings == [b"chunked"] else Framing.UNKNOWN
    return Framing.UNKNOWN if length is None else Framing.LENGTH


def _without_body(status: int) -> bool:
    """RFC 9112 §6.3: whatever its headers say."""
    return status < 200 or status in (204, 304)
