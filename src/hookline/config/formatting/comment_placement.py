"""Gives each comment of a file to the entry, collection or document that it belongs to."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence

from hookline.config.formatting.comment_scan import Gaps, Lines
from hookline.config.formatting.source_tree import Collection, Comment, Entry, Node, Scalar, SourceDocument, last_end

_MODELINE = "yaml-language-server:"


def place_comments(documents: Sequence[SourceDocument], lines: Lines, gaps: Gaps) -> None:
    """Fills in the comments and `after_blank` of at least one tree. Every comment gets exactly one place."""
    placement = _Placement(lines, gaps)
    for number, document in enumerate(documents):
        following = documents[number + 1].start if number + 1 < len(documents) else len(lines.text)
        placement.document(document, following)
    documents[-1].after = placement.rest()


class _Placement:
    def __init__(self, lines: Lines, gaps: Gaps) -> None:
        self._lines = lines
        self._comments = deque(gaps.comments)
        self._dashes = gaps.dashes

    def document(self, document: SourceDocument, following: int) -> None:
        if document.explicit:
            document.before = self._until(document.start)
            marker = self._lines.number(document.content_begin)
            while self._comments and not self._comments[0].alone and self._comments[0].line == marker:
                document.begin.append(self._comments.popleft())
        end = document.content_end if document.ends_explicitly else following
        root = document.root
        if isinstance(root, Collection):
            self._collection(root, end, above=-1)
            _take_head(root)
        document.inside = self._until(end)
        if document.ends_explicitly:
            marker = self._lines.number(document.content_end)
            while self._comments and not self._comments[0].alone and self._comments[0].line == marker:
                document.finish.append(self._comments.popleft())

    def rest(self) -> list[Comment]:
        return list(self._comments)

    def _until(self, index: int) -> list[Comment]:
        found = []
        while self._comments and self._comments[0].index < index:
            found.append(self._comments.popleft())
        return found

    def _collection(self, node: Collection, limit: int, above: int) -> None:
        """Places the comments in a block or flow collection.

        Args:
            node: the collection.
            limit: the index of the next text after it, or the end of a flow collection.
            above: the column of the mapping or list that contains it.
        """
        starts = [self._start_of(node, entry) for entry in node.entries]
        for number, entry in enumerate(node.entries):
            entry.after_blank = self._lines.is_blank_before(starts[number])
            entry.before += self._until(starts[number])
            following = starts[number + 1] if number + 1 < len(node.entries) else limit
            if node.flow:
                self._flow_entry(entry, following)
            else:
                self._block_entry(node, entry, following)
        if node.flow:
            node.tail = self._until(node.end)
            return
        while self._comments and self._comments[0].index < limit:
            if self._comments[0].column < node.column or self._comments[0].column <= above:
                break
            node.tail.append(self._comments.popleft())

    def _start_of(self, node: Collection, entry: Entry) -> int:
        """The beginning of an entry: its key, its item, or the dash before it."""
        if node.is_mapping or node.flow:
            return entry.start
        number = bisect_left(self._dashes, max(entry.start, node.start + 1)) - 1
        while number >= 0 and self._dashes[number] >= node.start:
            if self._lines.column(self._dashes[number]) == node.column:
                return self._dashes[number]
            number -= 1
        return entry.start

    def _flow_entry(self, entry: Entry, following: int) -> None:
        if entry.key is not None:
            entry.before += self._until(entry.value.start)
        if isinstance(entry.value, Collection):
            self._collection(entry.value, entry.value.end, above=-1)
        line = self._lines.number(max(entry.value.end - 1, 0))
        while self._comments and self._comments[0].index < following and not self._comments[0].alone:
            if self._comments[0].line != line:
                break
            entry.beside.append(self._comments.popleft())

    def _block_entry(self, node: Collection, entry: Entry, following: int) -> None:
        value = entry.value
        if isinstance(value, Collection) and not value.flow:
            if entry.key is None:
                entry.before += self._until(value.start)
            else:
                self._beside(entry, self._lines.number(entry.key.end), value.start)
            self._collection(value, following, above=node.column)
        else:
            if not (isinstance(value, Scalar) and value.start == value.end):
                entry.before += self._until(value.start)
            if isinstance(value, Collection):
                self._collection(value, value.end, above=-1)
            elif value.style in ("|", ">"):
                value.comment = next(iter(self._until(value.end)), None)
            if not (isinstance(value, Scalar) and value.style in ("|", ">")):
                self._beside(entry, self._lines.number(self._end_of(entry)), following)
        while self._comments and self._comments[0].index < following and self._comments[0].column > node.column:
            entry.after.append(self._comments.popleft())

    def _end_of(self, entry: Entry) -> int:
        empty = isinstance(entry.value, Scalar) and entry.value.start == entry.value.end
        return entry.key.end if empty and entry.key is not None else max(last_end(entry.value) - 1, 0)

    def _beside(self, entry: Entry, line: int, limit: int) -> None:
        """The comment at the end of a line, and the comments below it in the same column."""
        if not (self._comments and self._comments[0].line == line and self._comments[0].index < limit):
            return
        first = self._comments.popleft()
        entry.beside.append(first)
        while self._comments and self._comments[0].index < limit:
            line += 1
            if not self._comments[0].alone or (self._comments[0].line, self._comments[0].column) != (
                line,
                first.column,
            ):
                return
            entry.beside.append(self._comments.popleft())


def _take_head(root: Collection) -> None:
    """The comments at the top of a document stay there: above the last blank line, or up to the line for editors."""
    if not root.entries:
        return
    first = root.entries[0]
    comments = first.before
    blank = max((number for number, one in enumerate(comments) if one.after_blank and number), default=0)
    blank = len(comments) if first.after_blank else blank
    modeline = max((number + 1 for number, one in enumerate(comments) if _MODELINE in one.text), default=0)
    length = max(blank, modeline)
    root.head, first.before, root.head_apart = comments[:length], comments[length:], blank == length > 0


def all_comments(node: Node) -> Iterable[Comment]:
    """Every comment below a node."""
    if isinstance(node, Scalar):
        yield from [node.comment] if node.comment else []
        return
    yield from (*node.head, *node.tail)
    for entry in node.entries:
        yield from (*entry.before, *entry.beside, *entry.after)
        yield from all_comments(entry.value)
