"""The credentials of a webhook's requests: resolved headers and query, the bearer token, and body signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TypeVar
from urllib.parse import quote

from hookline import __version__
from hookline.errors import HooklineError, KeyUnusable, SecretUnavailable
from hookline.key_rotation import TimedKey, active_keys, next_change
from hookline.model import JwtAuthentication, SecretRef, SignatureKey, SigningKey, Webhook
from hookline.relay.auth.body_signature import BodySigner, load_signature_key
from hookline.relay.auth.jwt_signer import JwtSigner
from hookline.relay.auth.keys import JwtKey, load_key
from hookline.relay.http.exchange import Attempt
from hookline.relay.http.request import SENDABLE_VALUE, Header
from hookline.relay.secrets import Secret, SecretResolver, without_newline
from hookline.units import utc_text


def fixed_headers(webhook: Webhook, resolver: SecretResolver) -> list[Header]:
    """The headers that are the same in every attempt: hookline's own, and the webhook's with resolved secrets.

    Raises SecretUnavailable if a reference cannot be resolved, or if its value is no valid header value.
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
    if SENDABLE_VALUE.fullmatch(encoded) is None:
        raise SecretUnavailable(
            f"header {name}: {origin} cannot be sent: it contains a line end, another control character, a character"
            " beyond Latin-1, or a space at its beginning or end",
            hint="store the value alone, on one line",
        )
    return encoded


def added_query(webhook: Webhook, resolver: SecretResolver) -> bytes:
    """The webhook's query parameters with resolved secrets, percent-encoded (RFC 3986 §2.1), in the order of names.

    Raises SecretUnavailable if a reference cannot be resolved.
    """
    organization = webhook.address.organization
    parts = []
    for name, value in webhook.query:
        raw = value if isinstance(value, str) else without_newline(resolver.resolve(value, organization).reveal())
        parts.append(f"{quote(name, safe='')}={quote(raw, safe='')}")
    return "&".join(parts).encode("ascii")


# The interval at which secrets are read again, to find replaced files. This costs a few small reads.
CREDENTIAL_CHECK_SECONDS = 10.0


class Credentials:
    """The credentials of one webhook. `random` returns a number of random bytes. Times are Unix seconds.

    Secrets must be readable at the first use, when another key becomes active, and after `renew`. They are also read
    after `check_secrets`, and every CREDENTIAL_CHECK_SECONDS. If that fails, for example because an operator is
    replacing a file, the previous values remain in use.
    """

    def __init__(self, webhook: Webhook, resolver: SecretResolver, random: Callable[[int], bytes]) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._random = random
        self.query = b""  # the parameters that are added to the URL, as of the last `headers` call
        self._valid_from, self._valid_until, self._check_at = inf, -inf, -inf
        self._fixed: list[Header] = []
        self._signer: JwtSigner | None = None
        self._key: JwtKey | None = None
        self._loaded: dict[str, tuple[bytes, bytes | None, JwtKey]] = {}
        self._body_keys: tuple[bytes, ...] = ()
        self._body_signer: BodySigner | None = None
        self._token: str | None = None
        self._headers: Sequence[Header] | None = None

    def headers(self, now: float) -> Sequence[Header]:
        """The headers of an attempt at `now`. While nothing in them changes, every call returns the same object.

        Raises SecretUnavailable and KeyUnusable.
        """
        if not self._valid_from <= now < self._valid_until:  # also if the clock was set back
            self._read(now)
        elif now >= self._check_at:
            try:
                self._read(now)
            except HooklineError:
                self._check_at = now + CREDENTIAL_CHECK_SECONDS
        token = None if self._signer is None else self._signer.token(now)
        if self._headers is None or token is not self._token:
            authentication = self._webhook.authentication
            own: list[Header] = []
            if token is not None and isinstance(authentication, JwtAuthentication):
                own = [(authentication.header.encode("ascii"), b"Bearer " + token.encode("ascii"))]
            self._headers, self._token = (*self._fixed, *own), token
        return self._headers

    def sign(self, attempt: Attempt) -> str:
        """The value of ``webhook-signature``, with the keys of the last `headers` call. Empty without keys."""
        return "" if self._body_signer is None else self._body_signer.sign(attempt)

    def renew(self) -> None:
        """Discard the token, and read every secret again, because a new token may need a new key."""
        self._valid_until = -inf
        if self._signer is not None:
            self._signer.renew()

    def check_secrets(self) -> None:
        """Read the secrets again at the next use. Secrets that cannot be read then keep their values."""
        self._check_at = -inf

    def _read(self, now: float) -> None:
        fixed = fixed_headers(self._webhook, self._resolver)
        query = added_query(self._webhook, self._resolver)
        authentication = self._webhook.authentication
        until = inf
        if self._webhook.signature is not None:
            keys = self._webhook.signature.keys
            until = next_change(keys, now)
            self._prepare_signature(usable_keys(keys, now))
        if isinstance(authentication, JwtAuthentication):
            key = self._load(usable_keys(authentication.keys, now)[0], authentication.algorithm)
            until = min(until, next_change(authentication.keys, now))
            if key is not self._key:
                self._key = key
                self._signer = JwtSigner(authentication, key, url=self._webhook.url, random=self._random)
        if fixed != self._fixed:
            self._fixed, self._headers = fixed, None
        if query != self.query:
            self.query = query
        self._valid_from, self._valid_until = now, until
        self._check_at = now + CREDENTIAL_CHECK_SECONDS

    def _prepare_signature(self, keys: Sequence[SignatureKey]) -> None:
        organization = self._webhook.address.organization
        secrets = [self._resolver.resolve(key.secret, organization) for key in keys]
        material = tuple(secret.reveal() for secret in secrets)
        if material != self._body_keys:
            loaded = [load_signature_key(secret, str(key.secret)) for secret, key in zip(secrets, keys, strict=True)]
            self._body_keys, self._body_signer = material, BodySigner(loaded)

    def _load(self, key: SigningKey, algorithm: str) -> JwtKey:
        # Loading an RSA key takes 40 ms, so an unchanged key is not loaded again.
        organization = self._webhook.address.organization
        material = self._resolver.resolve(key.secret, organization).reveal()
        passphrase = None if key.passphrase is None else self._resolver.resolve(key.passphrase, organization).reveal()
        before = self._loaded.get(key.id)
        if before is not None and before[:2] == (material, passphrase):
            return before[2]
        loaded = load_key(Secret(material), algorithm, key.id, None if passphrase is None else Secret(passphrase))
        self._loaded[key.id] = (material, passphrase, loaded)
        return loaded


_Key = TypeVar("_Key", bound=TimedKey)


def usable_keys(keys: Sequence[_Key], now: float) -> list[_Key]:
    """The keys that are active at `now` (Unix seconds), in their order. Raises KeyUnusable if there is none."""
    if usable := active_keys(keys, now):
        return usable
    coming = [key.activate for key in keys if key.activate is not None and key.activate.timestamp() > now]
    reason = f"the next key becomes active at {utc_text(min(coming))}" if coming else "all keys are retired"
    raise KeyUnusable(
        f"no key is active now: {reason}",
        hint="remove activate and retire from one key, or correct their times, and apply the change",
    )
