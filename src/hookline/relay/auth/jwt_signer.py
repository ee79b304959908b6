"""Bearer tokens (RFC 7519), signed once and used until shortly before they expire. The only module that knows jwt."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import jwt

from hookline.errors import KeyUnusable
from hookline.model import JwtAuthentication
from hookline.relay.auth.keys import JwtKey

REGISTERED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
# Signing with RS256 costs as much as forty requests, so a token is reused, but never into the last fifth of its
# life: a slow request and a receiver whose clock runs ahead must both find it valid.
_USED_SHARE = 0.8
# A receiver whose clock is behind would read "not valid yet" (RFC 7519 §4.1.5) or "issued in the future". So a token
# is dated back, within its lifetime: what a receiver sees between iat and exp is what was configured.
_BACKDATED_SHARE, _BACKDATED_MOST = 0.1, 30.0
_JTI_BYTES = 16


def origin(url: str) -> str:
    """``scheme://host[:port]`` of a URL (RFC 6454 §6.2): without the port when it is the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    own_port = {"https": 443, "http": 80}.get(parts.scheme)
    suffix = "" if parts.port in (None, own_port) else f":{parts.port}"
    return f"{parts.scheme}://{bracketed}{suffix}"


class JwtSigner:
    """Makes the tokens of one webhook. `random` returns that many random bytes; each token's ``jti`` is from it."""

    def __init__(
        self, authentication: JwtAuthentication, key: JwtKey, *, url: str, random: Callable[[int], bytes]
    ) -> None:
        self._key = key
        self._random = random
        self._lifetime = authentication.lifetime.total_seconds()
        self._backdated = min(_BACKDATED_SHARE * self._lifetime, _BACKDATED_MOST)
        self._one_time = authentication.one_time
        self._claims = {
            name: value for name, value in authentication.claims.items() if name not in REGISTERED_CLAIMS
        } | {
            name: value
            for name, value in (
                ("iss", authentication.issuer),
                ("sub", authentication.subject),
                ("aud", authentication.audience or origin(url)),
            )
            if value is not None
        }
        self._token: str | None = None
        self._signed_at = 0.0

    def token(self, now: float) -> str:
        """A token that is valid at `now` (Unix time in seconds): the one in use while 80 % of its life is not over.

        A new one each time where the webhook asks for one-time tokens. Raises KeyUnusable when signing fails.
        """
        age = now - self._signed_at
        # A negative age: the clock was set back, and the receiver would read "not valid yet".
        if self._token is None or self._one_time or not 0 <= age < _USED_SHARE * self._lifetime - self._backdated:
            self._token, self._signed_at = self._sign(now - self._backdated), now
        return self._token

    def renew(self) -> None:
        """Forget the token in use."""
        self._token = None

    def _sign(self, begins: float) -> str:
        issued = int(begins)
        claims = {
            **self._claims,
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(self._lifetime),
            "jti": self._random(_JTI_BYTES).hex(),
        }
        try:
            # RFC 8725 §3.11: the type is said, so that no other kind of JWT under the same key is taken for one.
            headers = {"typ": "JWT", "kid": self._key.id}
            return jwt.encode(claims, self._key.material, self._key.algorithm, headers=headers)
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise KeyUnusable(f"key {self._key.id!r}: signing with {self._key.algorithm} failed: {error}") from error
