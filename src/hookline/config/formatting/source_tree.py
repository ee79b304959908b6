"""The documents of a file as a tree that knows the place of each value and keeps the comments.

A comment belongs to the entry that follows it, or to the line that it ends. A comment that is indented more than the
next key belongs to the mapping or list that ends before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hookline.config.formatting.yaml_events import EventKind, PlacedEvent


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment from its # to the end of the line, without spaces there.

    `alone`: nothing else is on its line. `after_blank`: the line before is blank. `gap` is the number of spaces
    between the text of the line and the comment.
    """

    text: str
    index: int
    line: int
    column: int
    alone: bool
    after_blank: bool
    gap: int = 0


@dataclass(slots=True)
class Scalar:
    """A value. `raw` is its text in the file, with quotes."""

    value: str
    style: str
    raw: str
    start: int
    end: int
    column: int
    comment: Comment | None = None  # of the first line of a block scalar


@dataclass(slots=True)
class Collection:
    """A mapping or a list. `head` and `tail` are comments at its beginning and end.

    `head_apart`: a blank line follows the head.
    """

    is_mapping: bool
    flow: bool
    start: int
    column: int
    end: int = 0
    entries: list[Entry] = field(default_factory=list)
    head: list[Comment] = field(default_factory=list)
    head_apart: bool = False
    tail: list[Comment] = field(default_factory=list)


Node = Scalar | Collection


@dataclass(slots=True)
class Entry:
    """A key with its value, or an item of a list, with its comments.

    `before` are the comments above it. `beside` ends its first line if a block follows, otherwise its last one; more
    lines of `beside` are below in the same column. `after` are comments below it that are indented more.
    """

    key: Scalar | None
    value: Node
    start: int
    after_blank: bool = False
    before: list[Comment] = field(default_factory=list)
    beside: list[Comment] = field(default_factory=list)
    after: list[Comment] = field(default_factory=list)

    @property
    def name(self) -> str | None:
        return None if self.key is None else self.key.value


@dataclass(slots=True)
class SourceDocument:
    """`directives` are the lines before ``---``. `begin` and `finish` are the comments of the two markers' lines."""

    start: int
    explicit: bool
    directives: list[str]
    content_begin: int = 0
    root: Node | None = None
    content_end: int = 0
    ends_explicitly: bool = False
    before: list[Comment] = field(default_factory=list)
    begin: list[Comment] = field(default_factory=list)
    inside: list[Comment] = field(default_factory=list)
    finish: list[Comment] = field(default_factory=list)
    after: list[Comment] = field(default_factory=list)


def build_documents(text: str, events: Iterable[PlacedEvent]) -> list[SourceDocument]:
    """The trees, without comments."""
    documents: list[SourceDocument] = []
    stack: list[Collection] = []
    keys: list[Scalar | None] = []
    for event in events:
        match event.kind:
            case EventKind.DOCUMENT:
                lines = text[event.start : event.end - 3].splitlines() if event.explicit else []
                documents.append(SourceDocument(event.start, event.explicit, [line.rstrip() for line in lines]))
                documents[-1].content_begin = documents[-1].content_end = event.end
            case EventKind.DOCUMENT_END:
                documents[-1].content_end = event.start
                documents[-1].ends_explicitly = event.explicit
            case EventKind.END:
                stack.pop().end = event.end
                keys.pop()
            case EventKind.MAPPING | EventKind.SEQUENCE:
                made = Collection(event.kind is EventKind.MAPPING, event.flow, event.start, event.column)
                _add(documents[-1], stack, keys, made)
                stack.append(made)
                keys.append(None)
            case EventKind.SCALAR:
                raw = text[event.start : event.end]
                scalar = Scalar(event.value, event.style, raw, event.start, event.end, event.column)
                _add(documents[-1], stack, keys, scalar)
    return documents


def _add(document: SourceDocument, stack: list[Collection], keys: list[Scalar | None], node: Node) -> None:
    if not stack:
        document.root = node
        return
    parent = stack[-1]
    if parent.is_mapping and keys[-1] is None:
        assert isinstance(node, Scalar)
        keys[-1] = node
        return
    key = keys[-1]
    parent.entries.append(Entry(key, node, node.start if key is None else key.start))
    keys[-1] = None


def last_end(node: Node) -> int:
    """The end of the last text of a node. A block has the end of its last value, without blank lines."""
    while isinstance(node, Collection) and not node.flow and node.entries:
        node = node.entries[-1].value
    return node.end
