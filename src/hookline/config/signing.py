"""What a JWT may be made of (RFC 7519): claims that are the team's own, and keys that can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hookline.config import codes
from hookline.config.finding import Finding, Path, path_text, shown
from hookline.config.shape import list_at, mapping_at, text_at

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


def check(document: Any) -> Iterator[Finding]:
    """Findings about `authentication.claims` and `authentication.keys`."""
    for claim in mapping_at(document, "authentication", "claims"):
        if claim in _REGISTERED:
            path = ("authentication", "claims", claim)
            summary = f"{path_text(path)}: {shown(claim)} is a registered claim"
            yield Finding(
                code=codes.REGISTERED_CLAIM, path=path, summary=summary, hint=_REGISTERED[claim], on_key=True
            )
    shared = (text_at(document, "authentication", "algorithm") or "").startswith("HS")
    seen: dict[str, int] = {}
    for index, _ in enumerate(list_at(document, "authentication", "keys")):
        if shared and "passphrase" in mapping_at(document, "authentication", "keys", index):
            at: Path = ("authentication", "keys", index, "passphrase")
            summary = f"{path_text(at)}: the shared secret of an HS… algorithm is not encrypted"
            hint = "remove it; a passphrase opens the private key of RS256, ES256, EdDSA …"
            yield Finding(code=codes.NEEDLESS_PASSPHRASE, path=at, summary=summary, hint=hint, on_key=True)
        identifier = text_at(document, "authentication", "keys", index, "id")
        if identifier is not None and seen.setdefault(identifier, index) != index:
            path_ = ("authentication", "keys", index, "id")
            summary = f"{path_text(path_)}: {shown(identifier)} is the id of keys[{seen[identifier]}] too"
            hint = "receivers choose the key by its id (kid): give each its own"
            yield Finding(code=codes.REPEATED_KEY_ID, path=path_, summary=summary, hint=hint)
