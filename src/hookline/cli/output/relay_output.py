"""Everything that `hookline relay` writes to stderr: log lines, messages, the summary and errors, in one format.

All of it goes through the queue of the log. A stderr that nobody reads holds up neither the relay nor its end.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import click

from hookline.cli.output.error_output import format_error
from hookline.cli.output.standard_streams import StandardStream
from hookline.errors import HooklineError
from hookline.observe.log import Level, Log
from hookline.observe.log_writer import DescriptorOutput, LogWriter
from hookline.relay.summary import Summary
from hookline.settings import log_format
from hookline.storage_location import without_passwords

if TYPE_CHECKING:
    from hookline.cli.relay_options import MakeLog

# At the end of a run, a stderr that nobody reads holds up the process for this time.
CLOSE_SECONDS: Final = 3.0
_HINT: Final = "\n  hint: "


class _LibraryLines(logging.Handler):
    """Writes warnings of libraries, such as asyncio, as log lines."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        cause = None if error is None else f"{type(error).__name__}: {error}"
        self._log.warning("library warning", logger=record.name, text=record.getMessage(), cause=cause)


class RelayOutput:
    """The stderr of one run. `log` is the relay's log. `above_bar` writes text while a progress bar is shown."""

    def __init__(self, make_log: MakeLog) -> None:
        self.above_bar: Callable[[str], object] | None = None
        self._plain = _stderr()
        self._writer = LogWriter(self._write, self._lost_line)
        self.log: Log = make_log(self._writer.write, lines_lost=lambda: self._writer.lost)
        self._library_lines = _LibraryLines(self.log)
        logging.getLogger().addHandler(self._library_lines)

    def _write(self, text: str) -> None:
        (self.above_bar or self._plain)(text)

    def _lost_line(self, lines: int, reason: str | None) -> str:
        return self.log.line("warning", "log lines were lost", lines=lines, reason=reason)

    def message(self, text: str, level: Level = "warning") -> None:
        """Write a message, whose last line may be a hint."""
        if not self.log.is_json:
            self._writer.write(f"{text}\n")
            return
        message, _, hint = text.partition(_HINT)
        self._writer.write(self.log.line(level, "message", message=message, hint=hint or None))

    def summary(self, summary: Summary) -> None:
        """Write the accounting of the run, as a table for people."""
        if self.log.is_json:
            self._writer.write(self.log.line("info", "summary", **summary.as_json()))
            return
        for line in summary_lines(summary):
            self._writer.write(f"{line}\n")

    def error(self, error: HooklineError) -> None:
        """Write an error with its hint and notes. Both may quote untrusted text, and their line breaks remain."""
        if self.log.is_json:
            self._writer.write(error_line(error))
            return
        text = format_error(error)
        self._writer.write(text if sys.stderr.isatty() else click.unstyle(text))

    def internal_error(self, bug: Exception) -> None:
        """Write an internal error as one line of JSON."""
        trace = "".join(traceback.format_exception(bug))
        self._writer.write(
            self.log.line("error", "internal error", message=f"{type(bug).__name__}: {bug}", traceback=trace)
        )

    def close(self) -> None:
        """Wait until everything is written, if stderr accepts it."""
        logging.getLogger().removeHandler(self._library_lines)
        self._writer.close(CLOSE_SECONDS)


def json_is_wanted(arguments: Sequence[str]) -> bool:
    """Whether the command line or the environment asks for JSON, although the options cannot be read."""
    joined = [f"{name}={value}" for name, value in pairwise(arguments) if name == "--log-format"]
    given = [one for one in (*joined, *arguments) if one.startswith("--log-format=")]
    return given[0].endswith("=json") if given else log_format() == "json"


def _nowhere(line: str) -> None:
    """Writes nothing."""


_JSON: Final = Log(_nowhere, level="info", format="json", clock=time.time)


def error_line(error: HooklineError) -> str:
    """An error as a line of JSON."""
    return _JSON.line(
        "error", "error", message=without_passwords(error.message), hint=without_passwords(error.hint or "") or None,
        note="; ".join(getattr(error, "__notes__", ())) or None, code=int(error.exit_code),
    )  # fmt: skip


def usage_error_line(message: str, code: int) -> str:
    """A wrong use of the command line as a line of JSON."""
    return _JSON.line("error", "error", message=message, hint="hookline relay --help", code=code)


def warning_line(message: str) -> str:
    """A warning before the run as a line of JSON."""
    return _JSON.line("warning", "message", message=message)


def _stderr() -> Callable[[str], object]:
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    try:
        if isinstance(raw, StandardStream):
            return DescriptorOutput(raw.fileno(), raw.filtered)
        return DescriptorOutput(sys.stderr.fileno())
    except (OSError, ValueError):  # a stream of a test, without a descriptor
        return sys.stderr.write


def summary_lines(summary: Summary) -> list[str]:
    """The accounting of a run as a table."""
    reasons = ", ".join(f"{reason} {n}" for reason, n in summary.skipped.items())
    rows = [
        ("read", summary.read, ""),
        ("carried", summary.carried, "pending before, or replayed" if summary.carried else ""),
        ("delivered", summary.delivered, f"in {summary.attempts} attempts, {summary.seconds:.1f} s"),
        ("skipped", sum(summary.skipped.values()), reasons),
        ("rejected", summary.rejected, ""),
        ("dead", summary.dead, ""),
        ("pending", summary.pending, ""),
        ("duplicates", summary.duplicates, ""),
    ]
    return [f"{name:<10} {n:>9,}  {note}".rstrip() for name, n, note in rows]
