"""Writes the tree of a file: two spaces for each level, the keys in their order, and every comment at its entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hookline.config.formatting.comment_placement import all_comments
from hookline.config.formatting.key_order import below, key_order
from hookline.config.formatting.scalar_text import block_lines, scalar_text
from hookline.config.formatting.source_tree import Collection, Comment, Entry, Node, Scalar, SourceDocument

MAX_FLOW_LINE_CHARACTERS = 100
# A comment with more spaces before it is aligned with others, and keeps its column.
_ALIGNED_GAP = 3
_INDENT = 2


def layout(documents: Sequence[SourceDocument]) -> str:
    writer = _Writer()
    for document in documents:
        writer.document(document)
    return writer.text()


class _Writer:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._verbatim = 0  # the number of lines that end with a block, whose blank lines are a part of it
        self._at_top = True  # nothing was written since the beginning of a document or collection

    def text(self) -> str:
        while len(self._lines) > self._verbatim and not self._lines[-1]:
            self._lines.pop()
        return "".join(f"{line}\n" for line in self._lines)

    def _line(self, text: str) -> None:
        self._lines.append(text.rstrip())
        self._at_top = False

    def _blank(self) -> None:
        if self._lines and not self._at_top and self._lines[-1] and len(self._lines) > self._verbatim:
            self._lines.append("")

    def _alone(self, comments: Iterable[Comment], indent: int) -> None:
        for comment in comments:
            if comment.after_blank:
                self._blank()
            self._line(" " * indent + comment.text)

    def _with_comments(self, text: str, comments: Sequence[Comment]) -> None:
        """A line with the comment beside it, and below it the other comments in the same column."""
        for number, comment in enumerate(comments):
            if number == 0:
                gap = max(comment.gap, 1) if comment.gap < _ALIGNED_GAP else max(comment.column - len(text), 1)
                column = len(text) + gap
                self._line(text + " " * gap + comment.text)
            else:
                self._line(" " * column + comment.text)
        if not comments:
            self._line(text)

    def document(self, document: SourceDocument) -> None:
        self._alone(document.before, 0)
        for line in document.directives:
            self._line(line)
        if document.explicit:
            self._with_comments("---", document.begin)
            self._at_top = True
        root = document.root
        if isinstance(root, Collection):
            self._alone(root.head, 0)
            if root.head_apart:
                self._blank()
            if root.flow:
                self._flow_root(root)
            else:
                self._entries(root, 0, ())
        self._alone(document.inside, 0)
        if document.ends_explicitly:
            self._with_comments("...", document.finish)
        self._alone(document.after, 0)

    def _flow_root(self, root: Collection) -> None:
        for line in _flow_lines(root, "", 0, ()):
            self._line(line)

    def _entries(self, node: Collection, indent: int, path: tuple[str, ...], prefix: str = "") -> None:
        """The entries of a block. `prefix` are the dashes on the line of the first one."""
        for number, entry in enumerate(_sorted(node, path)):
            if entry.after_blank and not entry.before:
                self._blank()
            elif entry.before:
                self._alone(entry.before, indent)
                if entry.after_blank:
                    self._blank()
            lead = prefix if number == 0 and prefix else " " * indent
            self._entry(entry, lead, indent, below(path, entry.name))
        self._alone(node.tail, indent)

    def _entry(self, entry: Entry, lead: str, indent: int, path: tuple[str, ...]) -> None:
        value = entry.value
        head = lead + ("-" if entry.key is None else f"{scalar_text(entry.key, flow=False)}:")
        if isinstance(value, Collection) and not value.flow:
            self._block(entry, value, head, indent, path)
        elif isinstance(value, Scalar) and value.style in ("|", ">"):
            self._block_scalar(value, head, indent)
        else:
            lines = (
                [f"{head} {scalar_text(value, flow=False)}".rstrip()]
                if isinstance(value, Scalar)
                else _flow_lines(value, f"{head} ", indent, path)
            )
            for line in lines[:-1]:
                self._line(line)
            self._with_comments(lines[-1], entry.beside)
        self._alone(entry.after, indent if len(self._lines) == self._verbatim else indent + _INDENT)

    def _block(self, entry: Entry, value: Collection, head: str, indent: int, path: tuple[str, ...]) -> None:
        if entry.key is not None:
            self._with_comments(head, entry.beside)
            self._at_top = True
            self._entries(value, indent + _INDENT, path)
            self._at_top = False
            return
        first = next(iter(_sorted(value, path)), None)
        if first is not None and first.before:  # above the dash, so that the item begins beside it
            self._alone(first.before, indent)
            first.before = []
        if first is not None:
            first.after_blank = False
        self._entries(value, indent + _INDENT, path, prefix=f"{head} ")

    def _block_scalar(self, value: Scalar, head: str, indent: int) -> None:
        indicators, texts = block_lines(value)
        self._with_comments(f"{head} {indicators}", [value.comment] if value.comment else [])
        for text in texts:
            self._lines.append(" " * (indent + _INDENT) + text if text else "")
        self._verbatim = len(self._lines)


def _sorted(node: Collection, path: tuple[str, ...]) -> list[Entry]:
    if not node.is_mapping:
        return node.entries
    order = key_order(path)
    return sorted(node.entries, key=lambda entry: order.get(entry.name or "", len(order)))


def _flow_lines(node: Collection, head: str, indent: int, path: tuple[str, ...]) -> list[str]:
    """A collection in brackets: on one line, or with a line for each entry if it is long or has comments."""
    if not any(True for _ in all_comments(node)):
        line = head + _one_line(node, path)
        if len(line) <= MAX_FLOW_LINE_CHARACTERS or not node.entries:
            return [line]
    opening, closing = _brackets(node)
    lines = [head + opening]
    inner = " " * (indent + _INDENT)
    for entry in _sorted(node, path):
        lines += [inner + one.text for one in entry.before]
        at = below(path, entry.name)
        key = inner if entry.key is None else f"{inner}{scalar_text(entry.key, flow=True)}: "
        value = entry.value
        texts = (
            [key + scalar_text(value, flow=True)]
            if isinstance(value, Scalar)
            else _flow_lines(value, key, indent + _INDENT, at)
        )
        texts[-1] += ","
        texts[-1] += "".join(f" {one.text}" for one in entry.beside[:1])
        lines += [*texts, *(inner + one.text for one in entry.beside[1:])]
    lines += [inner + one.text for one in node.tail]
    return [*lines, " " * indent + closing]


def _brackets(node: Collection) -> tuple[str, str]:
    return ("{", "}") if node.is_mapping else ("[", "]")


def _one_line(node: Node, path: tuple[str, ...]) -> str:
    if isinstance(node, Scalar):
        return scalar_text(node, flow=True)
    opening, closing = _brackets(node)
    parts = []
    for entry in _sorted(node, path):
        value = _one_line(entry.value, below(path, entry.name))
        parts.append(value if entry.key is None else f"{scalar_text(entry.key, flow=True)}: {value}")
    return opening + ", ".join(parts) + closing
