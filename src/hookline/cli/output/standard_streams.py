"""Standard output and standard error of the process: their behaviour if they cannot be written, and in a CI log.

A command that only prints is over when its output is lost: OutputLost, exit code 1. A command that does work calls
`put_work_first`: it then does its work to the end, its exit code states the result of the work, and a warning on
stderr states that the output is lost. A lost stderr changes nothing.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import Final, TextIO

import click

from hookline.descriptors import open_missing_streams
from hookline.errors import OutputLost
from hookline.escaping import CiLogFilter, by_code_point
from hookline.exit_codes import ExitCode

STDOUT: Final = 1
STDERR: Final = 2
_ERROR_HANDLER: Final = "hookline.escape"


class StandardStream(io.RawIOBase):
    """Writes to a file descriptor. After a failure it drops everything, so that no later flush fails again.

    Args:
        descriptor: the file descriptor, 1 or 2.
        in_ci: filter commands of a CI runner out of the text.
        failure: why the stream cannot be written at all; None if it is open.
    """

    def __init__(self, descriptor: int, *, in_ci: bool, failure: OSError | None = None) -> None:
        self.failure: OSError | None = None
        self.drops_silently = descriptor == STDERR
        self.code_comes_first = False
        self._closed_at_start = failure
        self._descriptor = descriptor
        self._filter = CiLogFilter() if in_ci else None
        self.allows_commands = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return self._closed_at_start is None and os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        """Raises OutputLost for the first failure, unless the command does its work first."""
        content = bytes(data)  # type: ignore[call-overload]  # any buffer
        if self.failure is None:
            try:
                self._write(content if self.allows_commands else self.filtered(content))
            except OSError as failed:
                self.failure = failed
                if not self.drops_silently:
                    raise output_lost(failed) from failed
        return len(content)

    def filtered(self, content: bytes) -> bytes:
        """The content without commands of a CI runner, for a writer that uses the descriptor itself."""
        return content if self._filter is None else self._filter.feed(content)

    def _write(self, content: bytes) -> None:
        if self._closed_at_start is not None:
            raise self._closed_at_start
        remaining = memoryview(content)
        while remaining:
            try:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            except BlockingIOError:  # another program made the shared terminal or pipe non-blocking
                select.select([], [self._descriptor], [])


def output_lost(failed: OSError) -> OutputLost:
    hint = "check the disk, or the program that reads the output"
    lost = OutputLost(f"standard output cannot be written: {failed.strerror}", hint=hint)
    lost.reader_left = failed.errno == errno.EPIPE
    return lost


def install_streams(*, in_ci: bool) -> None:
    """Replaces sys.stdout and sys.stderr, also if they were closed before the start."""
    codecs.register_error(_ERROR_HANDLER, _escape_unencodable)
    missing = open_missing_streams()
    sys.stdout = _text_stream(sys.stdout, STDOUT, in_ci=in_ci, closed=STDOUT in missing)
    sys.stderr = _text_stream(sys.stderr, STDERR, in_ci=in_ci, closed=STDERR in missing)


def put_work_first() -> None:
    """From here on the command does its work to the end if its output is lost. Its exit code is that of the work."""
    if (stream := _stream()) is not None:
        stream.drops_silently = True


def put_code_first() -> None:
    """The exit code is the result, and the output explains it: a code other than 0 remains if the output is lost."""
    if (stream := _stream()) is not None:
        stream.drops_silently = stream.code_comes_first = True


def is_output_lost() -> bool:
    """Whether standard output failed, so that nobody can have read the command's output."""
    return (stream := _stream()) is not None and stream.failure is not None


def print_result(text: str) -> None:
    """Print the result of work to stdout; to stderr if stdout is lost."""
    click.echo(text)
    if is_output_lost():
        click.echo(text, err=True)


def print_runner_commands(text: str) -> None:
    """Print text that a CI runner must execute. Every value in it is already escaped."""
    stream = _stream()
    if stream is None:
        click.echo(text)
        return
    sys.stdout.flush()
    stream.allows_commands = True
    try:
        click.echo(text)
        sys.stdout.flush()
    finally:
        stream.allows_commands = False


def finish_output(code: int) -> int:
    """Flush the output. Returns the exit code of the process, and warns if work was done without its output."""
    stream = _stream()
    if stream is None:
        return code
    try:
        sys.stdout.flush()
    except OutputLost:
        return code or ExitCode.FAILED
    if stream.failure is not None and stream.drops_silently:
        note = "the command did its work all the same"
        if code:
            note = f"the result is exit code {code}"
        elif stream.code_comes_first:
            code = ExitCode.FAILED
            note = "the exit code is 1 because a result could not be shown"
        reason = f"standard output cannot be written: {stream.failure.strerror}"
        click.echo(f"warning: {reason}; {note}", err=True)
    return code


def _stream() -> StandardStream | None:
    """The installed stdout; None if a test or another program has replaced it."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, StandardStream) else None


def _text_stream(before: TextIO | None, descriptor: int, *, in_ci: bool, closed: bool) -> io.TextIOWrapper:
    failure = OSError(errno.EBADF, "it is closed") if closed else None
    raw = StandardStream(descriptor, in_ci=in_ci, failure=failure)
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors=_ERROR_HANDLER,
        line_buffering=raw.isatty() or descriptor == STDERR,
    )


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """A character that the encoding of the stream lacks, as an escape instead of an exception."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return by_code_point(error.object[error.start : error.end]), error.end
