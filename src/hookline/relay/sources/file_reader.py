"""One file, plain or compressed, read from its checkpoint on."""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources import file_content
from hookline.relay.sources.checkpoints import HEAD_BYTES, CheckpointMatcher, Checkpoints, FileIdentity, file_position
from hookline.relay.sources.decompression import MAX_MAGIC_BYTES, Compression, compression_of, refuse_compression
from hookline.relay.sources.file_content import (
    Content,
    DecompressedContent,
    FileReplaced,
    FullyReadContent,
    PlainContent,
    QuietPeriod,
    RawFile,
)
from hookline.relay.sources.line_splitter import LineSplitter, is_complete_json
from hookline.relay.sources.rotated_names import is_rotated
from hookline.relay.sources.source import (
    MAX_BYTES_PER_BATCH,
    MAX_LINES_PER_BATCH,
    START_POSITION,
    Position,
    SourceLag,
    SourceLog,
)

_CHUNK = 256 * 1024
_GLIMPSE = 4096


class ReadStatus(Enum):
    """What to expect after a read."""

    MORE = auto()  # there may be more at once
    DRY = auto()  # nothing more for now
    WAITING = auto()  # nothing for now, and somebody may be in the middle of writing what comes next
    REPLACED = auto()  # what is in the file is not what was read of it: `restart`


class FileReader:
    """Owns `descriptor`, but for standard input. Nothing is read before the first call of `read`.

    Where it begins is looked up in `checkpoints`, and what it reaches is kept there. `key` is that of what is read,
    `origin` that of the checkpoint where it began, `expected` that of what was read before the file was closed.
    `full`: the last `read` gave as much as it may, so more lines are in hand. After Came.REPLACED `lost` says how
    many bytes were there at the last look and had not been read.
    Errors of the system are raised as HooklineError, and the call may be repeated.
    """

    def __init__(self, name: str, descriptor: int, checkpoints: Checkpoints, notes: SourceLog) -> None:
        self.name = name
        self.position = START_POSITION
        self.unfinished = 0
        self.lost = 0
        self.full = False
        self._checkpoints = checkpoints
        self._notes = notes
        self._raw = RawFile(descriptor)
        status = os.fstat(descriptor)
        self.device, self.inode = status.st_dev, status.st_ino
        self._stillness = QuietPeriod(descriptor)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._content: Content | None = None
        self._cutter = LineSplitter()
        self._locator: CheckpointMatcher | None = None
        self._skip = 0
        self._head = b""
        self._begun = False
        self._glimpse = b""
        self._is_other = False
        self.key = b""
        self.origin = b""
        self._kept = START_POSITION
        self._told_damage = False
        self.expected = b""

    @property
    def bytes_read(self) -> int:
        """How much of the file was read, in bytes of the file."""
        return self._raw.offset

    @property
    def at_definite_end(self) -> bool:
        """Whether everything was read, and nothing is to be expected after it."""
        return self._content is not None and self._content.at_definite_end

    @property
    def has_name(self) -> bool:
        """Whether the file stands in any directory, so that it can be found again."""
        return os.fstat(self._raw.descriptor).st_nlink > 0

    @property
    def has_begun(self) -> bool:
        return self._content is not None

    def glance(self) -> None:
        """Before it is begun: remember how the file begins, to notice when it is truncated until then."""
        if self._content is None:
            with suppress(OSError):  # a read will tell
                head = os.pread(self._raw.descriptor, _GLIMPSE, 0)
                self._is_other |= not head.startswith(self._glimpse)
                self._glimpse = head

    def from_hand(self) -> list[Line]:
        """More of the lines that the last `read` had to leave."""
        lines = self._cutter.take(MAX_LINES_PER_BATCH)
        self.full = len(lines) == MAX_LINES_PER_BATCH
        return lines

    def read(self, *, final: bool) -> tuple[list[Line], ReadStatus]:
        """The next lines (see LineSource), and what to expect.

        `final`: nobody writes to the file any more, so a last line without a terminator that is whole is a line too
        (docs/decisions/0005-line-boundaries.md).
        """
        try:
            return self._read(final=final)
        except FileReplaced as replaced:
            self.lost = replaced.unread
            return [], ReadStatus.REPLACED
        except OSError as error:
            raise HooklineError(
                f"{self.name}: cannot be read at byte {self._raw.offset}: {error.strerror}"
            ) from error

    def take_position(self) -> Position:
        """The position after the lines of the last `read`, or NOWHERE when that has not moved since the last call."""
        self._move()
        before, self._kept = self._kept, self.position
        return START_POSITION if before == self.position else self.position

    def lag(self) -> SourceLag:
        position = self.position if self.position.name else Position(name=self.name)
        return SourceLag(self.name, position, max(0, self._raw.size - self._raw.offset))

    def last_words(self) -> list[Line]:
        """A whole last line without a terminator; else `unfinished` says how many bytes are left."""
        rest = self._cutter.rest()
        if rest is None or not is_complete_json(rest):
            self.unfinished = 0 if rest is not None and not rest.strip() else self._cutter.unfinished
            return []
        self.unfinished = 0
        line = self._cutter.take_rest()
        return [line] if line else []

    def restart(self) -> None:
        """After Came.REPLACED: read what is in the file now, from its start or the checkpoint that belongs to it."""
        self._checkpoints.release(self.key)
        self._raw = RawFile(self._raw.descriptor)
        self.position = START_POSITION
        self._begin_anew()

    def close(self) -> None:
        self._checkpoints.release(self.key)
        self._raw.close()

    # -- reading

    def _read(self, *, final: bool) -> tuple[list[Line], ReadStatus]:
        lines: list[Line] = []
        self.full = False
        if self._content is None and (came := self._start(final=final)) is not ReadStatus.MORE:
            return lines, came
        assert self._content is not None
        # A file of which lines come has nothing left over yet.
        budget = MAX_BYTES_PER_BATCH
        while budget > 0:
            if self._begun:
                lines += self._cutter.take(MAX_LINES_PER_BATCH - len(lines))
            if len(lines) == MAX_LINES_PER_BATCH:
                self.full = True
                return lines, ReadStatus.MORE
            try:
                chunk = self._content.next(_CHUNK)
            except FileReplaced:
                if lines:
                    return lines, ReadStatus.MORE  # the next call raises it again
                raise
            if not chunk:
                if not self._is_all(self._content, final=final):
                    return lines, ReadStatus.WAITING if final else ReadStatus.DRY
                if self._locator is not None:
                    self._located(self._locator.end())
                    continue
                self._tell_damage(self._content)
                lines += self.last_words()
                return lines, ReadStatus.DRY
            budget -= len(chunk)
            self._take_in(chunk)
        return lines, ReadStatus.MORE

    def _start(self, *, final: bool) -> ReadStatus:
        """Find out what the file is and where to go on. Not Came.MORE while it holds too little to tell."""
        self.glance()
        if self._is_other:
            self._is_other = False
            raise FileReplaced(0)
        descriptor = self._raw.descriptor
        self._raw = RawFile(descriptor)  # its size may be another than at the last attempt
        head = os.pread(descriptor, HEAD_BYTES, 0)
        packing = compression_of(head[:MAX_MAGIC_BYTES])
        if packing is Compression.UNKNOWN and not (final and head):
            return ReadStatus.DRY
        refuse_compression(self.name, packing)
        facts = FileIdentity(name=self.name, device=self.device, inode=self.inode, size=self._raw.size, head=head)
        if packing in {Compression.GZIP, Compression.ZSTD}:
            self._content = DecompressedContent(self._raw)
            self._locator = CheckpointMatcher(self._checkpoints, facts)
            return ReadStatus.MORE
        if self._may_be_half_a_copy(facts):
            return ReadStatus.WAITING
        found = self._checkpoints.find(facts, lambda offset, length: os.pread(descriptor, length, offset))
        if self.expected and (found is None or found.key != self.expected):
            raise FileReplaced(0)
        if found is None:
            self._content = PlainContent(self._raw)
        else:
            tail = os.pread(descriptor, found.tail_length, found.offset - found.tail_length)
            self._raw = RawFile(descriptor, found.offset, tail)
            self._content = PlainContent(self._raw)
            self._go_on_from(found, head[: found.offset], tail)
        return ReadStatus.MORE

    def _may_be_half_a_copy(self, facts: FileIdentity) -> bool:
        """Whether it begins like a log of which more was read, and somebody may be copying that there (copytruncate).

        Begun too early, it would be taken for a content that was never read.
        """
        return any(
            one.offset > self._raw.size and is_rotated(Path(self.name).name, Path(one.name).name)
            for one in self._checkpoints.candidates(facts)
        ) and not self._stillness.lasts(file_content.QUIET_SECONDS)

    def _go_on_from(self, found: Position, head: bytes, tail: bytes) -> None:
        # The last line may have been taken at the file's end, without its terminator. By now it may have got one.
        self._begun = found.line > 0  # else it may stand within a hole
        self._cutter = LineSplitter(
            number=found.line,
            offset=found.offset,
            tail=tail,
            unterminated=self._begun and not tail.endswith(b"\n"),
        )
        self._head = head
        self.key = self._checkpoints.claim(found.key)
        self.origin = found.key
        self.position = found
        self._kept = found if found.inode == self.inode and found.key == self.key else START_POSITION

    def _take_in(self, chunk: bytes) -> None:
        if self._locator is not None:
            rest = self._locator.feed(chunk)
            if self._locator.decided:
                self._located(rest)
            return
        if self._skip:
            dropped = min(self._skip, len(chunk))
            self._skip -= dropped
            chunk = chunk[dropped:]
        self._feed(chunk)

    def _located(self, rest: bytes) -> None:
        """It is known now which checkpoint belongs to a compressed file."""
        locator, self._locator = self._locator, None
        assert locator is not None
        found = locator.found
        if found is not None and locator.read_before:
            self._go_on_from(found, locator.head[: found.offset], b"\n")
            self._content = FullyReadContent(self._raw)
            self._raw = self._content.raw
            return
        if found is not None:
            self._notes.debug("continues within a compressed file", source=self.name, offset=found.offset)
            self._go_on_from(found, locator.head[: found.offset], locator.tail_of(found))
        if locator.passed == (found.offset if found else 0):
            self._feed(rest)
            return
        # It went by too far, after something that only began like this one.
        self._skip = found.offset if found else 0
        self._raw = RawFile(self._raw.descriptor)
        self._content = DecompressedContent(self._raw)

    def _feed(self, chunk: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]
        self._cutter.feed(chunk)
        # A log that was truncated under a writer that does not append begins with a hole: NUL bytes up to where the
        # writer was.
        self._begun = self._begun or self._cutter.begin(hole=True)

    def _is_all(self, content: Content, *, final: bool) -> bool:
        """Whether what is there now is all: then a last line needs no terminator."""
        if content.at_definite_end or content.damage is None:
            return final or content.at_definite_end
        # An archive is not whole while it is being made. Taken for all there is too early, it would be taken for
        # another one than that of which more was read.
        return self._stillness.lasts(file_content.QUIET_SECONDS if final else file_content.OLD_FILE_SECONDS)

    def _tell_damage(self, content: Content) -> None:
        if content.damage and not self._told_damage:
            self._told_damage = True
            self._notes.warning(
                "compressed file is damaged, its intact part was read",
                source=self.name,
                reason=content.damage,
                line=self._cutter.number,
                byte=self._raw.offset,
            )

    def _move(self) -> None:
        if isinstance(self._content, FullyReadContent):
            return
        if self._cutter.number == 0 and self._cutter.offset == 0:
            # That nothing was in it yet is worth knowing: what it is rotated to later is then no past of a new log.
            if self.position is START_POSITION and not self._raw.size:
                self.position = Position(name=self.name, device=self.device, inode=self.inode)
            return
        packed = self._raw.size if self.at_definite_end and not self._cutter.unfinished else 0
        if (self.position.offset, self.position.packed) == (self._cutter.offset, packed) and (
            self.position.inode == self.inode and self.position.key == self.key
        ):
            return
        self.position = file_position(
            FileIdentity(name=self.name, device=self.device, inode=self.inode, size=self._raw.size, head=self._head),
            offset=self._cutter.offset,
            line=self._cutter.number,
            tail=self._cutter.tail,
            packed=packed,
            key=self.key,
        )
        if not self.key:
            self.key = self.position.key
            self._checkpoints.claim(self.key)
        self._checkpoints.keep(self.position)
