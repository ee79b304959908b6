"""What a webhook's requests are proved with: its resolved headers, its token, and signatures of bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TypeVar

from hookline import __version__
from hookline.errors import HooklineError, KeyUnusable, SecretUnavailable
from hookline.key_rotation import TimedKey, active_keys, next_change
from hookline.model import JwtAuthentication, SecretRef, SignatureKey, SigningKey, Webhook
from hookline.relay.auth.body_signature import BodySigner, load_signature_key
from hookline.relay.auth.jwt_signer import JwtSigner
from hookline.relay.auth.keys import JwtKey, load_key
from hookline.relay.http.exchange import Attempt
from hookline.relay.http.request import _VALUE, Header
from hookline.relay.secrets import Secret, SecretResolver, without_newline
from hookline.units import format_moment


def fixed_headers(webhook: Webhook, resolver: SecretResolver) -> list[Header]:
    """The headers that are the same in every attempt: hookline's own, and the webhook's with secrets resolved.

    Raises SecretUnavailable when a reference cannot be resolved, or a value cannot stand in a header.
    """
    organization = webhook.address.organization
    headers = [(b"content-type", b"application/json"), (b"user-agent", f"hookline/{__version__}".encode())]
    for name, value in webhook.headers:
        headers.append((name.encode("ascii"), _value(name, value, resolver, organization)))
    return headers


def _value(name: str, value: str | SecretRef, resolver: SecretResolver, organization: str) -> bytes:
    if isinstance(value, str):
        raw, origin = value.encode("utf-8"), "its value"
    else:
        raw, origin = without_newline(resolver.resolve(value, organization).reveal()), f"secret {value}"
    try:
        encoded = raw.decode("utf-8").encode("latin-1")
    except UnicodeError:
        encoded = b"\n"
    if _VALUE.fullmatch(encoded) is None:
        raise SecretUnavailable(
            f"header {name}: {origin} cannot be sent: it holds a line end, another control character, a character"
            " beyond Latin-1, or a space at its beginning or end",
            hint="store the bare value, on one line",
        )
    return encoded


# How long a replaced file may go unnoticed by who does not watch it. Looking costs a few small reads.
CREDENTIAL_CHECK_SECONDS = 10.0


class Credentials:
    """Those of one webhook. `random` returns that many random bytes. Times are Unix seconds.

    Secrets are read at the first use, when a key takes over, after `renew`, and after `look_again` and every ten
    seconds of use: then only to see whether they have changed. Where they cannot be read in that moment (a file is
    being replaced), what was read before goes on being used.
    """

    def __init__(self, webhook: Webhook, resolver: SecretResolver, random: Callable[[int], bytes]) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._random = random
        self._since, self._until, self._look = inf, -inf, -inf
        self._fixed: list[Header] = []
        self._signer: JwtSigner | None = None
        self._key: JwtKey | None = None
        self._loaded: dict[str, tuple[bytes, bytes | None, JwtKey]] = {}
        self._body_keys: tuple[bytes, ...] = ()
        self._body_signer: BodySigner | None = None
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

    def sign(self, attempt: Attempt) -> str:
        """The value of ``webhook-signature`` with the keys that the last call of `headers` found; empty: none."""
        return "" if self._body_signer is None else self._body_signer.sign(attempt)

    def renew(self) -> None:
        """Forget the token, and read every secret again: a fresh token may need a fresh key."""
        self._until = -inf
        if self._signer is not None:
            self._signer.renew()

    def look_again(self) -> None:
        """See at the next use whether secrets have changed; what cannot be read in that moment stays as it is."""
        self._look = -inf

    def _reread(self, now: float) -> None:
        try:
            self._read(now)
        except HooklineError:
            self._look = now + CREDENTIAL_CHECK_SECONDS

    def _read(self, now: float) -> None:
        fixed = fixed_headers(self._webhook, self._resolver)
        authentication = self._webhook.authentication
        until = inf
        if self._webhook.signature is not None:
            keys = self._webhook.signature.keys
            until = next_change(keys, now)
            self._prepare_signature(in_use(keys, now))
        if isinstance(authentication, JwtAuthentication):
            key = self._signing_key(authentication, now)
            until = min(until, next_change(authentication.keys, now))
            if key is not self._key:
                self._key = key
                self._signer = JwtSigner(authentication, key, url=self._webhook.url, random=self._random)
        if fixed != self._fixed:
            self._fixed, self._headers = fixed, None
        self._since, self._until, self._look = now, until, now + CREDENTIAL_CHECK_SECONDS

    def _signing_key(self, authentication: JwtAuthentication, now: float) -> JwtKey:
        return self._load(in_use(authentication.keys, now)[0], authentication.algorithm)

    def _prepare_signature(self, keys: Sequence[SignatureKey]) -> None:
        organization = self._webhook.address.organization
        secrets = [self._resolver.resolve(key.secret, organization) for key in keys]
        material = tuple(secret.reveal() for secret in secrets)
        if material != self._body_keys:
            loaded = [load_signature_key(secret, str(key.secret)) for secret, key in zip(secrets, keys, strict=True)]
            self._body_keys, self._body_signer = material, BodySigner(loaded)

    def _load(self, key: SigningKey, algorithm: str) -> JwtKey:
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


_Key = TypeVar("_Key", bound=TimedKey)


def in_use(keys: Sequence[_Key], now: float) -> list[_Key]:
    """The keys that are active at `now`, in their order. Raises KeyUnusable when none is."""
    usable = active_keys(keys, now)
    if not usable:
        raise KeyUnusable(
            f"no key is active at this moment{_next_activation(keys, now)}",
            hint="give one key no activate and no retire, or correct their times, and apply that",
        )
    return usable


def _next_activation(keys: Iterable[TimedKey], now: float) -> str:
    coming = [key.activate for key in keys if key.activate is not None and key.activate.timestamp() > now]
    return f": the next one is from {format_moment(min(coming))} on" if coming else ": all are retired"
