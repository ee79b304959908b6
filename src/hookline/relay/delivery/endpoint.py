"""One applied webhook, ready to be posted to over HTTPS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hookline.errors import HooklineError
from hookline.model import FileRef, JwtAuthentication, SecretRef, SigningKey, Webhook
from hookline.relay.delivery.headers import Header, attempt_headers, fixed_headers
from hookline.relay.delivery.keys import Key, load_key
from hookline.relay.delivery.outcome import Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.tls import ClientCertificate, tls_context
from hookline.relay.delivery.token import Signer
from hookline.relay.delivery.transport import OpenTransport, Poster, open_transport
from hookline.relay.delivery.wording import as_fault
from hookline.relay.network import NetworkRules
from hookline.relay.secrets import Secret, SecretResolver


class HttpEndpoint:
    """Implements `port.Endpoint`.

    Secrets, keys and certificates are read at the first attempt, and again by the attempt after `renew` or after
    one that failed on them: what an operator corrects is picked up without a restart. `clock` gives Unix time in
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
        transport: OpenTransport = open_transport,
    ) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._rules = rules
        self._clock = clock
        self._random = random
        self._ca_file = ca_file
        self._open_transport = transport
        self._deadline = webhook.delivery.timeout.total_seconds()
        self._poster: Poster | None = None
        self._headers: list[Header] | None = None
        self._signer: Signer | None = None
        self._key: tuple[bytes, Key] | None = None

    async def post(self, attempt: Attempt) -> Result:
        """Make one attempt; see the port."""
        try:
            poster = self._poster = self._poster or self._make_poster()
            headers = self._fixed_headers() + attempt_headers(attempt) + self._authorization()
        except HooklineError as fault:
            self.renew()
            return as_fault(fault)
        return await poster.post(headers, attempt.body, deadline=self._deadline)

    def renew(self) -> None:
        """Forget the token, and what secrets had been resolved to: a fresh token may need a fresh key."""
        self._headers = None
        self._signer = None

    async def aclose(self) -> None:
        """Close all connections."""
        if self._poster is not None:
            await self._poster.aclose()

    def _make_poster(self) -> Poster:
        policy = self._webhook.delivery.tls
        authorities = None if policy.ca_file is None else self._read(FileRef(policy.ca_file))
        context = tls_context(ca_file=self._ca_file, authorities=authorities, client=self._client_certificate())
        transport = self._open_transport(self._rules, context, self._webhook.delivery.concurrency)
        return Poster(transport, self._webhook.url, self._clock)

    def _client_certificate(self) -> ClientCertificate | None:
        policy, organization = self._webhook.delivery.tls, self._webhook.address.organization
        if policy.client_certificate is None:
            return None
        key = None if policy.client_key is None else self._resolver.locate(policy.client_key, organization)
        return ClientCertificate(self._resolver.locate(policy.client_certificate, organization), key)

    def _read(self, ref: SecretRef) -> bytes:
        return self._resolver.resolve(ref, self._webhook.address.organization).reveal()

    def _fixed_headers(self) -> list[Header]:
        if self._headers is None:
            self._headers = fixed_headers(self._webhook, self._resolver)
        return self._headers

    def _authorization(self) -> list[Header]:
        authentication = self._webhook.authentication
        if not isinstance(authentication, JwtAuthentication):
            return []
        if self._signer is None:
            key = self._load_key(authentication.keys[0], authentication.algorithm)
            self._signer = Signer(authentication, key, url=self._webhook.url, random=self._random)
        token = self._signer.token(self._clock())
        return [(authentication.header.encode("ascii"), b"Bearer " + token.encode("ascii"))]

    def _load_key(self, key: SigningKey, algorithm: str) -> Key:
        # Reading an RSA key takes 40 ms, checking that it is still the same one takes none.
        material = self._read(key.secret)
        if self._key is None or self._key[0] != material:
            self._key = (material, load_key(Secret(material), algorithm, key.id))
        return self._key[1]
