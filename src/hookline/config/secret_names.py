"""Recognizes secrets by the name of a header, query parameter, claim or key, and by their form."""

from __future__ import annotations

import re
from functools import lru_cache

SECRET_WORDS = frozenset(
    [
        *("accesskey", "apikey", "auth", "authorization", "bearer", "cookie", "credential", "credentials"),
        *("hmac", "jwt", "passphrase", "passwd", "password", "passcode", "passkey", "privatekey", "pwd", "secret"),
        *("secretkey", "sharedkey", "sig", "signature", "signingkey", "subscriptionkey", "functionkey", "token"),
    ]
)
# HTTP and message brokers use these keys, which are public.
_PUBLIC_KEYS = frozenset(
    [
        *("idempotency", "partition", "routing", "cache", "sort", "primary", "public", "group", "ordering"),
        *("event", "message"),
    ]
)
# `token_type`, `auth_time`: a name that ends like this describes a secret and does not hold one.
_DESCRIBING = frozenset(["alg", "algorithm", "method", "methods", "time", "type", "url", "use", "version"])
# Whole names of query parameters and claims. As a part of a name they are common words: Country-Code, X-Pass-Through.
_SECRET_PARAMETERS = frozenset(["code", "pass", "pw", "otp", "pin", "sas"])
_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")

# Addresses of chats: everybody who knows the path can post.
_SECRET_URLS = (
    r"(?i:hooks\.slack\.com/(?:services|triggers|workflows)/)\S+",
    r"(?i:discord(?:app)?\.com/api/)(?:v\d+/)?webhooks/\S+",
    r"(?i:webhook\.office\.com/webhook)\S+",
    r"bot\d{6,12}:[\w-]{30,}",
)
# A JWT or JWE, and the tokens of services that can be recognized by their beginning.
_SECRET_FORMS = (
    r"eyJ[\w-]{8,}\.(?:eyJ|[\w-]*\.)\S*",
    r"AGE-SECRET-KEY-1\S{20,}",
    r"[sr]k_(?:live|test)_\S{8,}",
    r"sk-(?:ant-|proj-)?[\w-]{20,}",
    r"gh[opsur]_\w{10,}",
    r"github_pat_\w{10,}",
    r"glpat-[\w-]{10,}",
    r"xox[abeoprs]-\S{8,}",
    r"xapp-\S{10,}",
    r"A[KS]IA[A-Z0-9]{12,}",
    r"AIza[\w-]{30,}",
    r"ya29\.[\w-]{20,}",
    r"SG\.[\w-]{10,}\.[\w-]{10,}",
    r"key-[0-9a-f]{32}",
    r"whs[ek]c?_[A-Za-z0-9+/=_-]{16,}",
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{16,}",
    r"npm_\w{20,}",
    r"pypi-\w{16,}",
    r"dop_v1_\w{20,}",
    r"hvs\.\w{20,}",
    *_SECRET_URLS,
)
SECRET_FORM = re.compile(rf"\b(?:{'|'.join(_SECRET_FORMS)})|-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*")
# The credentials of a header, too. In other text, the names of the schemes are common words.
SECRET_VALUE = re.compile(
    rf"\b(?i:bearer|basic|digest)\s+(?=\S*[0-9A-Z=])\S{{8,}}|-----BEGIN .*|{SECRET_FORM.pattern}"
)
_MIN_SECRET_CHARACTERS = 13
# Every form begins with one of these. Looking for them first makes the check of ordinary text cheap.
_BEGINNINGS = (
    *("eyJ", "AGE-", "sk_", "rk_", "sk-", "gh", "glpat-", "xox", "xapp-", "AKIA", "ASIA", "AIza", "ya29", "SG."),
    *("key-", "whs", "shp", "npm_", "pypi-", "dop_v1_", "hvs.", "-----BEGIN"),
    *("hooks.slack.", "discord", ".office.com", "bot"),
)


@lru_cache(maxsize=256)
def looks_secret(name: str) -> bool:
    """Whether a name usually belongs to a secret: ``X-Api-Key``, ``access_token``, ``sig``."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    joined = "".join(parts)
    if not SECRET_WORDS.isdisjoint(parts) or any(joined.endswith(word) for word in SECRET_WORDS if len(word) > 4):
        return True
    if "apikey" in joined or "accesskey" in joined or parts[-1:] == ["pass"]:
        return True
    return parts[-1:] == ["key"] and _PUBLIC_KEYS.isdisjoint(parts)


@lru_cache(maxsize=256)
def looks_secret_parameter(name: str) -> bool:
    """Whether the name of a query parameter or claim usually belongs to a secret: ``code``, ``sig``, not
    ``token_type``."""
    if name.lower() in _SECRET_PARAMETERS:
        return True
    parts = [part.lower() for part in _PARTS.findall(name)]
    return looks_secret(name) and parts[-1] not in _DESCRIBING


@lru_cache(maxsize=1024)
def names_secret(name: str) -> bool:
    """Whether the value under a key may be a secret, so that no message shows it."""
    return looks_secret(name) or looks_secret_parameter(name)


def looks_like_secret_value(value: str) -> bool:
    """Whether a value has the form of a secret: a bearer or basic credential, a PEM block, or `holds_secret_form`."""
    return SECRET_VALUE.match(value.strip()) is not None or holds_secret_form(value)


def holds_secret_form(text: str) -> bool:
    """Whether a text contains a JWT, a private key or a token of a known service."""
    return may_hold_secret_form(text) and SECRET_FORM.search(text) is not None


def may_hold_secret_form(text: str) -> bool:
    """A quick check: False if `holds_secret_form` is False for the text and for every part of it."""
    return len(text) >= _MIN_SECRET_CHARACTERS and any(map(text.__contains__, _BEGINNINGS))
