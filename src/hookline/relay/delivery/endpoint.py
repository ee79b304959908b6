"""One applied webhook, ready to be posted to over HTTPS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hookline.errors import HooklineError
from hookline.model import Webhook
from hookline.relay.delivery.certificates import Certificates, read_certificates
from hookline.relay.delivery.credentials import Credentials
from hookline.relay.delivery.freshness import Watch
from hookline.relay.delivery.opening import Opening
from hookline.relay.delivery.outcome import Failure, FailureKind, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.poster import Poster
from hookline.relay.delivery.target import parse_target
from hookline.relay.delivery.wording import as_fault
from hookline.relay.secrets import SecretResolver


class HttpEndpoint:
    """Implements `port.Endpoint`.

    Secrets, keys and certificates are read at the first attempt, and again by the attempt after `renew`, after one
    that failed on them, and a second after a file was replaced: no restart is needed. Files that were replaced and
    cannot be used, or not yet all of them, leave in use what was read before; but for the first attempt and `renew`
    and a failure of TLS, what cannot be read is a fault. `clock` gives Unix time in seconds, `random` that many
    random bytes; `opened` makes what posts.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        resolver: SecretResolver,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        opened: Opening,
        ca_file: Path | None = None,
    ) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._clock = clock
        self._credentials = Credentials(webhook, resolver, random)
        self._ca_file = ca_file
        self._opened = opened
        self._watch = Watch(webhook, resolver)
        self._deadline = webhook.delivery.timeout.total_seconds()
        self._poster: Poster | None = None
        self._certificates: Certificates | None = None
        self._doubtful = True  # whether the certificates must be read (again)
        self._replaced = False  # whether they may have become others

    async def post(self, attempt: Attempt) -> Result:
        """Make one attempt; see the port."""
        if self._watch.changed(self._clock()):
            self._credentials.look_again()
            self._replaced = True
        try:
            poster = await self._current_poster()
            headers = self._credentials.headers(self._clock())
            signature = self._credentials.sign(attempt)
        except HooklineError as fault:
            self.renew()
            return as_fault(fault)
        result = await poster.post(headers, attempt, deadline=self._deadline, signature=signature)
        if isinstance(result, Failure) and result.kind is FailureKind.TLS:
            self._doubtful = True
        return result

    def renew(self) -> None:
        """Forget the token, and what secrets had been resolved to: a fresh token may need a fresh key."""
        self._credentials.renew()
        self._doubtful = True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._poster is not None:
            await self._poster.aclose()

    async def _current_poster(self) -> Poster:
        before = self._poster
        if before is None or self._doubtful:
            return await self._renewed_poster()
        if self._replaced:
            self._replaced = False
            try:
                return await self._renewed_poster()
            except HooklineError:  # a certificate is there before its key, or neither is at this moment
                self._watch.look_again()
        return before

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
        poster = self._poster = self._opened(parse_target(webhook.url), certificates, webhook.delivery.concurrency)
        self._certificates, self._doubtful = certificates, False
        if before is not None:
            await before.aclose()
        return poster
