"""What a webhook's requests are proved with: its resolved headers, its token, and the keys in use at the moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from hookline.errors import HooklineError, KeyUnusable
from hookline.model import JwtAuthentication, SigningKey, Webhook
from hookline.quantities import format_moment
from hookline.relay.delivery.headers import Header, fixed_headers
from hookline.relay.delivery.keys import Key, load_key
from hookline.relay.delivery.token import Signer
from hookline.relay.secrets import Secret, SecretResolver
from hookline.rotation import active, next_change

# How long a replaced file may go unnoticed. Looking costs a few small reads.
LOOK_SECONDS = 10.0


class Credentials:
    """Those of one webhook. `random` returns that many random bytes. Times are Unix seconds.

    Secrets are read at the first use, when a key takes over, after `renew`, and every ten seconds of use: then only
    to see whether they have changed. Where they cannot be read in that moment (a file is being replaced), what was
    read before goes on being used.
    """

    def __init__(self, webhook: Webhook, resolver: SecretResolver, random: Callable[[int], bytes]) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._random = random
        self._since, self._until, self._look = inf, -inf, -inf
        self._fixed: list[Header] = []
        self._signer: Signer | None = None
        self._key: Key | None = None
        self._loaded: dict[str, tuple[bytes, bytes | None, Key]] = {}
        self._token: str | None = None
        self._headers: Sequence[Header] | None = None

    def headers(self, now: float) -> Sequence[Header]:
        """Those of an attempt at `now`: the very object of the last call while nothing in them has changed.

        Raises SecretUnavailable and KeyUnusable.
        """
        if not self._since <= now < self._until:  # the clock may also have been set back
            self._read(now)
        elif now >= self._look:
            self._reread(now)
        token = None if self._signer is None else self._signer.token(now)
        if self._headers is None or token is not self._token:
            self._headers, self._token = (*self._fixed, *self._authorization(token)), token
        return self._headers

    def renew(self) -> None:
        """Forget the token, and read every secret again: a fresh token may need a fresh key."""
        self._until = -inf
        if self._signer is not None:
            self._signer.renew()

    def _reread(self, now: float) -> None:
        try:
            self._read(now)
        except HooklineError:
            self._look = now + LOOK_SECONDS

    def _read(self, now: float) -> None:
        fixed = fixed_headers(self._webhook, self._resolver)
        authentication = self._webhook.authentication
        until = inf
        if isinstance(authentication, JwtAuthentication):
            key = self._signing_key(authentication, now)
            until = next_change(authentication.keys, now)
            if key is not self._key:
                self._key = key
                self._signer = Signer(authentication, key, url=self._webhook.url, random=self._random)
        if fixed != self._fixed:
            self._fixed, self._headers = fixed, None
        self._since, self._until, self._look = now, until, now + LOOK_SECONDS

    def _signing_key(self, authentication: JwtAuthentication, now: float) -> Key:
        usable = active(authentication.keys, now)
        if not usable:
            raise KeyUnusable(
                f"no key is active at this moment{_next_activation(authentication.keys, now)}",
                hint="give one key no activate and no retire, or correct their times, and apply that",
            )
        return self._load(usable[0], authentication.algorithm)

    def _load(self, key: SigningKey, algorithm: str) -> Key:
        # Reading an RSA key takes 40 ms, checking that it is still the same one takes none.
        organization = self._webhook.address.organization
        material = self._resolver.resolve(key.secret, organization).reveal()
        passphrase = None if key.passphrase is None else self._resolver.resolve(key.passphrase, organization).reveal()
        before = self._loaded.get(key.id)
        if before is not None and before[:2] == (material, passphrase):
            return before[2]
        loaded = load_key(
            Secret(material), algorithm, key.id, passphrase=None if passphrase is None else Secret(passphrase)
        )
        self._loaded[key.id] = (material, passphrase, loaded)
        return loaded

    def _authorization(self, token: str | None) -> list[Header]:
        authentication = self._webhook.authentication
        if token is None or not isinstance(authentication, JwtAuthentication):
            return []
        return [(authentication.header.encode("ascii"), b"Bearer " + token.encode("ascii"))]


def _next_activation(keys: Sequence[SigningKey], now: float) -> str:
    coming = [key.activate for key in keys if key.activate is not None and key.activate.timestamp() > now]
    return f": the next one is from {format_moment(min(coming))} on" if coming else ": all are retired"
