"""Text that somebody else wrote, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what does not print escaped as in a double-quoted YAML string (as in JSON up to U+FFFF).

    A name in a pull request must not move the reviewer's cursor, clear the screen or turn the direction of a line.
    """
    return "".join(character if character.isprintable() else _escaped(ord(character)) for character in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
