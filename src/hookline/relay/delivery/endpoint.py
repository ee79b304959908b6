"""One applied webhook, ready to be posted to over HTTPS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hookline.errors import HooklineError
from hookline.model import FileRef, Webhook
from hookline.relay.auth.client_certificates import read_certificates
from hookline.relay.auth.credentials import Credentials
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, as_fault
from hookline.relay.http.request import parse_target
from hookline.relay.http.tls import Certificates
from hookline.relay.http.transport import Transport
from hookline.relay.http.transport_factory import TransportFactory
from hookline.relay.secrets import FileStamp, SecretResolver

# Noticing that an operator has replaced a secret's file.
# Looking costs some system calls for each file, so it is not done for each event.
SECRET_FILE_CHECK_SECONDS = 1.0


class SecretFileWatcher:
    """The files that one webhook names. Its user says what time it is, in Unix seconds."""

    def __init__(self, webhook: Webhook, resolver: SecretResolver) -> None:
        self._files = [reference for reference in dict.fromkeys(webhook.secrets()) if isinstance(reference, FileRef)]
        self._organization = webhook.address.organization
        self._resolver = resolver
        self._looked_at = 0.0
        self._stamps: list[FileStamp | None] | None = None

    def changed(self, now: float) -> bool:
        """Whether a file is another one than at the last look. Looks at most once a second; the first tells nothing.

        Called before files are read: what changes after that is seen by the next look.
        """
        if not self._files or 0 <= now - self._looked_at < SECRET_FILE_CHECK_SECONDS:
            return False
        self._looked_at = now
        before = self._stamps
        self._stamps = [self._resolver.stamp(reference, self._organization) for reference in self._files]
        return before is not None and before != self._stamps

    def look_again(self) -> None:
        """The next look says that something has changed: what was found could not be used yet."""
        if self._stamps is not None:
            self._stamps = []


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
        opened: TransportFactory,
        ca_file: Path | None = None,
    ) -> None:
        self._webhook = webhook
        self._resolver = resolver
        self._clock = clock
        self._credentials = Credentials(webhook, resolver, random)
        self._ca_file = ca_file
        self._opened = opened
        self._watch = SecretFileWatcher(webhook, resolver)
        self._deadline = webhook.delivery.timeout.total_seconds()
        self._poster: Transport | None = None
        self._certificates: Certificates | None = None
        self._must_check_certificates = True  # whether the certificates must be read (again)
        self._replaced = False  # whether they may have become others

    async def post(self, attempt: Attempt) -> ExchangeResult:
        """Make one attempt; see the port."""
        if self._watch.changed(self._clock()):
            self._credentials.check_secrets()
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
            self._must_check_certificates = True
        return result

    def renew(self) -> None:
        """Forget the token, and what secrets had been resolved to: a fresh token may need a fresh key."""
        self._credentials.renew()
        self._must_check_certificates = True

    async def aclose(self) -> None:
        """Close all connections."""
        if self._poster is not None:
            await self._poster.aclose()

    async def _current_poster(self) -> Transport:
        before = self._poster
        if before is None or self._must_check_certificates:
            return await self._renewed_poster()
        if self._replaced:
            self._replaced = False
            try:
                return await self._renewed_poster()
            except HooklineError:  # a certificate is there before its key, or neither is at this moment
                self._watch.look_again()
        return before

    async def _renewed_poster(self) -> Transport:
        webhook, before = self._webhook, self._poster
        certificates = read_certificates(
            webhook.delivery.tls,
            ca_file=self._ca_file,
            resolver=self._resolver,
            organization=webhook.address.organization,
        )
        if before is not None and certificates == self._certificates:
            self._must_check_certificates = False
            return before
        poster = self._poster = self._opened(parse_target(webhook.url), certificates, webhook.delivery.concurrency)
        self._certificates, self._must_check_certificates = certificates, False
        if before is not None:
            await before.aclose()
        return poster
