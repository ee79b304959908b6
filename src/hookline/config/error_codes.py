"""The codes of errors in webhook files, and their explanations.

A code is stable across releases and has exactly one meaning. A number is never reused: a new meaning gets a new one.

An explanation gives the reason, an example of the mistake, and its correction. The texts are in explanations.md, so
that an edit needs no Python. A test validates every example.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from textwrap import dedent
from types import MappingProxyType
from typing import Final

from hookline.diagnostics import nearest
from hookline.policy.violation import ViolationKind

_titles: dict[str, str] = {}
TITLES: Mapping[str, str] = MappingProxyType(_titles)


def _code(code: str, title: str) -> str:
    assert code not in _titles, code
    _titles[code] = title
    return code


UNREADABLE: Final = _code("HL001", "the file cannot be read")
NOT_UTF8: Final = _code("HL002", "the file is not UTF-8")
CONTROL_CHARACTER: Final = _code("HL003", "the file contains an invisible control character")
NOT_YAML: Final = _code("HL004", "the file is not valid YAML")
TOO_LARGE: Final = _code("HL005", "a document is too large")
TOO_DEEP: Final = _code("HL006", "a document is nested too deeply")
DUPLICATE_KEY: Final = _code("HL007", "a key is written twice")
KEY_NOT_STRING: Final = _code("HL008", "a key is not a string")
ANCHOR: Final = _code("HL009", "YAML anchors are not allowed in webhook files")
ALIAS: Final = _code("HL010", "YAML aliases are not allowed in webhook files")
MERGE_KEY: Final = _code("HL011", "YAML merge keys are not allowed in webhook files")
NOT_HTTPS: Final = _code("HL012", "the URL is not an https URL")
TAG: Final = _code("HL013", "YAML tags are not allowed in webhook files")
AMBIGUOUS_SCALAR: Final = _code("HL014", "YAML parsers read the unquoted value differently")
LINK_OUTSIDE: Final = _code("HL015", "a symbolic link points outside the configuration directory")
NO_DOCUMENT: Final = _code("HL016", "the file contains no webhook")
MORE_INVALID: Final = _code("HL017", "the file has more errors than are explained")
MISNAMED_DEFAULTS: Final = _code("HL018", "a defaults file has another name than _defaults.yaml")
DEFAULTS_DOCUMENTS: Final = _code("HL019", "a defaults file does not contain exactly one document")

UNKNOWN_KEY: Final = _code("HL020", "the key is unknown in this place")
MISSING_KEY: Final = _code("HL021", "a required key is missing")
WRONG_TYPE: Final = _code("HL022", "a value has the wrong type")
NOT_ALLOWED: Final = _code("HL023", "a value is not one of the allowed values")
WRONG_FORM: Final = _code("HL024", "a value does not have the required form")
REPEATED_ITEM: Final = _code("HL025", "a list contains the same item twice")
OUT_OF_RANGE: Final = _code("HL026", "a number or a duration is out of range")
OTHER_VERSION: Final = _code("HL027", "this release cannot read the version of the document")
INVISIBLE_IN_NAME: Final = _code("HL028", "a name contains an invisible character")

NOT_A_URL: Final = _code("HL030", "the URL is not valid")
URL_CREDENTIALS: Final = _code("HL031", "the URL contains a user name or a password")
URL_FRAGMENT: Final = _code("HL032", "the URL has a fragment")
IP_LITERAL: Final = _code("HL033", "the URL contains an IP address instead of a host name")
URL_PORT: Final = _code("HL034", "the port of the URL is not valid")
URL_SECRET: Final = _code("HL035", "the URL contains a secret")
URL_HOST: Final = _code("HL036", "the host of the URL is not a DNS name to which requests can be sent")
URL_DOT_SEGMENT: Final = _code("HL037", "the path of the URL has a segment . or ..")
QUERY_REPEATED: Final = _code("HL038", "the URL already has the query parameter")
QUERY_VALUE: Final = _code("HL039", "a query parameter cannot be sent")

HEADER_NAME: Final = _code("HL040", "a header name is not valid")
HEADER_VALUE: Final = _code("HL041", "a header value cannot be sent")
HEADER_RESERVED: Final = _code("HL042", "the header is reserved for HTTP or hookline")
HEADER_REPEATED: Final = _code("HL043", "a header is named twice")
HEADER_OF_JWT: Final = _code("HL044", "the header already carries the JWT")
HEADER_SECRET: Final = _code("HL045", "the file contains a secret")

SECRET_ENV: Final = _code("HL050", "webhook files cannot use the environment variable")
SECRET_FILE: Final = _code("HL051", "the path is not below the secrets directory")
TLS_PAIR: Final = _code("HL052", "a client certificate requires its key, and the key its certificate")
ROOT_SECRET: Final = _code("HL053", "the root's defaults file contains a reference to a secret")

REGISTERED_CLAIM: Final = _code("HL060", "hookline sets the claim itself")
REPEATED_KEY_ID: Final = _code("HL061", "two keys have the same id")
KEY_TIMES: Final = _code("HL062", "a key retires before it is active")
KEY_GAP: Final = _code("HL063", "at some time no key is active")
NEEDLESS_PASSPHRASE: Final = _code("HL064", "a passphrase has no encrypted key")
RETRY_ORDER: Final = _code("HL065", "the retry delays are not in order")

SECOND_WEBHOOK: Final = _code("HL070", "the sandbox already has a webhook")
SHARED_SANDBOX_ID: Final = _code("HL071", "two sandboxes have the same id")
MOVED_FROM: Final = _code("HL072", "the webhook cannot have moved from the address")

POLICY_RULE_ID: Final = _code("HL080", "a rule of a policy cannot be named or overridden as it is written")
POLICY_KEYWORD: Final = _code("HL081", "a rule uses a keyword that policies do not have")
POLICY_REFERENCE: Final = _code("HL082", "a reference leads out of the policy, or in a circle")
POLICY_PATTERN: Final = _code("HL083", "a pattern cannot be matched in linear time")
POLICY_TOO_LARGE: Final = _code("HL084", "a policy is too large")
POLICY_FIELD: Final = _code("HL085", "a rule names a field that no webhook has")
POLICY_WINDOW: Final = _code("HL086", "the times of a freeze window cannot be read")
POLICY_ZONE: Final = _code("HL087", "the time zone is unknown")
POLICY_FOLDER: Final = _code("HL088", "the folder is not below the configuration directory")
NO_POLICY: Final = _code("HL089", "the file contains no policy, or more than one")

RULE_VIOLATED: Final = _code(ViolationKind.RULE, "a change violates a rule of the policy")
FROZEN: Final = _code(ViolationKind.FREEZE, "the policy allows no changes at this time")
FOLDER_VIOLATED: Final = _code(ViolationKind.FOLDER, "the folder may not configure the organization")
DELETIONS_EXCEEDED: Final = _code(ViolationKind.DELETIONS, "the policy allows fewer deletions")
DELETION_BLOCKED: Final = _code("HL094", "the deletion guard blocks a deletion or a move")


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
    from importlib.resources import files  # noqa: PLC0415 - only messages need the texts

    text = (files("hookline.config") / "explanations.md").read_text(encoding="utf-8")
    found: dict[str, Explanation] = {}
    for section in sorted(_SECTION.finditer(text), key=itemgetter("code")):
        parts = {name: dedent(part) for name, part in section.groupdict().items()}
        found[section["code"]] = Explanation(title=TITLES[section["code"]], **parts)
    return MappingProxyType(found)


def find_code(text: str) -> str | None:
    """Returns the code for ``HL012``, ``hl12`` or ``12``, or None if no code has that number."""
    written = _CODE.fullmatch(text.strip())
    code = f"HL{int(written[1]):03}" if written else ""
    return code if code in TITLES else None


def nearest_codes(text: str) -> list[str]:
    """Returns at most three codes similar to an unknown one: by a word of their titles, otherwise by spelling."""
    word = text.strip().lower()
    by_title = [code for code, title in TITLES.items() if len(word) > 2 and word in title.lower()]
    return by_title[:3] or nearest(text.strip(), TITLES, max_count=3, min_similarity=0.5)
