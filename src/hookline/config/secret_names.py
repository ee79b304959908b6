"""Recognizes secrets by the name of a header, query parameter or key, and by their form."""

from __future__ import annotations

import re
from functools import lru_cache

SECRET_WORDS = frozenset(
    [
        *("accesskey", "apikey", "auth", "authorization", "bearer", "cookie", "credential", "credentials"),
        *("hmac", "jwt", "passphrase", "passwd", "password", "privatekey", "pwd", "secret", "secretkey", "sig"),
        *("signature", "signingkey", "token"),
    ]
)
# HTTP and message brokers use these keys, which are public.
_PUBLIC_KEYS = frozenset(
    [
        *("idempotency", "partition", "routing", "cache", "sort", "primary", "public", "group", "ordering"),
        *("event", "message"),
    ]
)
_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
SECRET_VALUE = re.compile(
    r"\b(?i:bearer|basic|digest)\s+(?=\S*[0-9A-Z=])\S{8,}|\beyJ[\w-]{8,}\.eyJ\S*|-----BEGIN .*"
    r"|\b(?:[sr]k_(?:live|test)_|gh[opsu]_\w{10}|xox[abp]-|AKIA[A-Z0-9]{12})\S*",
)


@lru_cache(maxsize=256)
def looks_secret(name: str) -> bool:
    """Whether a name usually belongs to a secret: ``X-Api-Key``, ``access_token``, ``sig``."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    joined = "".join(parts)
    if not SECRET_WORDS.isdisjoint(parts) or any(joined.endswith(word) for word in SECRET_WORDS if len(word) > 4):
        return True
    if "apikey" in joined or "accesskey" in joined:
        return True
    return parts[-1:] == ["key"] and _PUBLIC_KEYS.isdisjoint(parts)


def looks_like_secret_value(value: str) -> bool:
    """Whether a value has the form of a secret: a bearer or basic credential, a JWT, a PEM block, a known prefix."""
    return SECRET_VALUE.match(value.strip()) is not None
