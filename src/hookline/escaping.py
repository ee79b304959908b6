"""Makes text from outside safe for terminals, for JSON output and for the log of a CI job."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final

# The Unicode property Default_Ignorable_Code_Point (DerivedCoreProperties.txt) as the inside of a character class.
# Python's unicodedata does not have it. A test compares it with a library that has, for every code point.
DEFAULT_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Symbols whose glyph is empty: BRAILLE PATTERN BLANK, MUSICAL SYMBOL NULL NOTEHEAD. No property lists them.
BLANK_SYMBOLS: Final = "\u2800\U0001d159"
_INVISIBLE_SYMBOL = re.compile(f"[{DEFAULT_IGNORABLE}{BLANK_SYMBOLS}]")

# The runners of GitHub and its relatives execute `::command::` and the older `##[command]`, Azure `##vso[command]`,
# TeamCity `##teamcity[command]`. The last character of a match makes it a command.
_RUNNER_COMMAND = re.compile(r"(##[A-Za-z0-9._-]{0,24})\[|::")
_MAX_CARRIED_CHARS: Final = 32

# An e-mail address, or a telephone number. A date (2026-11-01) and a part of one are no number.
_RECIPIENT: Final = re.compile(
    r"[^\s<>\"',;:]+@[\w.-]+"
    r"|(?<!\d)(?<!\d{4}-)(?<!\d{4}-\d\d-)\+?(?!\d{4}-\d\d-\d\d)\d[\d ()/-]{6,}\d"
)


def without_recipients(text: str) -> str:
    """The text without the recipients that the wording of a provider or endpoint may contain."""
    return _RECIPIENT.sub("[recipient]", text)


def is_visible(character: str) -> bool:
    """Whether a character has a glyph, or is a space.

    Not visible are the general categories C (control, format, surrogate, private use, unassigned) and Z (separators,
    except U+0020), default ignorable characters and blank symbols.
    """
    return character.isprintable() and not _INVISIBLE_SYMBOL.match(character)


def is_invisible(character: str) -> bool:
    """Whether a character has no glyph by its definition: control, format, surrogate, line break, default ignorable.

    Unlike `is_visible`, it does not depend on the characters that this version of Python knows. Spaces are visible.
    """
    invisible = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return invisible or _INVISIBLE_SYMBOL.match(character) is not None


def printable(text: str) -> str:
    """Escapes invisible characters as in quoted YAML, so that a name cannot move the cursor or reverse a line."""
    if text.isprintable() and not _INVISIBLE_SYMBOL.search(text):
        return text
    return "".join(character if is_visible(character) else _escaped(ord(character)) for character in text)


def printable_lines(text: str) -> str:
    """`printable`, except that line breaks remain."""
    return "\n".join(map(printable, text.split("\n")))


def mask_unprintable(text: str) -> str:
    """Replaces each invisible character by one U+FFFD, so that columns do not move."""
    return "".join(character if is_visible(character) else "\N{REPLACEMENT CHARACTER}" for character in text)


def shortened(text: str, max_characters: int) -> str:
    """The text, or its beginning with an ellipsis if it is longer."""
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"


def visible_json(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A value as JSON in which every invisible character is escaped. Only line breaks of the indentation remain.

    Args:
        value: a value that the json module can write.
        indent: the indentation; None writes one line.
        ascii_only: also escape visible characters outside ASCII, for a stream that cannot contain them.
    """
    return escape_json(json.dumps(value, indent=indent, ensure_ascii=ascii_only))


def escape_json(text: str) -> str:
    """JSON with the same meaning, in which every invisible character except a line break is escaped."""
    if text.isprintable() and not _INVISIBLE_SYMBOL.search(text):
        return text
    shown = (
        character if character == "\n" or is_visible(character) else _json_escape(character) for character in text
    )
    return "".join(shown)


def by_code_point(text: str) -> str:
    """Escapes every character outside ASCII, so that a reader can distinguish characters that look alike."""
    return "".join(char if char.isascii() and is_visible(char) else _escaped(ord(char)) for char in text)


def ci_log_text(text: str) -> str:
    """Text that may appear in the log of a CI job: its runner finds no command in it.

    Escapes the last character of each command. In a JSON string and in quoted YAML the escape has the same meaning.
    """
    return _RUNNER_COMMAND.sub(_without_command, text)


class CiLogFilter:
    """`ci_log_text` for a stream of bytes that arrive in pieces. The encoding contains ASCII."""

    def __init__(self) -> None:
        self._carried = ""

    def feed(self, data: bytes) -> bytes:
        """The next piece, escaped. It may end within a command: then the rest of the command is escaped."""
        text = data.decode("latin-1")  # each byte remains one character
        safe = ci_log_text(self._carried + text)[len(self._carried) :]
        # A command has no line break. The carried characters contain no whole command, so they never change.
        self._carried = (self._carried + safe)[-_MAX_CARRIED_CHARS:].rpartition("\n")[2]
        return safe.encode("latin-1")


def _without_command(found: re.Match[str]) -> str:
    return ":\\u003a" if found[1] is None else f"{found[1]}\\u005b"


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    """RFC 8259, section 7: characters outside the Basic Multilingual Plane are a pair of surrogates."""
    pair = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[at]:02x}{pair[at + 1]:02x}" for at in range(0, len(pair), 2))
