"""A file with an end, read from its checkpoint."""

from __future__ import annotations

import os

import msgspec

from hookline.errors import HooklineError
from hookline.relay.fates import Line
from hookline.relay.sources.identity import HEAD, FileFacts, reached
from hookline.relay.sources.lines import LineCutter
from hookline.relay.sources.port import Batch, Position

LINES_A_BATCH = 500
BYTES_A_BATCH = 4 * 1024 * 1024
_CHUNK = 256 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FileSource:
    """Reads an open regular file; `descriptor` is closed with it unless it is the process's standard input.

    `checkpoint` None begins at the first line. It must be one that belongs to this file (`checkpoint_for`).
    """

    def __init__(self, name: str, descriptor: int, checkpoint: Position | None = None) -> None:
        self._name = name
        self._descriptor = descriptor
        start = checkpoint or Position(name=name)
        self._cutter = LineCutter(number=start.line, offset=start.offset)
        self._read = start.offset
        self._facts = facts_of(name, descriptor)
        self._unfinished = 0
        if start.offset > 0 and self._bytes(1, start.offset - 1) != b"\n":
            # The last line was taken at the file's end, without its terminator. By now it may have got one.
            self._pull(2)
            _ = self._cutter.drop(b"\r\n") or self._cutter.drop(b"\n")
        elif start.offset == 0:
            self._pull(_CHUNK)
            self._cutter.drop(_BYTE_ORDER_MARK)

    @property
    def name(self) -> str:
        return self._name

    @property
    def unfinished(self) -> int:
        """Once the end is reached: the bytes of a last line that has no terminator and is no whole JSON either.

        It is not taken, since whoever writes the file may be in the middle of it; the next run begins with it.
        """
        return self._unfinished

    def read(self) -> Batch:
        """The next lines (see LineSource). Raises HooklineError when the file cannot be read any more."""
        lines: list[Line] = []
        budget = BYTES_A_BATCH
        end = False
        while len(lines) < LINES_A_BATCH and budget > 0:
            lines += self._cutter.take(LINES_A_BATCH - len(lines))
            if len(lines) == LINES_A_BATCH:
                break
            pulled = self._pull(_CHUNK)
            budget -= pulled
            if not pulled:
                lines += self._last_line()
                end = True
                break
        return Batch(self._name, lines, self._position(), end)

    @property
    def reached(self) -> Position:
        """How far it was read."""
        return reached(self._name, self._facts, offset=self._cutter.offset, line=self._cutter.number)

    def progress(self) -> tuple[int, int | None]:
        return self._cutter.offset, os.fstat(self._descriptor).st_size

    def close(self) -> None:
        if self._descriptor > 2:
            os.close(self._descriptor)

    def _pull(self, size: int) -> int:
        chunk = self._bytes(size, self._read)
        self._read += len(chunk)
        self._cutter.feed(chunk)
        return len(chunk)

    def _bytes(self, size: int, offset: int) -> bytes:
        # pread: a redirected standard input shares its file position with the shell, which is none of ours.
        return read_at(self._name, self._descriptor, size, offset)

    def _last_line(self) -> list[Line]:
        rest = self._cutter.rest()
        if rest is None or not is_whole(rest):
            self._unfinished = 0 if rest is not None and not rest.strip() else self._cutter.unfinished
            return []
        line = self._cutter.take_rest()
        return [line] if line else []

    def _position(self) -> Position:
        if len(self._facts.head) < min(HEAD, self._cutter.offset):
            self._facts = facts_of(self._name, self._descriptor)
        return reached(self._name, self._facts, offset=self._cutter.offset, line=self._cutter.number)


def is_whole(rest: bytes) -> bool:
    """Whether a line without a terminator is complete all the same: an object or a list of JSON that has its end.

    (A number, or a line of plain text, may be the beginning of a longer one.)
    """
    if not rest.lstrip().startswith((b"{", b"[")):
        return False
    try:
        msgspec.json.decode(rest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def facts_of(name: str, descriptor: int) -> FileFacts:
    """What identifies the open file. Raises HooklineError when it cannot be read."""
    status = os.fstat(descriptor)
    head = read_at(name, descriptor, HEAD, 0)
    return FileFacts(device=status.st_dev, inode=status.st_ino, size=status.st_size, head=head)


def read_at(name: str, descriptor: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise HooklineError(f"{name}: cannot be read at byte {offset}: {error.strerror}") from error
