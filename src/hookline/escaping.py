"""Makes text from outside safe for terminals and logs."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escapes unprintable characters as in quoted YAML, so that a name cannot move the cursor or reverse a line."""
    return "".join(character if character.isprintable() else _escaped(ord(character)) for character in text)


def mask_unprintable(text: str) -> str:
    """Replaces each unprintable character by one U+FFFD, so that columns do not move."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
