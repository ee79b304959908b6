"""Decodes the bytes of a file, and shows lines of it without their secrets."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from hookline.config import error_codes
from hookline.config.document_access import DocumentPath
from hookline.config.secret_names import SECRET_VALUE, SECRET_WORDS, holds_secret_form, names_secret
from hookline.diagnostics import Diagnostic
from hookline.escaping import BLANK_SYMBOLS, DEFAULT_IGNORABLE, by_code_point, mask_unprintable

# Control characters; line breaks of YAML 1.1 that are none in 1.2 (NEL, LS, PS); and default ignorable characters,
# which are invisible (soft hyphen, fillers) or change the displayed order of the text (https://trojansource.codes).
# A description or a comment may contain the joiners and variation selectors that emoji and several scripts need.
_INVISIBLE = re.compile(
    "(?![\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef])"
    rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff{BLANK_SYMBOLS}{DEFAULT_IGNORABLE}]"
)
# Those of `_INVISIBLE` in an ASCII text, which most files are: a search takes a tenth of the time.
_INVISIBLE_ASCII = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_EXCERPT_CHARACTERS = 160
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_UTF_16_AND_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_REFERENCE = r"\{\s*(?:env|file)\s*:[^,{}]*\}"
# Of a text that cannot be parsed. A parsed text has `HiddenText.spans`, which also know lists and lines below a key.
_SECRET_KEY = re.compile(
    rf"""((?:{"|".join(sorted(SECRET_WORDS))}|key|code|pass)["']?\s*:\s+)(?!{_REFERENCE})(\S.*)""", re.IGNORECASE
)
_PARAMETER_IN_URL = re.compile(r"""([?&;/]([^=&;/?\s"']+)=)[^&;/\s"'#]+""")
_ENCODED = re.compile(r"""[^\s"'/?&;=]*%[0-9A-Fa-f]{2}[^\s"'/?&;=]*""")
_USER_IN_URL = re.compile(r"(://)[^/?#@\s]*@")


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Line and column, both from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class PositionMap:
    keys: dict[DocumentPath, SourcePosition]
    values: dict[DocumentPath, SourcePosition]

    def of(self, path: DocumentPath, *, on_key: bool) -> SourcePosition:
        """Returns the position of a key or value, or of its nearest parent if it is not in the file."""
        if path in self.values and not (on_key and path in self.keys):
            return self.values[path]
        for length in range(len(path), 0, -1):
            if path[:length] in self.keys:
                return self.keys[path[:length]]
        return self.values[()]


@dataclass(frozen=True, slots=True)
class HiddenText:
    """The parts of a text that no message shows: beginning and end of each; None is the end of the text.

    `complete`: the text could be parsed to its end, so that there are no others.
    """

    spans: tuple[tuple[SourcePosition, SourcePosition | None], ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFinding:
    """A problem of the text: it is not YAML, or YAML that webhook files do not allow."""

    code: str
    position: SourcePosition
    summary: str
    hint: str


def source_diagnostic(
    file: str, finding: SourceFinding, text: SourceText | None = None, hidden: HiddenText | None = None
) -> Diagnostic:
    """A finding of a file's text. Without `text` and `hidden`, it has no excerpt."""
    line, column = finding.position.line, finding.position.column
    excerpt = None if text is None or hidden is None else text.excerpt(line, column, hidden)
    return Diagnostic(
        code=finding.code,
        file=file,
        line=line,
        column=column,
        summary=finding.summary,
        hint=finding.hint,
        excerpt=excerpt,
    )


@dataclass(frozen=True)
class SourceText:
    text: str

    @cached_property
    def _lines(self) -> list[str]:
        return _LINE_BREAK.split(self.text)

    def excerpt(self, line: int, column: int, hidden: HiddenText) -> str | None:
        """A printable line without its secrets, cut if long; None if `column` (from 1) is too far right."""
        limit = _MAX_EXCERPT_CHARACTERS
        if line > len(self._lines) or column > limit:
            return None
        shown = _without_spans(self._lines[line - 1], line, hidden)
        excerpt = _masked(shown.replace("\t", " ")[: 4 * limit], hidden)
        return excerpt if len(excerpt) <= limit else excerpt[: limit - 1] + "…"

    def shown_lines(self, hidden: HiddenText) -> list[str]:
        """All lines, printable and without their secrets."""
        shown, spans, passed = [], hidden.spans, 0
        for number, text in enumerate(self._lines, start=1):
            while passed < len(spans) and (end := spans[passed][1]) is not None and end.line < number:
                passed += 1
            following = passed
            while following < len(spans) and spans[following][0].line <= number:
                following += 1
            here = HiddenText(spans[passed:following], hidden.complete)
            shown.append(_masked(_without_spans(text, number, here), hidden))
        return shown


def _masked(text: str, hidden: HiddenText) -> str:
    excerpt = mask_unprintable(text)
    excerpt = _USER_IN_URL.sub(r"\1[hidden]@", _PARAMETER_IN_URL.sub(_hide_parameter, excerpt))
    if not hidden.complete:
        excerpt = _SECRET_KEY.sub(r"\1[hidden]", excerpt)
    return _ENCODED.sub(_hide_encoded, SECRET_VALUE.sub("[hidden]", excerpt))


def _without_spans(text: str, line: int, hidden: HiddenText) -> str:
    """A line with `[hidden]` for each hidden part of it. The spans are in order and do not overlap."""
    pieces, shown_from = [], 0
    for begin, end in hidden.spans:
        if begin.line > line or (end is not None and end.line < line):
            continue
        first = begin.column - 1 if begin.line == line else 0
        last = end.column - 1 if end is not None and end.line == line else len(text)
        value = text[first:last]
        blanks = len(value) - len(value.lstrip(" :-"))
        if value.strip(" :-"):
            pieces += [text[shown_from : first + blanks], "[hidden]"]
            shown_from = first + len(value.rstrip())
    return "".join([*pieces, text[shown_from:]])


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}[hidden]" if names_secret(unquote(found[2])) else found[0]


def _hide_encoded(found: re.Match[str]) -> str:
    return "[hidden]" if holds_secret_form(unquote(found[0])) else found[0]


def decode_source(data: bytes) -> SourceText | SourceFinding:
    """Decodes UTF-8, with or without a byte order mark. Refuses other bytes and invisible characters."""
    if data.startswith(_UTF_16_AND_32) or (b"\x00" in data[:4] and len(data) >= 4):
        return _refuse(error_codes.NOT_UTF8, "", "the file is UTF-16 or UTF-32 text", "save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        summary = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return _refuse(error_codes.NOT_UTF8, before, summary, "save the file as UTF-8")
    if found := (_INVISIBLE_ASCII if text.isascii() else _INVISIBLE).search(text):
        char = found[0]
        name = unicodedata.name(char, "control character")
        more = len(_INVISIBLE.findall(text)) - 1
        summary = f"invisible character U+{ord(char):04X} ({name.lower()})"
        summary += f", and {more} more in this file" if more else ""
        hint = f'remove it, or write it as an escape in double quotes: "{by_code_point(char)}"'
        return _refuse(error_codes.CONTROL_CHARACTER, text[: found.start()], summary, hint)
    return SourceText(text)


def _refuse(code: str, before: str, summary: str, hint: str) -> SourceFinding:
    """Creates a finding. Its position is the end of `before`, the text of the file up to the problem."""
    lines = _LINE_BREAK.split(before)
    position = SourcePosition(len(lines), len(lines[-1]) + 1)
    return SourceFinding(code=code, position=position, summary=summary, hint=hint)
