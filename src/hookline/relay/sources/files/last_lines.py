"""The rest of a file after its last line end, once no more writes to the file are expected."""

from __future__ import annotations

from collections.abc import Callable

from hookline.relay.delivery_record import Line
from hookline.relay.sources.line_splitter import LineSplitter, is_blank


def take_last_lines(
    splitter: LineSplitter, max_lines: int, *, is_complete: bool, is_event: Callable[[bytes], bool], may_grow: bool
) -> list[Line] | None:
    """Returns the complete lines of the rest, at most `max_lines` (docs/decisions/0005-line-boundaries.md).

    Args:
        splitter: has returned all lines with an end.
        max_lines: the limit.
        is_complete: no more data can follow, as after a complete archive, so any rest is a line.
        is_event: whether a text can be read. It is a line then, because half a line is rarely one.
        may_grow: a writer may be in the middle of a text.

    Returns:
        The lines; None to wait for the writer.
    """
    lines = splitter.take_values(max_lines)
    rest = splitter.unterminated_line()
    if not rest or is_blank(rest) or len(lines) == max_lines:
        return lines
    if not is_complete:
        if not is_event(rest):
            return lines
        if may_grow:
            return lines or None
    return [*lines, *filter(None, [splitter.take_unterminated()])]


def unread_bytes(splitter: LineSplitter) -> int:
    """Returns the bytes of the rest that are no complete line, and not only white space or bytes that begin no line.

    A program that reserves space for its log leaves NUL bytes at the end, and an empty file can have a mark.
    """
    rest = splitter.unterminated_line()
    return splitter.unfinished_bytes if rest is None or not is_blank(rest) else 0
