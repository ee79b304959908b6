"""Webhook files as values: one pass over the YAML events, which builds documents and refuses what surprises.

The only module that reads with the YAML library, and it uses only the event stream: the library's own composer is
recursive C code that ends the process on 50,000 open brackets, resolves aliases, and lets the last of two equal keys
win. Where values stand is worked out by a second pass (`places`), which only a file with a finding needs.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from hookline.config import error_codes
from hookline.config.document_access import DocumentPath, path_text, quote
from hookline.config.secret_names import looks_secret
from hookline.config.yaml_errors import SHOWS_LATER, ParsedSoFar, explain_yaml_error
from hookline.config.yaml_scalars import BOOLEAN_WORDS, NUMBERS, Ambiguous, resolve


# Where things stand in a file, and what was found in it before anybody asks what it means.
@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Line and column, both from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that YAML allows and webhook files do not, or that is no YAML."""

    code: str
    place: SourcePosition
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """`refused` are the paths whose value was refused: nothing more is worth saying about them."""

    line: int
    value: Any
    refused: frozenset[DocumentPath]


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """`documents` are the complete ones; `refusals` are in the order of the file."""

    documents: tuple[YamlDocument, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class PositionMap:
    """Where the keys and the values of one document stand."""

    keys: dict[DocumentPath, SourcePosition]
    values: dict[DocumentPath, SourcePosition]

    def of(self, path: DocumentPath, *, on_key: bool) -> SourcePosition:
        """The place of a key or value; of the nearest thing around it where it is not written in the file."""
        if on_key and path in self.keys:
            return self.keys[path]
        if path in self.values:
            return self.values[path]
        while path:
            path = path[:-1]
            if path in self.keys:
                return self.keys[path]
        return self.values[()]


try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # PyYAML was built without libyaml: the same events, eight times slower
    from yaml import Loader as _Parser  # type: ignore[assignment]

# An event of the library. Its type stubs leave the marks optional; its parsers always set them.
_Event = Any

MAX_DEPTH = 50
MAX_DOCUMENT_BYTES = 1 << 20
_SURELY_SMALL = MAX_DOCUMENT_BYTES // 4  # characters: one is at most four bytes


def parse_yaml(text: str) -> ParsedFile:
    """The documents of a file, and everything in it that is refused. Reading stops at what makes the rest unsafe."""
    builder = _Builder(text)
    try:
        _feed(builder, text)
    except yaml.YAMLError as error:
        builder.refusals.append(_syntax_error(error, text))
    return ParsedFile(tuple(builder.documents), tuple(builder.refusals))


def positions(text: str) -> list[PositionMap]:
    """Where everything stands, a map for each complete document. For a text that `parse` has read."""
    builder = _Builder(text, with_places=True)
    with suppress(yaml.YAMLError):  # `parse` has reported it
        _feed(builder, text)
    return builder.places


def _feed(builder: _Builder, text: str) -> None:
    parser = _Parser(text)
    try:
        for event in iter(parser.get_event, None):
            if not builder.take(event):
                break
    finally:
        parser.dispose()


def _syntax_error(error: yaml.YAMLError, text: str) -> Refusal:
    mark, begin, problem, context = None, None, str(error), ""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        begin = error.context_mark or mark
        problem, context = error.problem or "", error.context or ""
    summary, hint = explain_yaml_error(problem, context, _seen(text, mark, begin))
    if summary.endswith(SHOWS_LATER):
        mark = begin
    place = SourcePosition(1, 1) if mark is None else SourcePosition(mark.line + 1, mark.column + 1)
    return Refusal(code=error_codes.NOT_YAML, place=place, summary=summary, hint=hint)


def _seen(text: str, mark: yaml.Mark | None, begin: yaml.Mark | None) -> ParsedSoFar:
    return ParsedSoFar.at(text, mark.index if mark else None, begin.index if begin else None)


class _Frame:
    """A mapping or list that is being filled.

    Of a mapping, `waiting` says that a key comes next, and `lines` are the lines of its keys.
    """

    __slots__ = ("container", "key", "lines", "waiting")

    def __init__(self, container: dict[Any, Any] | list[Any]) -> None:
        self.container = container
        self.key: Any = None
        self.waiting = isinstance(container, dict)
        self.lines: dict[Any, int] = {}


_NOWHERE = "\0"  # stands for an unusable key in a path; no key of a file can hold it unescaped


class _Unusable:
    """Stands in for a key that is refused, so that its value is read past; never equal to a key of the file."""


class _Builder:
    """Fills documents from events, without recursion: `stack` holds what is open."""

    def __init__(self, text: str, *, with_places: bool = False) -> None:
        self.documents: list[YamlDocument] = []
        self.refusals: list[Refusal] = []
        self.places: list[PositionMap] = []
        self._text = text
        self._with_places = with_places
        self._stack: list[_Frame] = []
        self._begin = self._counted = self._bytes = 0
        self._reset()

    def _begin_document(self, event: _Event) -> None:
        self._begin = self._counted = event.start_mark.index
        self._reset()
        if event.tags:
            self._refuse(error_codes.TAG, event, "%TAG directive", "remove it: webhook files use no tags")

    def _reset(self) -> None:
        self._bytes = 0
        self._root: Any = None
        self._root_line = 1
        self._refused: set[DocumentPath] = set()
        self._map = PositionMap({}, {})

    def take(self, event: _Event) -> bool:
        """Use one event; False when reading must stop here."""
        if event.end_mark.index - self._begin > _SURELY_SMALL and self._is_large(event.end_mark.index):
            size = f"{MAX_DOCUMENT_BYTES >> 20} MiB"
            self._refuse(
                error_codes.TOO_LARGE, event, f"document larger than {size}", "split it: one document a webhook"
            )
            return False
        kind = type(event)  # compared one by one: `match` asks the classes and takes three times as long
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            return self._open(event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._stack.pop()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._begin_document(event)
        elif kind is yaml.DocumentEndEvent:
            self.documents.append(YamlDocument(self._root_line, self._root, frozenset(self._refused)))
            self.places.append(self._map)
        return True

    def _is_large(self, end: int) -> bool:
        """Counted as it is read, each character once: a large document has many events."""
        self._bytes += len(self._text[self._counted : end].encode(errors="replace"))
        self._counted = max(end, self._counted)
        return self._bytes > MAX_DOCUMENT_BYTES

    def _path(self) -> DocumentPath:
        """Where the value that comes next belongs; where a key comes next, its mapping."""
        parts: list[str | int] = []
        last = len(self._stack) - 1
        for depth, frame in enumerate(self._stack):
            if isinstance(frame.container, list):
                parts.append(len(frame.container) - (depth < last))  # what is open is in its list already
            elif depth < last or not frame.waiting:
                parts.append(frame.key if isinstance(frame.key, str) else _NOWHERE)
        return tuple(parts)

    def _refuse(self, code: str, event: _Event, summary: str, hint: str, *, named: bool = True) -> None:
        place = SourcePosition(event.start_mark.line + 1, event.start_mark.column + 1)
        path = self._path()
        where = path_text(path) if named and _NOWHERE not in path else ""
        self.refusals.append(
            Refusal(code=code, place=place, summary=f"{where}: {summary}" if where else summary, hint=hint)
        )

    def _refuse_properties(self, event: _Event) -> None:
        if event.anchor is not None:
            hint = "write the value where it is needed, without an anchor: a reviewer sees every value in its place"
            self._refuse(error_codes.ANCHOR, event, f"anchor &{event.anchor}", hint)
        if event.tag is not None:
            hint = 'remove the tag; quote the value to make it a string: "…"'
            self._refuse(error_codes.TAG, event, f"tag {quote(event.tag)}", hint)
            self._refused.add(self._path())

    def _scalar(self, event: _Event) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        value = event.value if event.style or not event.implicit[0] else resolve(event.value)
        if self._stack and self._stack[-1].waiting:
            self._key(event, value)
            return
        if isinstance(value, Ambiguous):
            self._refuse_ambiguous(event, value)
            self._refused.add(self._path())
            value = value.text
        self._put(event, value)

    def _refuse_ambiguous(self, event: _Event, value: Ambiguous) -> None:
        secret = any(looks_secret(part) for part in self._path() if isinstance(part, str))
        text = '"…"' if secret else quote(value.text)
        other = "a text" if value.reading == BOOLEAN_WORDS else "something else"
        summary = f"{text[1:-1]} without quotes is {value.reading} to some readers of YAML, and {other} to others"
        hint = f"quote it: {text}"
        if value.reading == BOOLEAN_WORDS and not (self._stack and self._stack[-1].waiting):
            hint += "; for a switch write true or false"
        elif value.reading in NUMBERS and not secret:
            hint += "; for a number write plain decimal digits"
        self._refuse(error_codes.AMBIGUOUS_SCALAR, event, summary, hint)

    def _key(self, event: _Event, value: Any) -> None:
        frame = self._stack[-1]
        key: Any = _Unusable()
        if event.value == "<<" and not event.style:
            self._refused.add((*self._path(), "<<"))
            hint = "write the keys out: a reviewer sees every value in its place"
            self._refuse(error_codes.MERGE_KEY, event, "merge key <<", hint)
        elif isinstance(value, Ambiguous):
            self._refuse_ambiguous(event, value)
        elif not isinstance(value, str):
            hint = f'quote it: "{event.value}"' if event.value else "write a key before the colon"
            self._refuse(error_codes.KEY_NOT_STRING, event, f"key {quote(value)} is not a string", hint)
        elif value in frame.container:
            first = frame.lines[value]
            hint = f"keep one of the two; the first is on line {first}"
            self._refuse(error_codes.DUPLICATE_KEY, event, f"key {quote(value)} is written twice", hint)
        else:
            key = value
        frame.key, frame.waiting = key, False
        frame.lines[key] = event.start_mark.line + 1
        if self._with_places and isinstance(key, str):
            self._map.keys[self._path()] = SourcePosition(event.start_mark.line + 1, event.start_mark.column + 1)

    def _alias(self, event: _Event) -> None:
        if not (self._stack and isinstance(self._stack[-1].key, _Unusable) and not self._stack[-1].waiting):
            hint = "write the value out: a reviewer sees every value in its place"
            self._refuse(error_codes.ALIAS, event, f"alias *{event.anchor}", hint)
        if self._stack and self._stack[-1].waiting:
            self._stack[-1].key, self._stack[-1].waiting = _Unusable(), False
            return
        self._refused.add(self._path())
        self._put(event, None)

    def _open(self, event: _Event) -> bool:
        if len(self._stack) >= MAX_DEPTH:
            hint = "webhook files need 5 levels; look for brackets that are not closed"
            self._refuse(error_codes.TOO_DEEP, event, f"nested deeper than {MAX_DEPTH} levels", hint, named=False)
            return False
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        container: dict[Any, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if self._stack and self._stack[-1].waiting:
            index = event.start_mark.index
            summary, hint = "a list or a mapping stands as a key", "write a plain word before the colon"
            if self._text[index - 1 : index + 1] == "{{":
                summary, hint = (
                    "braces of a template: {{ … }}",
                    "write the value itself: this is no template",
                )
            self._refuse(error_codes.KEY_NOT_STRING, event, summary, hint)
            if self._path():
                self._refused.add(self._path())
            self._stack[-1].key, self._stack[-1].waiting = _Unusable(), False
        else:
            self._put(event, container)
        self._stack.append(_Frame(container))
        return True

    def _put(self, event: _Event, value: Any) -> None:
        if self._with_places:
            self._map.values[self._path()] = SourcePosition(event.start_mark.line + 1, event.start_mark.column + 1)
        if not self._stack:
            self._root, self._root_line = value, event.start_mark.line + 1
            return
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
            return
        if isinstance(frame.key, str):
            frame.container[frame.key] = value
        frame.waiting = True
