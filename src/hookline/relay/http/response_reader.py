"""Reading one answer out of the bytes that an endpoint sends, however they are cut. No I/O: bytes go in.

What is kept of an answer is bounded: a head of 64 KiB with all informational ones before it, 16 KiB behind it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from hookline.relay.http.response_head import (
    Framing,
    Head,
    NotHttp,
    begins_like_http,
    find_end,
    parse_head,
    trailers_end,
)

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_RESPONSE_BODY_BYTES: Final = 16 * 1024
MAX_INFORMATIONAL_RESPONSES: Final = 32
_LONGEST_CHUNK_LINE: Final = 1024
_MEMORABLE: Final = 2048

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8}+)[ \t]*+(?:;[^\x00\r\n]*+)?\r\n")


def _whole(data: bytes) -> Head | None:
    """The head, where `data` is one clean answer from its first to its last byte and is nothing special."""
    return _remembered(data) if len(data) <= _MEMORABLE else None


# Until the second of its date header is over, an endpoint mostly sends the same bytes over and over.
@lru_cache(maxsize=64)
def _remembered(data: bytes) -> Head | None:
    reader = ResponseReader(keep=True)
    try:
        reader.feed(data)
    except NotHttp:
        return None
    return reader.head if reader.over and reader.clean else None


class ResponseReader:
    """Fed until it is `over`.

    `head` is there once the final head is complete: from then on the answer counts, and nothing raises any more.
    `clean`: the answer has ended where it said it would, and nothing came behind it. `complete`: its body is whole.
    `keep`: collect the body in `body`, else it is only counted.
    """

    __slots__ = (
        "_informational",
        "_left",
        "_new",
        "_part",
        "_seen",
        "_trusted",
        "body",
        "clean",
        "complete",
        "head",
        "keep",
        "over",
    )  # fmt: skip

    def __init__(self, *, keep: bool = False) -> None:
        self.head: Head | None = None
        self.over = False
        self.clean = False
        self.complete = False
        self.keep = keep
        self.body = b""
        self._part: bytes | bytearray = b""  # of a head or a chunked body, what was not yet understood
        self._left = 0  # bytes of the body still to come
        self._seen = 0  # bytes of heads before the part, or of the chunked body
        self._informational = 0
        self._new = True
        self._trusted = True  # so far, every head was one that the connection can be used after

    @classmethod
    def spent(cls) -> ResponseReader:
        """One that is over before it began: for a connection that has not been used yet."""
        reader = cls()
        reader.over = reader.clean = True
        return reader

    @property
    def untouched(self) -> bool:
        """Whether not a byte has come yet."""
        return self._new

    def feed(self, data: bytes) -> None:
        """Take what came next. Raises NotHttp for what is no answer, until the final head is there."""
        if self.over:
            self.clean = self.clean and not data
        elif self._new and not self.keep and (head := _whole(data)) is not None:
            self.head = head
            self.over = self.clean = self.complete = True
            self._new = False
        elif self.head is not None:
            self._feed_body(data)
        else:
            self._feed_head(data)

    def end(self) -> None:
        """The endpoint says no more. Raises NotHttp when the head was not complete."""
        if self.head is None:
            raise NotHttp("the connection was closed " + ("before it" if self.untouched else "within its head"))
        if not self.over:
            self.complete = self.head.framing is Framing.UNKNOWN
        self.over, self.clean = True, False

    def _feed_head(self, data: bytes) -> None:
        self._new = False
        part = self._part
        looked_at = max(0, len(part) - 3)
        if part:
            part += data
        else:
            part = data
        while True:
            if not begins_like_http(part):
                raise NotHttp(f"it begins with {bytes(part[:16])!r}")
            end = find_end(part, looked_at)
            if self._seen + (end if end >= 0 else len(part)) > MAX_HEAD_BYTES:
                raise NotHttp(f"a head of more than {MAX_HEAD_BYTES // 1024} KiB")
            if end < 0:
                # A growing part costs its length once, not once for each byte.
                self._part = part if isinstance(part, bytearray) else bytearray(part)
                return None
            head = parse_head(bytes(part[:end]))
            self._seen += end
            part = part[end:]
            looked_at = 0
            if not head.informational:
                return self._begin_body(head, bytes(part))
            self._pass_over(head)

    def _pass_over(self, head: Head) -> None:
        """RFC 9110 §15.2: informational answers may come unasked, but 101 may not."""
        self._informational += 1
        self._trusted = self._trusted and head.lasting
        if head.status == 101:
            raise NotHttp("it switches to a protocol that nobody asked for")
        if self._informational > MAX_INFORMATIONAL_RESPONSES:
            raise NotHttp(f"more than {MAX_INFORMATIONAL_RESPONSES} informational answers")

    def _begin_body(self, head: Head, rest: bytes) -> None:
        self.head = head
        self._trusted = self._trusted and head.lasting
        self._part = b""
        self._seen = 0
        self._left = head.length
        if (head.framing is Framing.UNKNOWN and not self.keep) or head.length > MAX_RESPONSE_BODY_BYTES:
            self._finish()
        else:
            self._feed_body(rest)

    def _feed_body(self, data: bytes) -> None:
        assert self.head is not None
        match self.head.framing:
            case Framing.LENGTH:
                self._feed_length(data)
            case Framing.CHUNKED:
                self._feed_chunks(data)
            case Framing.UNKNOWN:
                self._keep(data)

    def _feed_length(self, data: bytes) -> None:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            self._keep(data)
            return
        self._keep(data[:left])
        self._finish(whole=True, clean=len(data) == left)

    def _feed_chunks(self, data: bytes) -> None:
        """RFC 9112 §7.1. Whatever does not read as it says ends the reading, not the answer."""
        room = MAX_RESPONSE_BODY_BYTES - self._seen
        self._seen += len(data)
        self._part = self._read_chunks(bytes(self._part) + data[:room])
        if len(data) > room:
            self.clean = False
            if not self.over:
                self._finish()

    def _read_chunks(self, part: bytes) -> bytes:
        """What of `part` is to be read again, together with what comes next."""
        at = 0
        while not self.over:
            line = _CHUNK_LINE.match(part, at)
            length = len(part) - at if line is None else line.end() - at
            if length > _LONGEST_CHUNK_LINE or (line is None and part.find(b"\n", at) >= 0):
                self._finish()
            elif line is None:
                break
            elif (size := int(line[1], 16)) == 0:
                self._read_trailers(part, line.end())
                break
            else:
                end = line.end() + size
                if not b"\r\n".startswith(part[end : end + 2]):
                    self._finish()
                elif len(part) < end + 2:
                    break
                else:
                    self._keep(part[line.end() : end])
                    at = end + 2
        return part[at:]

    def _read_trailers(self, part: bytes, start: int) -> None:
        end = trailers_end(part, start)
        if end is not None:
            self._finish(whole=True, clean=end == len(part))
        elif part.find(b"\r\n\r\n", start) >= 0:
            self._finish()

    def _keep(self, data: bytes) -> None:
        if self.keep:
            self.body += data
            if len(self.body) > MAX_RESPONSE_BODY_BYTES:
                self.body = self.body[:MAX_RESPONSE_BODY_BYTES]
                self._finish()

    def _finish(self, *, whole: bool = False, clean: bool = False) -> None:
        self.over = True
        self.complete = whole
        self.clean = clean and self._trusted
