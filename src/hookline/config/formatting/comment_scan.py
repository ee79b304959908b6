"""Finds the comments of a text: each # outside of a value begins one."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hookline.config.formatting.source_tree import Comment
from hookline.config.formatting.yaml_events import EventKind, PlacedEvent

_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ \t]*")


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a text by their index of the first character."""

    text: str
    starts: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Lines:
        return cls(text, [0, *(found.end() for found in re.finditer("\n", text))])

    def number(self, index: int) -> int:
        return bisect_right(self.starts, index) - 1

    def column(self, index: int) -> int:
        return index - self.starts[self.number(index)]

    def is_blank_before(self, index: int) -> bool:
        """Whether the line before the one of an index is blank."""
        number = self.number(index)
        return number > 0 and not self.text[self.starts[number - 1] : self.starts[number]].strip()


@dataclass(frozen=True, slots=True)
class Gaps:
    """The text between values: its comments, and the dashes of list items by index."""

    comments: Sequence[Comment]
    dashes: Sequence[int]


def scan_gaps(lines: Lines, events: Iterable[PlacedEvent]) -> Gaps:
    comments: list[Comment] = []
    dashes: list[int] = []
    position = 0
    for start, end in (*_values(lines.text, events), (len(lines.text), len(lines.text))):
        if start >= position:
            comments += _comments(lines, position, start, dashes)
            position = end
    return Gaps(comments, dashes)


def _values(text: str, events: Iterable[PlacedEvent]) -> Iterator[tuple[int, int]]:
    """The texts that contain no comments: scalars, and directives with their marker."""
    for event in events:
        if event.kind is EventKind.SCALAR and event.style in ("|", ">"):
            header = _BLOCK_HEADER.match(text, event.start)
            begin = header.end() if header else event.start
            yield event.start, begin
            line_end = text.find("\n", begin)
            yield (event.end if line_end < 0 else line_end), event.end
        elif event.kind is EventKind.SCALAR or (event.kind is EventKind.DOCUMENT and event.explicit):
            yield event.start, event.end


def _comments(lines: Lines, start: int, end: int, dashes: list[int]) -> Iterator[Comment]:
    text, index = lines.text, start
    while index < end:
        if text[index] == "#":
            last = text.find("\n", index)
            last = len(text) if last < 0 else last
            yield _comment(lines, index, last)
            index = last
        elif text[index] == "-":
            dashes.append(index)
        index += 1


def _comment(lines: Lines, index: int, end: int) -> Comment:
    line = lines.number(index)
    before = lines.text[lines.starts[line] : index]
    return Comment(
        lines.text[index:end].rstrip(),
        index,
        line,
        len(before),
        alone=not before.strip(),
        after_blank=lines.is_blank_before(index),
        gap=len(before) - len(before.rstrip()),
    )
