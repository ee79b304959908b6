"""One applied webhook, ready to be posted to over HTTPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hookline.errors import HooklineError
from hookline.model import JwtAuthentication, SigningKey, Webhook
from hookline.relay.delivery.certificates import Certificates, context_for, read_certificates
from hookline.relay.delivery.freshness import Watch
from hookline.relay.delivery.headers import Header, fixed_headers
from hookline.relay.delivery.keys import Key, load_key
from hookline.relay.delivery.outcome import Failure, FailureKind, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.poster import OpenPoster, Poster, open_engine
from hookline.relay.delivery.target import parse_target
from hookline.relay.delivery.token import Signer
from hookline.relay.delivery.wording import as_fault
from hookline.relay.network import NetworkRules
from hookline.relay.secrets import Secret, SecretResolver


class HttpEndpoint:
    """Implements `port.Endpoint`.

    Secrets, keys and certificates are read at the first attempt, and again by the attempt after `renew`, after one
    that failed on them, and a second after a file was replaced: no restart is needed. `clock` gives Unix time in
    seconds, `random` that many random bytes.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        resolver: SecretResolver,
        rules: NetworkRules,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        ca_file: Path | None = None,
        open_poster: OpenPoster = open_engine,
    ) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._rules = rules
        self._clock = clock
        self._random = random
        self._ca_file = ca_file
        self._open_poster = open_poster
        self._watch = Watch(webhook, resolver)
        self._deadline = webhook.delivery.timeout.total_seconds()
        self._poster: Poster | None = None
        self._certificates: Certificates | None = None
        self._doubtful = True  # whether the certificates are to be read (again)
        self._fixed: list[Header] | None = None
        self._signer: Signer | None = None
        self._key: tuple[bytes, Key] | None = None
        self._token: str | None = None
        self._headers: Sequence[Header] | None = None

    async def post(self, attempt: Attempt) -> Result:
        """Make one attempt; see the port."""
        if self._watch.changed(self._clock()):
            self.renew()
        try:
            poster = self._poster
            if poster is None or self._doubtful:
                poster = await self._renewed_poster()
            headers = self._current_headers()
        except HooklineError as fault:
            self.renew()
            return as_fault(fault)
        result = await poster.post(headers, attempt, deadline=self._deadline)
        if isinstance(result, Failure) and result.kind is FailureKind.TLS:
            self._doubtful = True
        return result

    def renew(self) -> None:
        """Forget the token, and what secrets had been resolved to: a fresh token may need a fresh key."""
        self._fixed = self._signer = self._headers = None
        self._doubtful = True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._poster is not None:
            await self._poster.aclose()

    async def _renewed_poster(self) -> Poster:
        webhook, before = self._webhook, self._poster
        certificates = read_certificates(
            webhook.delivery.tls,
            ca_file=self._ca_file,
            resolver=self._resolver,
            organization=webhook.address.organization,
        )
        if before is not None and certificates == self._certificates:
            self._doubtful = False
            return before
        poster = self._poster = self._open_poster(
            parse_target(webhook.url),
            self._rules,
            context_for(certificates),
            webhook.delivery.concurrency,
            self._clock,
        )
        self._certificates, self._doubtful = certificates, False
        if before is not None:
            await before.aclose()
        return poster

    def _current_headers(self) -> Sequence[Header]:
        """The very object of the last attempt while nothing in it has changed: the poster need not look again."""
        token = self._current_token()
        if self._headers is None or token is not self._token:
            if self._fixed is None:
                self._fixed = fixed_headers(self._webhook, self._resolver)
            self._headers, self._token = (*self._fixed, *self._authorization(token)), token
        return self._headers

    def _current_token(self) -> str | None:
        authentication = self._webhook.authentication
        if not isinstance(authentication, JwtAuthentication):
            return None
        if self._signer is None:
            key = self._load_key(authentication.keys[0], authentication.algorithm)
            self._signer = Signer(authentication, key, url=self._webhook.url, random=self._random)
        return self._signer.token(self._clock())

    def _authorization(self, token: str | None) -> list[Header]:
        authentication = self._webhook.authentication
        if token is None or not isinstance(authentication, JwtAuthentication):
            return []
        return [(authentication.header.encode("ascii"), b"Bearer " + token.encode("ascii"))]

    def _load_key(self, key: SigningKey, algorithm: str) -> Key:
        # Reading an RSA key takes 40 ms, checking that it is still the same one takes none.
        material = self._resolver.resolve(key.secret, self._webhook.address.organization).reveal()
        if self._key is None or self._key[0] != material:
            self._key = (material, load_key(Secret(material), algorithm, key.id))
        return self._key[1]
