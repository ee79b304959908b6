"""The rules for secrets and keys.

- A secret reference names only a secret that was placed within reach of webhook files on purpose.
- A JWT (RFC 7519) has only claims that hookline does not set itself, and keys with different ids.
- The times of keys are real and in order, and some key is active at every time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import (
    DocumentPath,
    RuleFinding,
    list_at,
    mapping_at,
    path_text,
    quote,
    secret_references,
    text_at,
)
from hookline.key_rotation import KeyPeriod, find_gap
from hookline.units import MOMENT_PATTERN, parse_moment, utc_text

_EXAMPLE = "2026-11-01T00:00:00Z"
_ENV = re.compile(r"HOOKLINE_SECRET_[A-Za-z0-9_]+")
_TLS_CA = ("delivery", "tls", "caFile")
_SET_BY_HOOKLINE = "remove it; hookline sets it in each token"
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
    summary = f"{path_text(path)}: {quote(name)} {problem}"
    return RuleFinding(code=error_codes.SECRET_ENV, path=path, summary=summary, hint=hint)


def _check_file(path: DocumentPath, file: str) -> Iterator[RuleFinding]:
    """The relay checks absolute paths because only the relay knows the secrets directory."""
    if ".." in file.split("/"):
        problem = f"{quote(file)} leaves the secrets directory"
    elif file and (not file.strip("./") or file.endswith("/") or not file.isprintable()):
        problem = f"{quote(file)} is not the path of a file"
    else:
        return
    hint = "write a path below the relay's --secrets-dir, as in feedback-2026-11.pem"
    yield RuleFinding(code=error_codes.SECRET_FILE, path=path, summary=f"{path_text(path)}: {problem}", hint=hint)


def check_signing(document: Any) -> Iterator[RuleFinding]:
    """Checks `authentication.claims` and `authentication.keys`."""
    for claim in mapping_at(document, "authentication", "claims"):
        if claim in _REGISTERED:
            path: DocumentPath = ("authentication", "claims", claim)
            summary = f"{path_text(path)}: {quote(claim)} is a registered claim"
            hint = _REGISTERED[claim]
            yield RuleFinding(code=error_codes.REGISTERED_CLAIM, path=path, summary=summary, hint=hint, on_key=True)
    is_hmac = (text_at(document, "authentication", "algorithm") or "").startswith("HS")
    indexes: dict[str, int] = {}
    for index, _ in enumerate(list_at(document, "authentication", "keys")):
        if is_hmac and "passphrase" in mapping_at(document, "authentication", "keys", index):
            path = ("authentication", "keys", index, "passphrase")
            summary = f"{path_text(path)}: the shared secret of an HS… algorithm is not encrypted"
            hint = "remove it; a passphrase opens the private key of RS256, ES256, EdDSA …"
            yield RuleFinding(
                code=error_codes.NEEDLESS_PASSPHRASE, path=path, summary=summary, hint=hint, on_key=True
            )
        identifier = text_at(document, "authentication", "keys", index, "id")
        if identifier is not None and indexes.setdefault(identifier, index) != index:
            path = ("authentication", "keys", index, "id")
            summary = f"{path_text(path)}: {quote(identifier)} is also the id of keys[{indexes[identifier]}]"
            hint = "give each key its own id; receivers choose the key by its id (kid)"
            yield RuleFinding(code=error_codes.REPEATED_KEY_ID, path=path, summary=summary, hint=hint)


def check_key_times(document: Any) -> Iterator[RuleFinding]:
    """Checks `activate` and `retire` of every list of keys."""
    yield from _check_keys(document, ("authentication", "keys"))
    yield from _check_keys(document, ("signature", "keys"))


def _check_keys(document: Any, path: DocumentPath) -> Iterator[RuleFinding]:
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
                findings.append(_not_in_calendar(at, text))
        period = KeyPeriod(times["activate"], times["retire"])
        if period.activate is not None and period.retire is not None and period.retire <= period.activate:
            findings.append(_out_of_order((*path, index, "retire"), period.activate))
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


def _not_in_calendar(path: DocumentPath, text: str) -> RuleFinding:
    summary = f"{path_text(path)}: {quote(text)} does not exist in the calendar"
    hint = f'write a time such as "{_EXAMPLE}"'
    return RuleFinding(code=error_codes.WRONG_FORM, path=path, summary=summary, hint=hint)


def _out_of_order(path: DocumentPath, activate: datetime) -> RuleFinding:
    summary = f"{path_text(path)}: the key retires before it is active ({utc_text(activate)})"
    hint = "write a retire time that is later than activate"
    return RuleFinding(code=error_codes.KEY_TIMES, path=path, summary=summary, hint=hint)


def _gap(path: DocumentPath, periods: list[KeyPeriod], begins: datetime, ends: datetime | None) -> RuleFinding:
    last = next(index for index, period in enumerate(periods) if period.retire == begins)
    period_text = f"from {utc_text(begins)}" + (" on" if ends is None else f" to {utc_text(ends)}")
    summary = f"{path_text(path)}: no key is active {period_text}"
    hint = "retire a key only after the next one is active, and leave the last one without retire"
    return RuleFinding(code=error_codes.KEY_GAP, path=(*path, last, "retire"), summary=summary, hint=hint)
