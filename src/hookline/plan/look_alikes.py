"""Recognizes two different texts that look alike on a screen."""

from __future__ import annotations

import unicodedata


def look_alike(one: str, other: str) -> bool:
    """Whether a reader may take two different texts for the same.

    They are the same after Unicode normalization (NFC and NFD, full-width letters, ligatures), or they differ only in
    letters of different scripts at the same places (a Cyrillic and a Latin `o`). ASCII texts never look alike.
    """
    if one == other or (one.isascii() and other.isascii()):
        return False
    first, second = (unicodedata.normalize("NFKC", text) for text in (one, other))
    if first == second:
        return True
    if len(first) != len(second):
        return False
    differing = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    return 2 * len(differing) <= len(first) and all(_script(a) != _script(b) for a, b in differing)


def _script(character: str) -> str:
    """The first word of the character's name, which is its script for letters: LATIN, CYRILLIC, GREEK."""
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""
