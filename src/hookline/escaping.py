"""Text of others, made safe for terminals and logs."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with its unprintable characters escaped as in a double-quoted YAML string (as in JSON up to U+FFFF).

    A name in a pull request must not move the reviewer's cursor, clear the screen or turn the direction of a line.
    """
    return "".join(character if character.isprintable() else _escaped(ord(character)) for character in text)


def masked(text: str) -> str:
    """`text` with each unprintable character replaced by one U+FFFD, so that columns remain where they are."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
