"""Bytes of a file as text, or why they are not."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from hookline.config import error_codes
from hookline.config.secret_names import SECRET_VALUE, SECRET_WORDS
from hookline.config.yaml_parser import Refusal, SourcePosition
from hookline.escaping import masked

# Besides the control characters: what YAML 1.1 takes for a line break and 1.2 does not (NEL, LS, PS), what nobody
# sees within a name (soft hyphen, zero-width space, word joiner), and what changes the order in which a reviewer sees
# the text (https://trojansource.codes).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
_LONGEST_EXCERPT = 160
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_UTF_16_AND_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_SECRET_KEY = re.compile(
    rf"""((?:{"|".join(sorted(SECRET_WORDS))}|key)["']?\s*:\s+)(?![{{"'\s]*(?:env|file)\b)(?![{{\[|>])(\S.*)""",
    re.IGNORECASE,
)
_SECRET_IN_URL = re.compile(rf"""([?&][^=&\s]*(?:{"|".join(sorted(SECRET_WORDS))}|key)=)[^&\s"'#]+""", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(://)[^/?#@\s]*@")


@dataclass(frozen=True)
class SourceText:
    """The text of a file, its lines for excerpts."""

    text: str

    @cached_property
    def _lines(self) -> list[str]:
        return _LINE_BREAK.split(self.text)

    def excerpt(self, line: int, column: int) -> str | None:
        """Line `line` as it may be shown; None where its `column` lies too far to the right (both from 1).

        Secrets are hidden, long lines cut, and each tab and invisible character is one that a terminal prints.
        """
        if line > len(self._lines) or column > _LONGEST_EXCERPT:
            return None
        written = self._lines[line - 1].replace("\t", " ")
        shown = masked(written[: 4 * _LONGEST_EXCERPT])
        shown = _USER_IN_URL.sub(r"\1[hidden]@", _SECRET_IN_URL.sub(r"\1[hidden]", shown))
        shown = SECRET_VALUE.sub("[hidden]", _SECRET_KEY.sub(r"\1[hidden]", shown))
        return shown if len(shown) <= _LONGEST_EXCERPT else shown[: _LONGEST_EXCERPT - 1] + "…"


def decode_source(data: bytes) -> SourceText | Refusal:
    """UTF-8, with or without a byte order mark; anything else, and what nobody can see in a review, is refused."""
    if data.startswith(_UTF_16_AND_32) or (b"\x00" in data[:4] and len(data) >= 4):
        return _refuse(error_codes.NOT_UTF8, "", "UTF-16 or UTF-32 text", "save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        return _refuse(
            error_codes.NOT_UTF8, before, f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        )
    if found := _INVISIBLE.search(text):
        char = found[0]
        name = unicodedata.name(char, "control character")
        more = len(_INVISIBLE.findall(text)) - 1
        summary = f"U+{ord(char):04X} ({name.lower()})" + (f", and {more} more in this file" if more else "")
        hint = rf'remove it, or write it as an escape in double quotes: "\u{ord(char):04x}"'
        return _refuse(error_codes.CONTROL_CHARACTER, text[: found.start()], summary, hint)
    return SourceText(text)


def _refuse(code: str, before: str, summary: str, hint: str) -> Refusal:
    lines = _LINE_BREAK.split(before)
    return Refusal(code=code, place=SourcePosition(len(lines), len(lines[-1]) + 1), summary=summary, hint=hint)
