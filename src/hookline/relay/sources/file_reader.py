"""Reads one file, plain or compressed, from its checkpoint on."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from msgspec.structs import replace

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources import file_content
from hookline.relay.sources.checkpoints import HEAD_BYTES, FileIdentity, file_position
from hookline.relay.sources.decompression import PACKED, Compression, compression_of, refuse_compression
from hookline.relay.sources.file_content import ReadStatus, StaleHandle
from hookline.relay.sources.files.checkpoint_matcher import CheckpointMatcher
from hookline.relay.sources.files.content_marks import ContentMarks
from hookline.relay.sources.files.last_lines import take_last_lines, unread_bytes
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.files.shortened import find_start, may_be_partial_copy
from hookline.relay.sources.line_splitter import LineSplitter
from hookline.relay.sources.source import (
    MAX_BYTES_PER_BATCH,
    MAX_LINES_PER_BATCH,
    START_POSITION,
    Position,
    SourceLag,
)

_CHUNK_BYTES = 256 * 1024


class FileReader:
    """Owns `descriptor`, except for standard input. Reads nothing before the first call of `read`.

    It begins at its checkpoint, and keeps its positions in the context. System errors become HooklineErrors,
    so a call can be repeated.

    Attributes:
        target: the resolved path if the name is a link.
        key: the identity of the content.
        origin_key: the key of the checkpoint where reading began.
        expected_key: the key of the content before the file was closed. Set by the caller.
        has_buffered_lines: the last `read` returned the maximum, so `take_buffered` may return more lines.
        lost_bytes: after ReadStatus.REPLACED, the unread bytes at the last check.
        unfinished_bytes: the bytes of an incomplete last line.
        is_damaged: a compressed file that cannot be decompressed to its end.
    """

    def __init__(self, name: str, descriptor: int, context: ReadContext, *, target: str = "") -> None:
        self.name = name
        self.unfinished_bytes = self.lost_bytes = 0
        self.has_buffered_lines = False
        self.target = target
        self._context = context
        self._checkpoints = context.checkpoints
        self._logger = context.logger
        status = os.fstat(descriptor)
        self.device, self.inode = status.st_dev, status.st_ino
        self._identity = FileIdentity(
            name=name, device=self.device, inode=self.inode, size=None, head=b"", target=target
        )
        self._quiet_period = file_content.QuietPeriod(descriptor, context.timing)
        self._reset(descriptor)

    def _reset(self, descriptor: int) -> None:
        self._raw = file_content.RawFile(descriptor)
        self._beginning = file_content.FileBeginning(descriptor)
        self.position = self._taken_position = START_POSITION
        self._content: file_content.Content | None = None
        self._splitter = LineSplitter()
        self._matcher: CheckpointMatcher | None = None
        self._skip_bytes = 0
        self._marks = ContentMarks()
        self.is_damaged = False
        self._head = self.key = self.origin_key = self.expected_key = b""

    @property
    def bytes_read(self) -> int:  # compressed ones
        return self._raw.offset

    @property
    def at_definite_end(self) -> bool:
        """Whether all data was read and no more can follow."""
        return self._content is not None and self._content.at_definite_end

    @property
    def has_name(self) -> bool:
        """Whether the file still has a name in a directory."""
        return os.fstat(self._raw.descriptor).st_nlink > 0

    @property
    def has_begun(self) -> bool:
        return self._content is not None

    def check_beginning(self) -> None:
        """Detects a truncation before the first read."""
        with suppress(OSError):  # the read raises it
            if self._content is None:
                self._beginning.check()

    def take_buffered(self) -> list[Line]:
        """Returns more of the lines that the last `read` buffered."""
        lines = self._splitter.take(MAX_LINES_PER_BATCH)
        self.has_buffered_lines = len(lines) == MAX_LINES_PER_BATCH
        return lines

    def read(self, *, final: bool) -> tuple[list[Line], ReadStatus]:
        """Returns the next lines, within the limits of LineSource, and the state of the file.

        With `final`, no more writes to the file are expected, so a complete last line without a terminator is a line
        (docs/decisions/0005-line-boundaries.md).
        """
        try:
            return self._read(final=final)
        except file_content.FileReplaced as replaced:
            self.lost_bytes = replaced.unread
            return [], ReadStatus.REPLACED
        except OSError as error:
            kind = StaleHandle if error.errno == errno.ESTALE else HooklineError
            raise kind(f"{self.name}: cannot be read at byte {self._raw.offset}: {error.strerror}") from error
        finally:
            self._context.stray.count(self.name, self._splitter)

    def take_position(self) -> Position:
        """Returns the position after the last `read`, or START_POSITION if it has not changed since the last call."""
        self._update_position()
        is_known, self._taken_position = self._taken_position == self.position, self.position
        return START_POSITION if is_known else self.position

    def lag(self) -> SourceLag:
        position = self.position if self.position.name else Position(name=self.name)
        return SourceLag(self.name, position, max(0, self._raw.size - self._raw.offset))

    def take_last_lines(self) -> list[Line]:
        """Returns the complete lines of the rest after the last line end. Sets `unfinished_bytes` if bytes remain."""
        return self._take_last_lines(MAX_LINES_PER_BATCH, may_grow=False) or []

    def _take_last_lines(self, max_lines: int, *, may_grow: bool) -> list[Line] | None:
        is_plain = self._content is self._raw
        is_complete = not is_plain and self._content is not None and self._content.damage is None
        is_event = self._context.is_event if is_plain else lambda _: False
        lines = take_last_lines(
            self._splitter, max_lines, is_complete=is_complete, is_event=is_event, may_grow=may_grow
        )
        self.unfinished_bytes = unread_bytes(self._splitter)
        return lines

    def restart(self) -> None:
        """After ReadStatus.REPLACED, continues with the current content, from its start or its checkpoint."""
        self._checkpoints.release(self.key)
        self._reset(self._raw.descriptor)

    def close(self) -> None:
        self._checkpoints.release(self.key)
        self._raw.close()

    def _read(self, *, final: bool) -> tuple[list[Line], ReadStatus]:
        lines: list[Line] = []
        self.has_buffered_lines = False
        if self._content is None and (status := self._start(final=final)) is not ReadStatus.MORE:
            return lines, status
        assert self._content is not None
        budget = MAX_BYTES_PER_BATCH
        while budget > 0:
            lines += self._splitter.take(MAX_LINES_PER_BATCH - len(lines))
            if len(lines) == MAX_LINES_PER_BATCH:
                self.has_buffered_lines = True
                return lines, ReadStatus.MORE
            try:
                chunk = self._content.next(_CHUNK_BYTES)
            except file_content.FileReplaced:
                if lines:
                    return lines, ReadStatus.MORE  # the next call raises it again
                raise
            if not chunk:
                if not file_content.is_complete(self._content, self._quiet_period, final=final):
                    return lines, ReadStatus.WAITING if final else ReadStatus.AT_END
                if self._matcher is not None:
                    self._use_match(self._matcher.end())
                    continue
                self._log_damage(self._content)
                return self._end(lines)
            budget -= len(chunk)
            self._accept(chunk)
        return lines, ReadStatus.MORE

    def _end(self, lines: list[Line]) -> tuple[list[Line], ReadStatus]:
        """Adds the lines of the rest after the last line end, because no more writes to the file are expected."""
        may_grow = not self._quiet_period.has_lasted(file_content.QUIET_SECONDS)
        last = self._take_last_lines(MAX_LINES_PER_BATCH - len(lines), may_grow=may_grow)
        if last is None:
            return lines, ReadStatus.WAITING
        lines += last
        return lines, ReadStatus.MORE if last else ReadStatus.AT_END

    def _start(self, *, final: bool) -> ReadStatus:
        """Detects the compression and finds the checkpoint. Returns MORE, or another status to call again later."""
        self.check_beginning()
        self._beginning.require_unchanged()
        descriptor = self._raw.descriptor
        self._raw = file_content.RawFile(descriptor)  # its size may have changed since the last attempt
        head = os.pread(descriptor, HEAD_BYTES, 0)
        compression = compression_of(head)
        if compression is Compression.UNKNOWN and not (final and head):
            return ReadStatus.AT_END
        refuse_compression(self.name, compression)
        identity = replace(self._identity, size=self._raw.size, head=head)
        if compression in PACKED:
            self._content = file_content.DecompressedContent(self._raw)
            self._matcher = CheckpointMatcher(self._checkpoints, identity)
            return ReadStatus.MORE
        is_quiet = self._quiet_period.has_lasted
        if may_be_partial_copy(identity, self._checkpoints) and not is_quiet(file_content.QUIET_SECONDS):
            return ReadStatus.WAITING
        found, is_shortened = find_start(identity, descriptor, self.expected_key, self._context)
        if found is not None:
            tail = os.pread(descriptor, found.tail_length, found.offset - found.tail_length)
            self._raw = file_content.RawFile(descriptor, found.offset, tail)
            self._continue_from(found, head[: found.offset], tail)
            if is_shortened:
                self._taken_position = START_POSITION  # the spool does not have this position yet
        self._content = self._raw
        return ReadStatus.MORE

    def _continue_from(self, found: Position, head: bytes, tail: bytes) -> None:
        # The last line may have been read at the file's end without its terminator, which may follow now. If no line
        # was read, the position may be within a hole of NUL bytes.
        is_unterminated = found.line > 0 and not tail.endswith(b"\n")
        self._splitter = LineSplitter(number=found.line, offset=found.offset, tail=tail, unterminated=is_unterminated)
        self._head = head
        self.key = self._checkpoints.claim(found.key)
        self.origin_key = found.key
        self.position = found
        self._taken_position = found if found.inode == self.inode and found.key == self.key else START_POSITION

    def _accept(self, chunk: bytes) -> None:
        if self._matcher is not None:
            remainder = self._matcher.feed(chunk)
            if self._matcher.is_decided:
                self._use_match(remainder)
            return
        dropped = min(self._skip_bytes, len(chunk))
        self._skip_bytes -= dropped
        self._feed(chunk[dropped:])

    def _use_match(self, remainder: bytes) -> None:
        """Continues from the checkpoint that belongs to a compressed file."""
        matcher, self._matcher = self._matcher, None
        assert matcher is not None
        found = matcher.found
        if found is not None and matcher.was_fully_read:
            self._continue_from(found, matcher.head[: found.offset], b"\n")
            self._content = content = file_content.FullyReadContent(self._raw)
            self._raw = content.raw
            return
        if found is not None:
            self._logger.debug("continues within a compressed file", source=self.name, offset=found.offset)
            self._continue_from(found, matcher.head[: found.offset], matcher.matches[found])
        if matcher.passed_bytes == (found.offset if found else 0):
            self._feed(remainder)
            return
        # The stream was read beyond the position, up to a candidate that did not match.
        self._skip_bytes = found.offset if found else 0
        self._raw = file_content.RawFile(self._raw.descriptor)
        self._content = file_content.DecompressedContent(self._raw)

    def _feed(self, chunk: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        self._splitter.feed(chunk)

    def _log_damage(self, content: file_content.Content) -> None:
        if content.damage and not self.is_damaged:
            self.is_damaged = True
            event, line = "compressed file is damaged, its intact part was read", self._splitter.number
            self._logger.warning(event, source=self.name, reason=content.damage, line=line, byte=self._raw.offset)

    def _update_position(self) -> None:
        if isinstance(self._content, file_content.FullyReadContent):
            return
        read, before = self._splitter, self.position
        if read.number == 0 and read.offset == 0:
            # The position of an empty file is stored, so a file that it is rotated to later is read.
            if before is START_POSITION and not self._raw.size:
                self.position = Position(name=self.name, device=self.device, inode=self.inode)
            return
        packed = self._raw.size if self.at_definite_end and not read.unfinished_bytes else 0
        if (before.offset, before.packed, before.inode, before.key) == (read.offset, packed, self.inode, self.key):
            return
        marks = b""
        if self._content is self._raw:
            marks = self._marks.of_file(self._raw.descriptor, read.offset, head=self._head, tail=read.tail)
        identity = replace(self._identity, size=self._raw.size, head=self._head)
        self.position = file_position(
            identity, offset=read.offset, line=read.number, tail=read.tail, packed=packed, key=self.key, marks=marks
        )
        if not self.key:
            self.key = self.position.key
            self._checkpoints.claim(self.key)
        self._checkpoints.keep(self.position)
