"""The codes of errors in webhook files, and their explanations.

A code is stable across releases and has exactly one meaning. A number is never reused: a new meaning gets a new one.

An explanation gives the reason, an example of the mistake, and its correction. The texts are in explanations.md, so
that an edit needs no Python. A test validates every example.
"""

# ruff: noqa: S105 - names of codes, not passwords

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from textwrap import dedent
from types import MappingProxyType
from typing import Final

from hookline.diagnostics import nearest

UNREADABLE: Final = "HL001"
NOT_UTF8: Final = "HL002"
CONTROL_CHARACTER: Final = "HL003"
NOT_YAML: Final = "HL004"
TOO_LARGE: Final = "HL005"
TOO_DEEP: Final = "HL006"
DUPLICATE_KEY: Final = "HL007"
KEY_NOT_STRING: Final = "HL008"
ANCHOR: Final = "HL009"
ALIAS: Final = "HL010"
MERGE_KEY: Final = "HL011"
NOT_HTTPS: Final = "HL012"
TAG: Final = "HL013"
AMBIGUOUS_SCALAR: Final = "HL014"
LINK_OUTSIDE: Final = "HL015"
NO_DOCUMENT: Final = "HL016"

UNKNOWN_KEY: Final = "HL020"
MISSING_KEY: Final = "HL021"
WRONG_TYPE: Final = "HL022"
NOT_ALLOWED: Final = "HL023"
WRONG_FORM: Final = "HL024"
REPEATED_ITEM: Final = "HL025"
OUT_OF_RANGE: Final = "HL026"
OTHER_VERSION: Final = "HL027"

NOT_A_URL: Final = "HL030"
URL_CREDENTIALS: Final = "HL031"
URL_FRAGMENT: Final = "HL032"
IP_LITERAL: Final = "HL033"
URL_PORT: Final = "HL034"
URL_SECRET: Final = "HL035"
URL_HOST: Final = "HL036"

HEADER_NAME: Final = "HL040"
HEADER_VALUE: Final = "HL041"
HEADER_RESERVED: Final = "HL042"
HEADER_REPEATED: Final = "HL043"
HEADER_OF_JWT: Final = "HL044"
HEADER_SECRET: Final = "HL045"

SECRET_ENV: Final = "HL050"
SECRET_FILE: Final = "HL051"
TLS_PAIR: Final = "HL052"

REGISTERED_CLAIM: Final = "HL060"
REPEATED_KEY_ID: Final = "HL061"
KEY_TIMES: Final = "HL062"
KEY_GAP: Final = "HL063"
NEEDLESS_PASSPHRASE: Final = "HL064"
RETRY_ORDER: Final = "HL065"

SECOND_WEBHOOK: Final = "HL070"
SHARED_SANDBOX_ID: Final = "HL071"

TITLES: Mapping[str, str] = MappingProxyType(
    {
        UNREADABLE: "the file cannot be read",
        NOT_UTF8: "the file is not UTF-8",
        CONTROL_CHARACTER: "the file contains an invisible control character",
        NOT_YAML: "the file is not valid YAML",
        TOO_LARGE: "a document is too large",
        TOO_DEEP: "a document is nested too deeply",
        DUPLICATE_KEY: "a key is written twice",
        KEY_NOT_STRING: "a key is not a string",
        ANCHOR: "YAML anchors are not allowed in webhook files",
        ALIAS: "YAML aliases are not allowed in webhook files",
        MERGE_KEY: "YAML merge keys are not allowed in webhook files",
        NOT_HTTPS: "the URL is not an https URL",
        TAG: "YAML tags are not allowed in webhook files",
        AMBIGUOUS_SCALAR: "YAML parsers read the unquoted value differently",
        LINK_OUTSIDE: "a symbolic link points outside the configuration directory",
        NO_DOCUMENT: "the file contains no webhook",
        UNKNOWN_KEY: "the key is unknown in this place",
        MISSING_KEY: "a required key is missing",
        WRONG_TYPE: "a value has the wrong type",
        NOT_ALLOWED: "a value is not one of the allowed values",
        WRONG_FORM: "a value does not have the required form",
        REPEATED_ITEM: "a list contains the same item twice",
        OUT_OF_RANGE: "a number or a duration is out of range",
        OTHER_VERSION: "this release cannot read the version of the document",
        NOT_A_URL: "the URL is not valid",
        URL_CREDENTIALS: "the URL contains a user name or a password",
        URL_FRAGMENT: "the URL has a fragment",
        IP_LITERAL: "the URL contains an IP address instead of a host name",
        URL_PORT: "the port of the URL is not valid",
        URL_SECRET: "a query parameter of the URL looks like a secret",
        URL_HOST: "the host of the URL is not a DNS name",
        HEADER_NAME: "a header name is not valid",
        HEADER_VALUE: "a header value cannot be sent",
        HEADER_RESERVED: "the header is reserved for HTTP or hookline",
        HEADER_REPEATED: "a header is named twice",
        HEADER_OF_JWT: "the header already carries the JWT",
        HEADER_SECRET: "the file contains a secret",
        SECRET_ENV: "webhook files cannot use the environment variable",
        SECRET_FILE: "the path is not below the secrets directory",
        TLS_PAIR: "a client certificate requires its key, and the key its certificate",
        REGISTERED_CLAIM: "hookline sets the claim itself",
        REPEATED_KEY_ID: "two keys have the same id",
        KEY_TIMES: "a key retires before it is active",
        KEY_GAP: "at some time no key is active",
        NEEDLESS_PASSPHRASE: "a passphrase has no encrypted key",
        RETRY_ORDER: "the retry delays are not in order",
        SECOND_WEBHOOK: "the sandbox already has a webhook",
        SHARED_SANDBOX_ID: "two sandboxes have the same id",
    }
)


_CODE = re.compile(r"(?:HL)?[-_ ]?0*([0-9]{1,3})", re.IGNORECASE)
_SECTION = re.compile(
    r"^## (?P<code>HL[0-9]{3})\n\n(?P<why>.+?)\n\nWrong:\n\n(?P<wrong>.+?)\n\nRight:\n\n(?P<right>.+?)\n*(?=^## |\Z)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`wrong` and `right` are the relevant lines of a webhook file, or commands, which begin with ``$``."""

    code: str
    title: str
    why: str
    wrong: str
    right: str


@cache
def explanations() -> Mapping[str, Explanation]:
    """Returns every explanation by its code, in the order of the codes."""
    text = (files("hookline.config") / "explanations.md").read_text(encoding="utf-8")
    found = {section["code"]: _explanation(section) for section in _SECTION.finditer(text)}
    return MappingProxyType({code: found[code] for code in sorted(found)})


def _explanation(section: re.Match[str]) -> Explanation:
    return Explanation(
        code=section["code"],
        title=TITLES[section["code"]],
        why=section["why"],
        wrong=dedent(section["wrong"]),
        right=dedent(section["right"]),
    )


def find_code(text: str) -> str | None:
    """Returns the code for ``HL012``, ``hl12`` or ``12``, or None if no code has that number."""
    written = _CODE.fullmatch(text.strip())
    code = f"HL{int(written[1]):03}" if written else ""
    return code if code in TITLES else None


def nearest_codes(text: str) -> list[str]:
    """Returns at most three codes that are similar to an unknown one: by a word of their titles, otherwise by
    spelling.
    """
    word = text.strip().lower()
    by_title = [code for code, title in TITLES.items() if len(word) > 2 and word in title.lower()]
    return by_title[:3] or nearest(text.strip(), TITLES, max_count=3, min_similarity=0.5)
