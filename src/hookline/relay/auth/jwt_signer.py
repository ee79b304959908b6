"""Bearer tokens (RFC 7519), each used until shortly before it expires. No other module imports jwt."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import jwt

from hookline.errors import KeyUnusable
from hookline.model import JwtAuthentication
from hookline.relay.auth.keys import JwtKey

REGISTERED_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
# A signature with RS256 costs as much as forty requests, so a token is reused. It is not used in the last fifth of
# its lifetime, so that it is still valid after a slow request, and for a receiver whose clock is ahead.
_USED_SHARE = 0.8
# For a receiver whose clock is behind, a new token would be "not valid yet" (RFC 7519 §4.1.5) or "issued in the
# future". A token is therefore dated back. The time between iat and exp is still the configured lifetime.
_BACKDATED_SHARE, _MAX_BACKDATED_SECONDS = 0.1, 30.0
_JTI_BYTES = 16


def origin(url: str) -> str:
    """``scheme://host[:port]`` of a URL (RFC 6454 §6.2), without the scheme's default port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    default_port = {"https": 443, "http": 80}.get(parts.scheme)
    suffix = "" if parts.port in (None, default_port) else f":{parts.port}"
    return f"{parts.scheme}://{bracketed}{suffix}"


class JwtSigner:
    """Makes the tokens of one webhook. The origin of its `url` is the default audience.

    `random` returns a number of random bytes, for each token's ``jti``.
    """

    def __init__(
        self, authentication: JwtAuthentication, key: JwtKey, *, url: str, random: Callable[[int], bytes]
    ) -> None:
        self._key = key
        self._random = random
        self._lifetime = authentication.lifetime.total_seconds()
        self._backdated = min(_BACKDATED_SHARE * self._lifetime, _MAX_BACKDATED_SECONDS)
        self._one_time = authentication.one_time
        registered = {
            "iss": authentication.issuer,
            "sub": authentication.subject,
            "aud": authentication.audience or origin(url),
        }
        own = {name: value for name, value in authentication.claims.items() if name not in REGISTERED_CLAIMS}
        self._claims = own | {name: value for name, value in registered.items() if value is not None}
        self._token: str | None = None
        self._signed_at = 0.0

    def token(self, now: float) -> str:
        """A token that is valid at `now` (Unix time in seconds).

        It is the same during 80 % of its lifetime, unless tokens are one-time. Raises KeyUnusable if signing fails.
        """
        age = now - self._signed_at
        # A negative age: the clock was set back, and the token would be "not valid yet" for the receiver.
        if self._token is None or self._one_time or not 0 <= age < _USED_SHARE * self._lifetime - self._backdated:
            self._token, self._signed_at = self._sign(now - self._backdated), now
        return self._token

    def renew(self) -> None:
        self._token = None

    def _sign(self, issued_at: float) -> str:
        issued, jti = int(issued_at), self._random(_JTI_BYTES).hex()
        claims = {**self._claims, "iat": issued, "nbf": issued, "exp": issued + int(self._lifetime), "jti": jti}
        try:
            # RFC 8725 §3.11: with an explicit type, no other kind of JWT under this key passes for a bearer token.
            headers = {"typ": "JWT", "kid": self._key.id}
            return jwt.encode(claims, self._key.material, self._key.algorithm, headers=headers)
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise KeyUnusable(f"key {self._key.id!r}: signing with {self._key.algorithm} failed: {error}") from error
