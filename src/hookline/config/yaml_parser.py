"""Parses webhook files: one pass over the YAML events builds documents and refuses YAML that surprises readers.

This is the only module that reads with the YAML library, and it uses only the event stream. The library's composer is
recursive C code that ends the process on 50,000 open brackets; it resolves aliases, and it lets the last of two equal
keys win. Only a file with a finding needs the second pass, `find_positions`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from hookline.config import error_codes
from hookline.config.document_access import MAX_FINDINGS, SECRET_SECTIONS, DocumentPath, path_text, quote
from hookline.config.hidden_spans import HiddenSpans
from hookline.config.secret_names import names_secret
from hookline.config.source_text import HiddenText, PositionMap, SourceFinding, SourcePosition
from hookline.config.yaml_errors import syntax_finding
from hookline.config.yaml_nesting import REFUSED_KEY_NAME, Nesting, OpenContainer, RefusedKey
from hookline.config.yaml_scalars import BOOLEAN_WORDS, NUMBERS, Ambiguous, resolve

try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # PyYAML was built without libyaml: the same events, eight times slower
    from yaml import Loader as _Parser  # type: ignore[assignment]

# An event of the library. Its type stubs leave the marks optional; its parsers always set them.
_Event = Any

MAX_DEPTH = 50
MAX_DOCUMENTS = 50_000
MAX_DOCUMENT_BYTES = 1 << 20
# A document with fewer characters cannot be too large, because a character has at most four bytes.
_MIN_COUNTED_CHARACTERS = MAX_DOCUMENT_BYTES // 4


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A parsed document. `refused` contains the paths of refused values, which need no further findings."""

    line: int
    value: Any
    refused: frozenset[DocumentPath]


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The complete documents of a file, and its findings in the order of the file."""

    documents: tuple[YamlDocument, ...]
    findings: tuple[SourceFinding, ...]


def parse_yaml(text: str) -> ParsedFile:
    builder = _Builder(text)
    try:
        builder.read()
    except yaml.YAMLError as error:
        builder.findings.append(syntax_finding(error, text))
    return ParsedFile(tuple(builder.documents), tuple(builder.findings))


@dataclass(frozen=True, slots=True)
class TextPositions:
    """The positions of all keys and values, one map for each complete document, and the text that is not shown."""

    documents: list[PositionMap]
    hidden: HiddenText


def find_positions(text: str) -> TextPositions:
    builder = _Builder(text, with_positions=True)
    complete = False
    with suppress(yaml.YAMLError):  # `parse_yaml` has reported it
        complete = builder.read()
    return TextPositions(builder.position_maps, HiddenText(tuple(builder.hidden.spans()), complete))


def _position(event: _Event) -> SourcePosition:
    return SourcePosition(event.start_mark.line + 1, event.start_mark.column + 1)


def _end_position(event: _Event) -> SourcePosition:
    return SourcePosition(event.end_mark.line + 1, event.end_mark.column + 1)


class _TooManyFindings(Exception):
    """Ends the reading of a file."""


class _Builder:
    """Builds documents from events without recursion."""

    def __init__(self, text: str, *, with_positions: bool = False) -> None:
        self.documents: list[YamlDocument] = []
        self.findings: list[SourceFinding] = []
        self.position_maps: list[PositionMap] = []
        self._text, self._with_positions = text, with_positions
        self._may_be_large = len(text) > _MIN_COUNTED_CHARACTERS
        self.hidden = HiddenSpans()
        self._nesting = Nesting()
        self._stack = self._nesting.stack
        self._begin_document(0)

    def _begin_document(self, index: int) -> None:
        self._begin = self._counted = index
        self._bytes, self._root_line = 0, 1
        self._root: Any = None
        self._refused: set[DocumentPath] = set()
        self._positions = PositionMap({}, {})

    def read(self) -> bool:
        """Processes the events of the text. Stops if the rest cannot be parsed safely, and then returns False."""
        parser = _Parser(self._text)
        try:
            while (event := parser.get_event()) is not None:
                if type(event) is yaml.ScalarEvent and not self._may_be_large:  # most events
                    self._scalar(event)
                elif not self._take(event):
                    return False
        except _TooManyFindings:
            last = self.findings[-1].position
            summary, hint = "the rest of the file is not examined", "correct the errors above, then validate again"
            self.findings.append(
                SourceFinding(code=error_codes.MORE_INVALID, position=last, summary=summary, hint=hint)
            )
            return False
        finally:
            parser.dispose()
        return True

    def _take(self, event: _Event) -> bool:
        """Processes one event. Returns False if parsing must stop."""
        if self._may_be_large and self._is_large(event.end_mark.index):
            summary = f"document larger than {MAX_DOCUMENT_BYTES >> 20} MiB"
            self._refuse(error_codes.TOO_LARGE, event, summary, "split it: one document per webhook")
            return False
        kind = type(event)  # `match` takes three times as long, because it asks the classes
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            return self._open(event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            closed = self._stack.pop()
            if closed.below_secret:
                self._close_hidden(event, closed.container)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            if len(self.documents) >= MAX_DOCUMENTS:
                hint = "split it: one file per webhook"
                self._add(error_codes.TOO_LARGE, event, f"more than {MAX_DOCUMENTS:,} documents in a file", hint)
                return False
            self._begin_document(event.start_mark.index)
            if event.tags:
                self._refuse(error_codes.TAG, event, "%TAG directive", "remove it: webhook files use no tags")
        elif kind is yaml.DocumentEndEvent:
            self.documents.append(YamlDocument(self._root_line, self._root, frozenset(self._refused)))
            self.position_maps.append(self._positions)
        return True

    def _is_large(self, end: int) -> bool:
        if end - self._begin <= _MIN_COUNTED_CHARACTERS:
            return False
        # Counts each character once, because a large document has many events.
        self._bytes += len(self._text[self._counted : end].encode(errors="replace"))
        self._counted = max(end, self._counted)
        return self._bytes > MAX_DOCUMENT_BYTES

    def _refuse(self, code: str, event: _Event, problem: str, hint: str) -> None:
        """Adds a finding. Its summary is the path of the event and `problem`; no path leads through a refused key."""
        where = "" if REFUSED_KEY_NAME in (path := self._nesting.path()) else path_text(path)
        self._add(code, event, f"{where}: {problem}" if where else problem, hint)

    def _add(self, code: str, event: _Event, summary: str, hint: str) -> None:
        self.findings.append(SourceFinding(code=code, position=_position(event), summary=summary, hint=hint))
        if len(self.findings) >= MAX_FINDINGS:
            raise _TooManyFindings

    def _shown(self, value: object) -> str:
        return '"…"' if self._nesting.is_secret() else quote(value)

    def _close_hidden(self, event: _Event, value: object) -> None:
        """Ends the hidden value, if the value that ends is the outermost one."""
        if not (self._stack and self._stack[-1].below_secret):
            self.hidden.end(_end_position(event), value)

    def _refuse_properties(self, event: _Event) -> None:
        if event.anchor is not None:
            hint = "write the value at each place that needs it, so that a reviewer sees it there"
            name = "…" if self._nesting.is_secret() else event.anchor
            self._refuse(error_codes.ANCHOR, event, f"anchor &{name}", hint)
        if event.tag is not None:
            hint = 'remove the tag; quote the value to make it a string: "…"'
            self._refuse(error_codes.TAG, event, f"tag {self._shown(event.tag)}", hint)
            self._refused.add(self._nesting.path())

    def _scalar(self, event: _Event) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        value = event.value if event.style or not event.implicit[0] else resolve(event.value)
        if self._stack and self._stack[-1].expects_key:  # not `expects_key`: this is the hot path
            self._key(event, value)
        elif isinstance(value, Ambiguous):
            self._refuse_ambiguous(event, value)
            self._refused.add(self._nesting.path())
            self._put(event, value.text)
            self._close_hidden(event, value)
        else:
            self._put(event, value)
            if self.hidden.begin is not None:
                self._close_hidden(event, value)

    def _refuse_ambiguous(self, event: _Event, value: Ambiguous) -> None:
        secret = self._nesting.is_secret()
        text = self._shown(value.text)
        other = "a text" if value.reading == BOOLEAN_WORDS else "something else"
        summary = f"some YAML parsers read unquoted {text[1:-1]} as {value.reading}, others as {other}"
        hint = f"quote it: {text}"
        if value.reading == BOOLEAN_WORDS and not self._nesting.expects_key():
            hint += "; for a switch write true or false"
        elif value.reading in NUMBERS and not secret:
            hint += "; for a number write plain decimal digits"
        self._refuse(error_codes.AMBIGUOUS_SCALAR, event, summary, hint)

    def _key(self, event: _Event, value: Any) -> None:
        parent = self._stack[-1]
        key: Any = RefusedKey()
        if event.value == "<<" and not event.style:
            self._refused.add((*self._nesting.path(), "<<"))
            hint = "write the keys out, so that a reviewer sees every value"
            self._refuse(error_codes.MERGE_KEY, event, "merge key <<", hint)
        elif isinstance(value, Ambiguous):
            self._refuse_ambiguous(event, value)
        elif not isinstance(value, str):
            hint = f"quote it: {self._shown(event.value)}" if event.value else "write a key before the colon"
            self._refuse(error_codes.KEY_NOT_STRING, event, f"key {self._shown(value)} is not a string", hint)
        elif value in parent.container:
            hint = f"keep one of the two; the first is on line {parent.lines[value]}"
            self._refuse(error_codes.DUPLICATE_KEY, event, f"key {self._shown(value)} is written twice", hint)
        else:
            key = value
        parent.key, parent.expects_key = key, False
        is_section = len(self._stack) == 1 and event.value in SECRET_SECTIONS
        parent.secret = parent.below_secret or names_secret(event.value) or is_section
        if parent.secret and self.hidden.begin is None and self._with_positions:
            self.hidden.begin = _end_position(event)
        parent.lines[key] = event.start_mark.line + 1
        if self._with_positions and isinstance(key, str):
            self._positions.keys[self._nesting.path()] = _position(event)

    def _alias(self, event: _Event) -> None:
        if not (self._stack and isinstance(self._stack[-1].key, RefusedKey) and not self._stack[-1].expects_key):
            hint = "write the value out, so that a reviewer sees it here"
            name = "…" if self._nesting.is_secret() else event.anchor
            self._refuse(error_codes.ALIAS, event, f"alias *{name}", hint)
        if self._nesting.expects_key():
            self._nesting.refuse_key()
        else:
            self._refused.add(self._nesting.path())
            self._put(event, None)
            self._close_hidden(event, None)

    def _open(self, event: _Event) -> bool:
        if len(self._stack) >= MAX_DEPTH:
            hint = "close open brackets; webhook files need 5 levels"
            self._add(error_codes.TOO_DEEP, event, f"nested deeper than {MAX_DEPTH} levels", hint)
            return False
        container: dict[Any, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if len(self._stack) == 1 and self._stack[0].key in SECRET_SECTIONS and container == {}:
            self._stack[0].secret, self.hidden.begin = False, None
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        below_secret = self._nesting.is_secret()
        if self._nesting.expects_key():
            index = event.start_mark.index
            summary, hint = "a list or a mapping is used as a key", "write a plain word before the colon"
            if self._text[index - 1 : index + 1] == "{{":
                summary, hint = "template braces: {{ … }}", "write the value itself; hookline expands no templates"
            self._refuse(error_codes.KEY_NOT_STRING, event, summary, hint)
            if self._nesting.path():
                self._refused.add(self._nesting.path())
            self._nesting.refuse_key()
        else:
            self._put(event, container)
        self._stack.append(OpenContainer(container, isinstance(container, dict), below_secret, below_secret))
        return True

    def _put(self, event: _Event, value: Any) -> None:
        if self._with_positions:
            self._positions.values[self._nesting.path()] = _position(event)
        parent = self._stack[-1] if self._stack else None
        if parent is None:
            self._root, self._root_line = value, event.start_mark.line + 1
        elif isinstance(parent.container, list):
            parent.container.append(value)
        else:
            if isinstance(parent.key, str):
                parent.container[parent.key] = value
            parent.expects_key = True
