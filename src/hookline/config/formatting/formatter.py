"""Formats a webhook file or a defaults file. Its values and its comments are the same afterwards; this is checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hookline.config import error_codes
from hookline.config.discovery import WebhookFile
from hookline.config.formatting.comment_placement import place_comments
from hookline.config.formatting.comment_scan import Gaps, Lines, scan_gaps
from hookline.config.formatting.layout import layout
from hookline.config.formatting.source_tree import build_documents
from hookline.config.formatting.yaml_events import placed_events
from hookline.config.source_text import (
    SourceFinding,
    SourcePosition,
    SourceText,
    decode_source,
    source_diagnostic,
)
from hookline.config.yaml_parser import YamlDocument, find_positions, parse_yaml
from hookline.diagnostics import Diagnostic


class NotFormatted(Exception):
    """The formatted text would differ from the file in a value or a comment: a fault of the formatter."""


@dataclass(frozen=True, slots=True)
class FormattedFile:
    """The content of a file before and after. `diagnostics` are the reasons why it cannot be read."""

    name: str
    before: bytes
    after: bytes
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def differs(self) -> bool:
        return self.before != self.after


def format_file(file: WebhookFile) -> FormattedFile:
    """Formats a file with any content; one that cannot be read stays as it is. The line ends are those of its first
    line. Raises NotFormatted."""
    source = decode_source(file.data)
    if not isinstance(source, SourceText):
        return FormattedFile(file.name, file.data, file.data, (source_diagnostic(file.name, source),))
    text = source.text.replace("\r\n", "\n").replace("\r", "\n")
    parsed = parse_yaml(text)
    findings = [*parsed.findings, *_not_mappings(parsed.documents)]
    if findings:
        hidden = find_positions(text).hidden
        located = tuple(source_diagnostic(file.name, one, SourceText(text), hidden) for one in findings)
        return FormattedFile(file.name, file.data, file.data, located)
    formatted, comments = _formatted(text)
    if formatted != text:
        _require_same(formatted, parsed.documents, comments)
    first, line_end, _ = source.text.partition("\n")
    after = formatted.replace("\n", "\r\n") if line_end and first.endswith("\r") else formatted
    return FormattedFile(file.name, file.data, after.encode())


def _not_mappings(documents: Iterable[YamlDocument]) -> list[SourceFinding]:
    hint = "write one document per webhook, with the keys version, organization …; separate documents by ---"
    return [
        SourceFinding(
            code=error_codes.WRONG_TYPE,
            position=SourcePosition(document.line, 1),
            summary="must be a mapping of keys",
            hint=hint,
        )
        for document in documents
        if document.value is not None and type(document.value) is not dict
    ]


def _formatted(text: str) -> tuple[str, list[str]]:
    """The formatted text, and the comments of the text."""
    lines = Lines.of(text)
    events = list(placed_events(text))
    gaps = scan_gaps(lines, events)
    documents = build_documents(text, events)
    if documents:
        place_comments(documents, lines, gaps)
        return layout(documents), _texts(gaps)
    kept = "\n".join(line.strip() for line in text.split("\n")).strip("\n")
    return (f"{kept}\n" if kept else ""), _texts(gaps)


def _require_same(formatted: str, documents: Sequence[YamlDocument], comments: list[str]) -> None:
    gaps = scan_gaps(Lines.of(formatted), list(placed_events(formatted)))
    if _values(parse_yaml(formatted).documents) != _values(documents) or _texts(gaps) != comments:
        raise NotFormatted


def _values(documents: Iterable[YamlDocument]) -> str:
    """The values with their types, because 1 and true are equal in Python."""
    return json.dumps([document.value for document in documents], sort_keys=True, ensure_ascii=False)


def _texts(gaps: Gaps) -> list[str]:
    return sorted(comment.text for comment in gaps.comments)
