"""Reads one response from the bytes of an endpoint, however they are divided. It does no I/O.

Memory is bounded: at most 64 KiB of heads, which include the informational ones, and 16 KiB of the body.
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
    find_head_end,
    find_trailers_end,
    parse_head,
)

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_RESPONSE_BODY_BYTES: Final = 16 * 1024
MAX_INFORMATIONAL_RESPONSES: Final = 32
_MAX_CHUNK_LINE_BYTES: Final = 1024
_MAX_CACHED_BYTES: Final = 2048

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8}+)[ \t]*+(?:;[^\x00\r\n]*+)?\r\n")


# An endpoint mostly sends the same bytes until the second in its date header changes.
@lru_cache(maxsize=64)
def _parse_whole(data: bytes) -> Head | None:
    """The head, if `data` is exactly one clean response."""
    reader = ResponseReader()
    try:
        reader._feed_head(data)  # `feed` would look into this cache again
    except NotHttp:
        return None
    return reader.head if reader.finished and reader.clean else None


class ResponseReader:
    """The caller feeds it until it is `finished`.

    Attributes:
        head: The final head, as soon as it is complete. From then on the response counts and nothing is raised.
        finished: The reader needs no more bytes.
        clean: The response ended where its head announced it, and nothing followed.
    """

    __slots__ = (
        "_left", "_line_end", "_passed", "_pending", "_reusable", "_skipped", "clean", "finished", "head", "is_empty",
    )  # fmt: skip

    def __init__(self) -> None:
        self.head: Head | None = None
        self.finished = False
        self.clean = False
        self.is_empty = True  # no byte has arrived
        self._pending: bytes | bytearray = b""  # received and not yet parsed, of a head or a chunked body
        self._left = 0  # bytes of the body that are still to come
        self._passed = 0  # bytes of heads before `_pending`, or of the chunked body
        self._skipped = 0  # informational responses
        self._line_end = b"\r\n"  # the rest of the line end that may come before or after the response
        self._reusable = True  # each head so far permits further use of the connection

    @classmethod
    def unused(cls) -> ResponseReader:
        """A finished reader for a connection that has not carried a request yet."""
        reader = cls()
        reader.finished = reader.clean = True
        return reader

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises NotHttp, unless the final head was complete before."""
        if self.finished:
            self.clean = self.clean and not data
        elif self.is_empty and len(data) <= _MAX_CACHED_BYTES and (head := _parse_whole(data)) is not None:
            self.head = head
            self.finished = self.clean = True
            self.is_empty = False
        elif self.head is not None:
            self._feed_body(data)
        elif not self.is_empty or (data := self.skip_line_end(data)):
            self._feed_head(data)

    def skip_line_end(self, data: bytes) -> bytes:
        """`data` without one line end, which some servers send after a response (RFC 9112 §2.2 knows it of clients).

        `feed` skips it before a response, because it may arrive after the next request was sent. Behind a response
        the caller decides: in the same segment, it is like any other byte that does not belong there.
        """
        for byte in (b"\r", b"\n"):
            if byte in self._line_end and data.startswith(byte):
                data, self._line_end = data[1:], self._line_end.partition(byte)[2]
        return data

    def end(self) -> None:
        """The endpoint sends no more. Raises NotHttp if the head is not complete."""
        if self.head is None:
            when = "before the response" if self.is_empty else "within its head"
            raise NotHttp(f"the connection was closed {when}")
        self.finished, self.clean = True, False

    def _feed_head(self, data: bytes) -> None:
        self.is_empty = False
        pending = self._pending
        search_from = max(0, len(pending) - 3)
        if pending:
            pending += data
        else:
            pending = data
        while True:
            if not begins_like_http(pending):
                raise NotHttp(f"it begins with {bytes(pending[:16])!r}")
            end = find_head_end(pending, search_from)
            if self._passed + (end if end >= 0 else len(pending)) > MAX_HEAD_BYTES:
                raise NotHttp(f"a head of more than {MAX_HEAD_BYTES // 1024} KiB")
            if end < 0:
                # A bytearray grows in place. Concatenated bytes would be copied for each byte that arrives.
                self._pending = pending if isinstance(pending, bytearray) else bytearray(pending)
                return None
            head = parse_head(bytes(pending[:end]))
            self._passed += end
            pending = pending[end:]
            search_from = 0
            if head.status >= 200:
                return self._begin_body(head, bytes(pending))
            self._skip(head)

    def _skip(self, head: Head) -> None:
        """RFC 9110 §15.2: informational responses may come at any time, except 101."""
        self._skipped += 1
        self._reusable = self._reusable and head.keeps_alive
        if head.status == 101:
            raise NotHttp("it switches to a protocol that was not requested")
        if self._skipped > MAX_INFORMATIONAL_RESPONSES:
            raise NotHttp(f"more than {MAX_INFORMATIONAL_RESPONSES} informational responses")

    def _begin_body(self, head: Head, rest: bytes) -> None:
        self.head = head
        self._reusable = self._reusable and head.keeps_alive
        self._pending = b""
        self._passed = 0
        self._left = head.length
        if head.framing is Framing.UNKNOWN or head.length > MAX_RESPONSE_BODY_BYTES:
            self._finish()
        else:
            self._feed_body(rest)

    def _feed_body(self, data: bytes) -> None:
        assert self.head is not None
        if self.head.framing is Framing.CHUNKED:
            self._feed_chunks(data)
            return
        self._left -= len(data)
        if self._left <= 0:
            self._finish(clean=self._left == 0)

    def _feed_chunks(self, data: bytes) -> None:
        """RFC 9112 §7.1. Bytes that are no chunk end the reading. The response still counts."""
        room = MAX_RESPONSE_BODY_BYTES - self._passed
        self._passed += len(data)
        self._pending = self._read_chunks(bytes(self._pending) + data[:room])
        if len(data) > room:
            self.clean = False
            if not self.finished:
                self._finish()

    def _read_chunks(self, part: bytes) -> bytes:
        """Read the complete chunks of `part`. Returns the rest, which the next bytes continue."""
        at = 0
        while not self.finished:
            line = _CHUNK_LINE.match(part, at)
            length = len(part) - at if line is None else line.end() - at
            if length > _MAX_CHUNK_LINE_BYTES or (line is None and part.find(b"\n", at) >= 0):
                self._finish()
            elif line is None:
                break
            elif (size := int(line[1], 16)) == 0:
                if (end_of_trailers := find_trailers_end(part, line.end())) is not None:
                    self._finish(clean=end_of_trailers == len(part))
                elif part.find(b"\r\n\r\n", line.end()) >= 0:
                    self._finish()
                break
            else:
                end = line.end() + size
                if not b"\r\n".startswith(part[end : end + 2]):
                    self._finish()
                elif len(part) < end + 2:
                    break
                else:
                    at = end + 2
        return part[at:]

    def _finish(self, *, clean: bool = False) -> None:
        self.finished = True
        self.clean = clean and self._reusable
