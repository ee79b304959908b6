"""The rules for secrets and keys.

- A secret reference names only a secret that was placed within reach of webhook files on purpose.
- No value is itself a secret: a JWT, a private key, a token of a known service, or a claim with a secret's name.
- A JWT (RFC 7519) has only claims that hookline does not set itself, and keys with different ids.
- The times of keys are real and in order, and some key is active at every time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import (
    DocumentPath,
    RuleFinding,
    finding_at,
    list_at,
    mapping_at,
    quote,
    secret_references,
    text_at,
)
from hookline.config.secret_names import holds_secret_form, looks_secret_parameter, may_hold_secret_form
from hookline.key_rotation import KeyPeriod, find_gap
from hookline.units import MOMENT_PATTERN, parse_moment, utc_text

_EXAMPLE = "2026-11-01T00:00:00Z"
_ENV = re.compile(r"HOOKLINE_SECRET_[A-Za-z0-9_]+")
_TLS_CA = ("delivery", "tls", "caFile")
_SET_BY_HOOKLINE = "remove it; hookline sets it in each token"
_CHECKED_ELSEWHERE = frozenset(["url", "headers", "query", "channels", "events", "delivery"])
_REPLACE = "write a reference where the schema allows one, otherwise remove it; replace the secret if it is real"
_NO_CLAIM = "remove it: everybody who sees a token can read its claims; replace the secret if it is real"
# The registered claims (RFC 7519 §4.1), each with its hint.
_REGISTERED = {
    "iss": "write authentication.issuer instead",
    "sub": "write authentication.subject instead",
    "aud": "write authentication.audience instead",
    "exp": "write authentication.lifetime instead",
    **dict.fromkeys(("nbf", "iat", "jti"), _SET_BY_HOOKLINE),
}


def check_secrets(document: Any) -> Iterator[RuleFinding]:
    """Checks every `{env: …}` and `{file: …}`, and `delivery.tls.caFile`."""
    for path, reference in secret_references(document):
        name, file = reference.get("env"), reference.get("file")
        if isinstance(name, str) and _ENV.fullmatch(name) is None:
            yield _invalid_env((*path, "env"), name)
        if isinstance(file, str):
            yield from _check_file((*path, "file"), file)
    if (ca_file := text_at(document, *_TLS_CA)) is not None:
        yield from _check_file(_TLS_CA, ca_file)


def _invalid_env(path: DocumentPath, name: str) -> RuleFinding:
    if name.startswith("HOOKLINE_SECRET_"):
        problem = "is not the name of a variable"
        hint = "use letters, digits and underscores, as in HOOKLINE_SECRET_ACME_API_KEY"
    else:
        suffix = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "NAME"
        problem = "does not begin with HOOKLINE_SECRET_"
        hint = f"set HOOKLINE_SECRET_{suffix} for the relay; webhook files can use only HOOKLINE_SECRET_… variables"
    return finding_at(path, error_codes.SECRET_ENV, f"{quote(name)} {problem}", hint)


def _check_file(path: DocumentPath, file: str) -> Iterator[RuleFinding]:
    """The relay checks absolute paths because only the relay knows the secrets directory."""
    if ".." in file.split("/"):
        problem = f"{quote(file)} leaves the secrets directory"
    elif file and (not file.strip("./") or file.endswith("/") or not file.isprintable()):
        problem = f"{quote(file)} is not the path of a file"
    else:
        return
    hint = "write a path below the relay's --secrets-dir, as in feedback-2026-11.pem"
    yield finding_at(path, error_codes.SECRET_FILE, problem, hint)


def check_literals(document: Any) -> Iterator[RuleFinding]:
    """Finds secrets in values. The rules for URL, headers and query check theirs, with a hint of their own."""
    if not isinstance(document, dict):
        return
    yield from _check_claims(("authentication", "claims"), mapping_at(document, "authentication", "claims"))
    others = {key: value for key, value in document.items() if key not in _CHECKED_ELSEWHERE}
    found: list[str] = []
    _collect(others, found)
    if not may_hold_secret_form("\n".join(found)):  # one look at all of them, because few documents have a secret
        return
    for path, text in _texts((), others):
        if holds_secret_form(text):
            yield finding_at(path, error_codes.HEADER_SECRET, "contains a secret", _REPLACE, on_key=True)


def _collect(value: Any, texts: list[str]) -> None:
    """Adds every text below a value."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, str):
            texts.append(inner)
        elif isinstance(inner, dict | list):
            _collect(inner, texts)


def _check_claims(path: DocumentPath, value: Any) -> Iterator[RuleFinding]:
    """Finds texts and numbers below a claim whose name looks secret, in any list or mapping."""
    for name, inner in enumerate(value) if isinstance(value, list) else value.items():
        below: DocumentPath = (*path, name)
        if isinstance(name, str) and looks_secret_parameter(name) and _holds_text_or_number(inner):
            yield finding_at(
                below, error_codes.HEADER_SECRET, "the value looks like a secret", _NO_CLAIM, on_key=True
            )
        elif isinstance(inner, dict | list):
            yield from _check_claims(below, inner)


def _holds_text_or_number(value: Any) -> bool:
    """Whether a value is or contains a text or a number: a password or a PIN may consist of digits."""
    if isinstance(value, dict | list):
        return any(map(_holds_text_or_number, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _texts(path: DocumentPath, value: Any) -> Iterator[tuple[DocumentPath, str]]:
    """Yields every text below a value with its path. The parser limits the depth."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts((*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts((*path, index), inner)


def check_signing(document: Any) -> Iterator[RuleFinding]:
    for claim in mapping_at(document, "authentication", "claims"):
        if claim in _REGISTERED:
            path: DocumentPath = ("authentication", "claims", claim)
            problem = f"{quote(claim)} is a registered claim"
            yield finding_at(path, error_codes.REGISTERED_CLAIM, problem, _REGISTERED[claim], on_key=True)
    is_hmac = (text_at(document, "authentication", "algorithm") or "").startswith("HS")
    indexes: dict[str, int] = {}
    for index, _ in enumerate(list_at(document, "authentication", "keys")):
        if is_hmac and "passphrase" in mapping_at(document, "authentication", "keys", index):
            path = ("authentication", "keys", index, "passphrase")
            problem = "the shared secret of an HS… algorithm is not encrypted"
            hint = "remove it; a passphrase opens the private key of RS256, ES256, EdDSA …"
            yield finding_at(path, error_codes.NEEDLESS_PASSPHRASE, problem, hint, on_key=True)
        identifier = text_at(document, "authentication", "keys", index, "id")
        if identifier is not None and indexes.setdefault(identifier, index) != index:
            path = ("authentication", "keys", index, "id")
            problem = f"{quote(identifier)} is also the id of keys[{indexes[identifier]}]"
            hint = "give each key its own id; receivers choose the key by its id (kid)"
            yield finding_at(path, error_codes.REPEATED_KEY_ID, problem, hint)


def check_key_times(document: Any) -> Iterator[RuleFinding]:
    """Checks `activate` and `retire` of every list of keys."""
    yield from _check_keys(document, ("authentication", "keys"))
    yield from _check_keys(document, ("signature", "keys"))


def _check_keys(document: Any, path: DocumentPath) -> Iterator[RuleFinding]:
    if not any("activate" in key or "retire" in key for key in list_at(document, *path) if type(key) is dict):
        return  # each key is always active
    findings: list[RuleFinding] = []
    readable = True
    periods = []
    for index, _ in enumerate(list_at(document, *path)):
        times: dict[str, datetime | None] = {}
        for name in ("activate", "retire"):
            times[name] = None
            if name not in mapping_at(document, *path, index):
                continue
            at: DocumentPath = (*path, index, name)
            text = text_at(document, *at) or ""
            times[name] = moment = _parsed_moment(text)
            readable = readable and moment is not None
            if moment is None and re.fullmatch(MOMENT_PATTERN, text):  # the schema reports any other text
                problem, hint = f"{quote(text)} does not exist in the calendar", f'write a time such as "{_EXAMPLE}"'
                findings.append(finding_at(at, error_codes.WRONG_FORM, problem, hint))
        period = KeyPeriod(times["activate"], times["retire"])
        if period.activate is not None and period.retire is not None and period.retire <= period.activate:
            problem = f"the key retires before it is active ({utc_text(period.activate)})"
            hint = "write a retire time that is later than activate"
            findings.append(finding_at((*path, index, "retire"), error_codes.KEY_TIMES, problem, hint))
        periods.append(period)
    yield from findings
    # A wrong time may itself cause the gap, so gaps are checked only if every time is valid.
    if readable and not findings and (uncovered := find_gap(periods)) is not None:
        yield _gap(path, periods, *uncovered)


def _parsed_moment(text: str) -> datetime | None:
    try:
        return parse_moment(text)
    except ValueError:
        return None


def _gap(path: DocumentPath, periods: list[KeyPeriod], begins: datetime, ends: datetime | None) -> RuleFinding:
    last = next(index for index, period in enumerate(periods) if period.retire == begins)
    period_text = f"from {utc_text(begins)}" + (" on" if ends is None else f" to {utc_text(ends)}")
    hint = "retire a key only after the next one is active, and leave the last one without retire"
    finding = finding_at(path, error_codes.KEY_GAP, f"no key is active {period_text}", hint)
    return replace(finding, path=(*path, last, "retire"))
