"""The times of keys: each of them real and in order, and no time between them without a key."""

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
from hookline.key_rotation import Period, gap
from hookline.units import MOMENT_PATTERN, format_moment, parse_moment

_EXAMPLE = "2026-11-01T00:00:00Z"


def check_key_times(document: Any) -> Iterator[RuleFinding]:
    """Findings about `activate` and `retire` of every list of keys."""
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
            times[name] = moment = _moment(text)
            readable = readable and moment is not None
            if moment is None and re.fullmatch(MOMENT_PATTERN, text):  # else the schema says what is wrong
                findings.append(_unreal(at, text))
        period = Period(times["activate"], times["retire"])
        if period.activate is not None and period.retire is not None and period.retire <= period.activate:
            findings.append(_out_of_order((*path, index, "retire"), period.activate))
        periods.append(period)
    yield from findings
    # What is wrong with one key says nothing about the whole.
    if readable and not findings and (without := gap(periods)) is not None:
        yield _gap(path, periods, *without)


def _moment(text: str) -> datetime | None:
    try:
        return parse_moment(text)
    except ValueError:
        return None


def _unreal(path: DocumentPath, text: str) -> RuleFinding:
    summary = f"{path_text(path)}: {quote(text)} is no moment that a calendar has"
    return RuleFinding(code=error_codes.WRONG_FORM, path=path, summary=summary, hint=f'write "{_EXAMPLE}"')


def _out_of_order(path: DocumentPath, activate: datetime) -> RuleFinding:
    summary = f"{path_text(path)}: the key is active only from {format_moment(activate)} on, and retires before that"
    return RuleFinding(code=error_codes.KEY_TIMES, path=path, summary=summary, hint="retire is later than activate")


def _gap(path: DocumentPath, periods: list[Period], begins: datetime, ends: datetime | None) -> RuleFinding:
    last = next(index for index, period in enumerate(periods) if period.retire == begins)
    until = "on" if ends is None else f"to {format_moment(ends)}"
    summary = f"{path_text(path)}: no key is active from {format_moment(begins)} {until}"
    hint = "retire a key only after the next one is active, and leave the last one without retire"
    return RuleFinding(code=error_codes.KEY_GAP, path=(*path, last, "retire"), summary=summary, hint=hint)


# What a secret reference may name: only what was put within reach of webhook files on purpose.
_ENV = re.compile(r"HOOKLINE_SECRET_[A-Za-z0-9_]+")
_TLS_CA = ("delivery", "tls", "caFile")


def check_secrets(document: Any) -> Iterator[RuleFinding]:
    """Findings about every `{env: …}` and `{file: …}`, and `delivery.tls.caFile`."""
    for path, reference in secret_references(document):
        name, file = reference.get("env"), reference.get("file")
        if isinstance(name, str) and _ENV.fullmatch(name) is None:
            yield _env_out_of_reach((*path, "env"), name)
        if isinstance(file, str):
            yield from _check_file((*path, "file"), file)
    if (ca_file := text_at(document, *_TLS_CA)) is not None:
        yield from _check_file(_TLS_CA, ca_file)


def _env_out_of_reach(path: DocumentPath, name: str) -> RuleFinding:
    tail = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    hint = f"only HOOKLINE_SECRET_… variables are within reach: set HOOKLINE_SECRET_{tail or 'NAME'} for the relay"
    summary = f"{path_text(path)}: {quote(name)} does not begin with HOOKLINE_SECRET_"
    if name.startswith("HOOKLINE_SECRET_"):
        summary = f"{path_text(path)}: {quote(name)} is not the name of a variable"
        hint = "letters, digits and underscores, as in HOOKLINE_SECRET_ACME_API_KEY"
    return RuleFinding(code=error_codes.SECRET_ENV, path=path, summary=summary, hint=hint)


def _check_file(path: DocumentPath, file: str) -> Iterator[RuleFinding]:
    """An absolute path is left to the relay, which alone knows where the secrets directory is."""
    if ".." in file.split("/"):
        problem = f"{quote(file)} leaves the secrets directory"
    elif file and (not file.strip("./") or file.endswith("/") or not file.isprintable()):
        problem = f"{quote(file)} is not the path of a file"
    else:
        return
    hint = "write a path below the relay's --secrets-dir, as in feedback-2026-11.pem"
    yield RuleFinding(code=error_codes.SECRET_FILE, path=path, summary=f"{path_text(path)}: {problem}", hint=hint)


# What a JWT may be made of (RFC 7519): claims that are the team's own, and keys that can be told apart.
# RFC 7519 §4.1, and where a webhook file has a key for it, that key.
_REGISTERED = {
    "iss": "write authentication.issuer instead",
    "sub": "write authentication.subject instead",
    "aud": "write authentication.audience instead",
    "exp": "write authentication.lifetime instead",
    "nbf": "hookline sets it in each token",
    "iat": "hookline sets it in each token",
    "jti": "hookline sets it in each token",
}


def check_signing(document: Any) -> Iterator[RuleFinding]:
    """Findings about `authentication.claims` and `authentication.keys`."""
    for claim in mapping_at(document, "authentication", "claims"):
        if claim in _REGISTERED:
            path = ("authentication", "claims", claim)
            summary = f"{path_text(path)}: {quote(claim)} is a registered claim"
            yield RuleFinding(
                code=error_codes.REGISTERED_CLAIM, path=path, summary=summary, hint=_REGISTERED[claim], on_key=True
            )
    shared = (text_at(document, "authentication", "algorithm") or "").startswith("HS")
    seen: dict[str, int] = {}
    for index, _ in enumerate(list_at(document, "authentication", "keys")):
        if shared and "passphrase" in mapping_at(document, "authentication", "keys", index):
            at: DocumentPath = ("authentication", "keys", index, "passphrase")
            summary = f"{path_text(at)}: the shared secret of an HS… algorithm is not encrypted"
            hint = "remove it; a passphrase opens the private key of RS256, ES256, EdDSA …"
            yield RuleFinding(code=error_codes.NEEDLESS_PASSPHRASE, path=at, summary=summary, hint=hint, on_key=True)
        identifier = text_at(document, "authentication", "keys", index, "id")
        if identifier is not None and seen.setdefault(identifier, index) != index:
            path_ = ("authentication", "keys", index, "id")
            summary = f"{path_text(path_)}: {quote(identifier)} is the id of keys[{seen[identifier]}] too"
            hint = "receivers choose the key by its id (kid): give each its own"
            yield RuleFinding(code=error_codes.REPEATED_KEY_ID, path=path_, summary=summary, hint=hint)
