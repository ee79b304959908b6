"""The location of a state or a spool: a path, or an address such as postgresql://….

A text that is not clearly one of them is refused. It would otherwise become the name of a file, and every command
would print it with the password in it. No message of this module quotes a part of the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hookline.errors import WrongUse

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_KEYWORDS = "host|hostaddr|port|dbname|user|password|passwd|pwd|passfile|service|sslmode|sslpassword"


class _Unclear(NamedTuple):
    pattern: re.Pattern[str]
    reason: str


# The first pattern that matches gives the reason. Those after the address hold for paths only.
_NEITHER = (
    _Unclear(re.compile(r"\s*\Z"), "it is empty"),
    _Unclear(re.compile(r"\s|.*\s\Z", re.S), "it has a blank or a line break at its beginning or end"),
    _Unclear(re.compile(r".*[\x00-\x1f\x7f]", re.S), "it has a control character"),
    _Unclear(re.compile(r"""["'`]|.*["'`]\Z""", re.S), "it has a quote at its beginning or end"),
)  # fmt: skip
_NO_PATH = (
    _Unclear(re.compile(r"~"), "it begins with ~, which only a shell replaces by the home directory"),
    _Unclear(re.compile(r".*(?:\$[A-Za-z_{(]|\{\{)"), "it has a variable that was not replaced"),
    _Unclear(re.compile(r"-"), "it begins with a dash, like an option"),
    _Unclear(re.compile(rf"\w+\s*=|.*\b(?:{_KEYWORDS})\s*=", re.I), "it looks like a connection string (key=value)"),
    _Unclear(re.compile(r"[^/]*:"), "it has a colon before its first slash, like an address"),
    _Unclear(re.compile(r".*(?:://|:[^/]*@|%3a%2f)", re.I), "it contains an address"),
    _Unclear(re.compile(r"//"), "it begins with two slashes, like an address without its scheme"),
    _Unclear(re.compile(r".*\?\w+="), "it has parameters, like an address"),
)
# The password of an address (its authority may have lost a slash), and the value of a key that holds a secret.
_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/+[^\s/:@]*):[^\s@]+(?:@[^\s@/]+)*@")
_VALUE = re.compile(r"(?i)\b((?:ssl)?password|passwd|pwd|passphrase)(\s*=\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&;'\"]+)")


def address_scheme(text: str, option: str, expected: str) -> str | None:
    """The scheme of an address as it is written; None if `text` is clearly a path.

    `option` and `expected` are for messages. Raises WrongUse for any other text.
    """
    _refuse(_NEITHER, text, option, expected)
    if found := _ADDRESS.match(text):
        return found[1]
    _refuse(_NO_PATH, text, option, expected)
    return None


def require_path(text: str, option: str) -> str:
    """`text`, if it is clearly a path. Raises WrongUse for any other text."""
    expected = "give a path; one with unusual characters begins with ./ or /"
    if address_scheme(text, option, expected) is not None:
        raise WrongUse(f"{option}: not a path: it is an address", hint=expected)
    return text


def _refuse(patterns: tuple[_Unclear, ...], text: str, option: str, expected: str) -> None:
    for pattern, reason in patterns:
        if pattern.match(text):
            raise WrongUse(f"{option}: not clearly a path or an address: {reason}", hint=expected)


def without_passwords(text: str) -> str:
    """A message without the passwords of addresses and connection strings in it."""
    return _VALUE.sub(r"\1\2****", _PASSWORD.sub(r"\1:****@", text))
