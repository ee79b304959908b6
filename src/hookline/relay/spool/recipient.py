"""Finds a recipient's address in the texts of a spool, in each form in which formats write it.

A line keeps its address as the provider wrote it: with JSON escapes, percent-encoded in a form, or inside base64,
also one inside the other. So each text is searched as it is, and decoded step by step.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from hookline.errors import WrongUse

MIN_PHONE_DIGITS: Final = 8
MAX_NESTED_ENCODINGS: Final = 4

_PHONE: Final = re.compile(r"(?:tel:)?\+?[\d\s().\-/]+", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
_JSON_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_JSON_CHARACTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_AT: Final = r"(?:@|=40|&#0*64;|&#x0*40;|&commat;)"  # also quoted-printable, and an HTML entity
# A longer address that ends or begins with this one belongs to another recipient.
_ADDRESS_BEFORE: Final = r"(?<!\w)(?<!\w[.+\-])"
_ADDRESS_AFTER: Final = r"(?!\w)(?!\.\w)(?!-[\w\-]*\.\w)"
_DIGIT_GAP: Final = r"[\s().\-/]{0,3}"


class Recipient:
    """An e-mail address or a phone number. Immutable; its `repr` does not show it."""

    def __init__(self, text: str) -> None:
        """Raises WrongUse if the text is neither."""
        text = unicodedata.normalize("NFKC", text).strip()
        digits = re.sub(r"\D", "", text)
        if _PHONE.fullmatch(text) and len(digits) >= MIN_PHONE_DIGITS:
            digits = digits.removeprefix("00")
            pattern, self._rare, shortest = _phone_pattern(digits), "", len(digits)
        elif _EMAIL.fullmatch(text):
            pattern, self._rare, shortest = _email_pattern(text), text.rpartition("@")[0].lower(), len(text)
        else:
            raise WrongUse(
                "RECIPIENT is neither an e-mail address nor a phone number",
                hint=f"give an address with @, or a number with its country code ({MIN_PHONE_DIGITS} digits or more)",
            )
        self._pattern = re.compile(pattern, re.IGNORECASE)
        self._base64 = re.compile(rf"[A-Za-z0-9+/_\-]{{{shortest * 4 // 3 - 1},}}")

    def __repr__(self) -> str:
        return "Recipient(…)"

    def is_in(self, text: bytes | str | None) -> bool:
        """Whether the text contains the recipient, as it is or encoded."""
        if not text:
            return False
        first = text if isinstance(text, str) else bytes(text).decode("utf-8", "replace")
        return any(self._is_written_in(one) for one in self._decoded(first, MAX_NESTED_ENCODINGS, set()))

    def _is_written_in(self, text: str) -> bool:
        text = text if text.isascii() else unicodedata.normalize("NFKC", text)
        if self._rare:  # a plain search is much faster than a pattern
            return self._rare in text.lower() and self._pattern.search(text) is not None
        return any(_begins_number(text, found.start()) for found in self._pattern.finditer(text))

    def _decoded(self, text: str, depth: int, seen: set[str]) -> Iterator[str]:
        """The text, and what its encodings contain."""
        if text in seen:
            return
        seen.add(text)
        yield text
        if depth:
            for one in self._steps(text):
                yield from self._decoded(one, depth - 1, seen)

    def _steps(self, text: str) -> Iterator[str]:
        if "\\" in text:
            yield _JSON_ESCAPE.sub(_json_character, text)
        if "%" in text:
            yield unquote(text, errors="replace")
        if chunks := [chunk for found in self._base64.finditer(text) for chunk in _base64_texts(found[0])]:
            yield "\n".join(chunks)


def _email_pattern(address: str) -> str:
    local, _, domain = address.rpartition("@")
    domains = {domain, *_idna_forms(domain)}
    either = "|".join(sorted(re.escape(one) for one in domains))
    name = re.escape(local)
    whole = rf"{_ADDRESS_BEFORE}{name}{_AT}(?:{either}){_ADDRESS_AFTER}"
    # The sender of a message may name its recipient: `bounces+ann=acme.example@…`, `SRS0=…=acme.example=ann@…`.
    return rf"{whole}|(?<!\w){name}=(?:{either}){_ADDRESS_AFTER}|=(?:{either})={name}@"


def _idna_forms(domain: str) -> Iterator[str]:
    """The domain in ASCII and in Unicode."""
    try:
        in_ascii = domain.encode("idna").decode()
        yield in_ascii
        yield in_ascii.encode().decode("idna")
    except UnicodeError:  # not a host name
        return


def _phone_pattern(digits: str) -> str:
    """The number with any separators. It begins with a digit: patterns that do are searched fast."""
    return rf"{_DIGIT_GAP.join(digits)}(?!\d)"


def _begins_number(text: str, start: int) -> bool:
    """Whether no digit comes before, except those of an international prefix."""
    before = re.search(r"\d*$", text[max(0, start - 20) : start].rstrip(" ()"))
    return before is not None and before[0] in ("", "00", "011")


def _json_character(found: re.Match[str]) -> str:
    code, character = found.groups()
    return chr(int(code, 16)) if code else _JSON_CHARACTERS.get(character, character)


def _base64_texts(run: str) -> Iterator[str]:
    """A run of letters of base64, decoded from each of its first four places: what comes before may be no base64."""
    standard = run.translate({ord("-"): "+", ord("_"): "/"})
    for start in range(4):
        part = standard[start:]
        if len(part) % 4 == 1:  # one letter more than any base64 has
            part = part[:-1]
        yield base64.b64decode(part + "=" * (-len(part) % 4)).decode("utf-8", "replace")
