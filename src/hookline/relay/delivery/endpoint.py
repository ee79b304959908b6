"""The endpoint of one applied webhook over HTTPS, with its credentials and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Final

from hookline.descriptors import NO_DESCRIPTOR_RETRY_SECONDS, lacks_descriptor
from hookline.errors import HooklineError
from hookline.model import FileRef, Webhook
from hookline.relay.auth.client_certificates import read_certificates
from hookline.relay.auth.credentials import Credentials
from hookline.relay.http.error_mapping import error_text
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, as_fault
from hookline.relay.http.request import Header, parse_target
from hookline.relay.http.tls import Certificates
from hookline.relay.http.transport import BegunPost, OnResult, Transport
from hookline.relay.http.transport_factory import TransportFactory
from hookline.relay.secrets import FileStamp, SecretResolver

# A check costs a few system calls per file, so the relay does not check for each event.
SECRET_FILE_CHECK_SECONDS: Final = 1.0
# Attempts without a task use the same headers for this time. `renew` ends it.
SAME_HEADERS_SECONDS: Final = 0.05


class SecretFileWatcher:
    """Detects that an operator has replaced one of the secret files of a webhook."""

    def __init__(self, webhook: Webhook, resolver: SecretResolver) -> None:
        self._files = [reference for reference in dict.fromkeys(webhook.secrets()) if isinstance(reference, FileRef)]
        self._organization = webhook.address.organization
        self._resolver = resolver
        self._checked_at = 0.0
        self._stamps: list[FileStamp | None] | None = None

    def changed(self, now: float) -> bool:
        """Whether a file was replaced since the last check. Checks at most once a second; the first returns False.

        Call this before the files are read. The next check then finds changes that come after it. `now` is in Unix
        seconds.
        """
        if not self._files or 0 <= now - self._checked_at < SECRET_FILE_CHECK_SECONDS:
            return False
        self._checked_at = now
        before = self._stamps
        self._stamps = [self._resolver.stamp(reference, self._organization) for reference in self._files]
        return before is not None and before != self._stamps

    def report_again(self) -> None:
        """Make the next check report a change, because the replaced files could not be used yet."""
        if self._stamps is not None:
            self._stamps = []


class HttpEndpoint:
    """Implements attempt.Endpoint.

    The first attempt reads secrets, keys and certificates. Later attempts read them again after `renew`, after an
    attempt that failed on them, and one second after a file was replaced. No restart is necessary. If replaced files
    cannot be used, or not all of them are in place yet, the endpoint continues with the earlier values. Values that
    the first attempt, an attempt after `renew` or an attempt after a TLS failure cannot read are a local fault.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        resolver: SecretResolver,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        transport_factory: TransportFactory,
        ca_file: Path | None = None,
    ) -> None:
        """Create an endpoint without connections.

        Args:
            webhook: The applied webhook.
            resolver: Reads secrets.
            clock: Returns Unix time in seconds.
            random: Returns the given number of random bytes.
            transport_factory: Creates the transport.
            ca_file: Certificates of authorities that are trusted in addition.
        """
        self._webhook = webhook
        self._resolver = resolver
        self._clock = clock
        self._credentials = Credentials(webhook, resolver, random)
        self._ca_file = ca_file
        self._transport_factory = transport_factory
        self._secret_files = SecretFileWatcher(webhook, resolver)
        self._timeout_seconds = webhook.delivery.timeout.total_seconds()
        self._transport: Transport | None = None
        self._certificates: Certificates | None = None
        self._query = b""
        self._shown_end: float | None = None  # by an earlier transport
        self._must_read_certificates = True
        self._certificates_may_have_changed = False
        self._headers: Sequence[Header] = ()
        self._looked_at = -inf

    async def post(self, attempt: Attempt) -> ExchangeResult:
        """Make one attempt, as attempt.Endpoint requires."""
        self._notice_replaced_files()
        while True:
            try:
                headers = self._credentials.headers(self._clock())
                transport = await self._current_transport()
                signature = self._credentials.sign(attempt)
                break
            except (HooklineError, OSError) as fault:
                self.renew()
                if not lacks_descriptor(fault):
                    return as_fault(fault) if isinstance(fault, HooklineError) else LocalFault(error_text(fault))
                await asyncio.sleep(NO_DESCRIPTOR_RETRY_SECONDS)
        result = await transport.post(headers, attempt, deadline=self._timeout_seconds, signature=signature)
        if isinstance(result, Failure) and result.kind is FailureKind.TLS:
            self._must_read_certificates = True
        return result

    def begin(self, attempt: Attempt, on_result: OnResult) -> BegunPost | None:
        """Make one attempt without a task, as attempt.Endpoint requires.

        It uses a kept connection. A TLS failure on it is not about certificates, because these were accepted when the
        connection was made.
        """
        if not 0 <= attempt.at - self._looked_at < SAME_HEADERS_SECONDS and not self._look(attempt.at):
            return None
        assert self._transport is not None
        return self._transport.begin(
            self._headers,
            attempt,
            deadline=self._timeout_seconds,
            on_result=on_result,
            signature=self._credentials.sign(attempt),
        )

    def _look(self, now: float) -> bool:
        """Look at everything that a request depends on. False: `post` must renew something, or report a fault."""
        self._looked_at = -inf
        self._notice_replaced_files()
        if self._transport is None or self._must_read_certificates or self._certificates_may_have_changed:
            return False
        try:
            self._headers = self._credentials.headers(self._clock())
        except (HooklineError, OSError):
            return False
        if self._query != self._credentials.query:
            return False
        self._looked_at = now
        return True

    def renew(self) -> None:
        """Drop the token and the resolved secrets. A fresh token may need a fresh key."""
        self._credentials.renew()
        self._must_read_certificates = True
        self._looked_at = -inf

    def certificate_ends(self) -> dict[str, float]:
        """As attempt.Endpoint requires. Both are known from the first attempt."""
        client = None if self._certificates is None else self._certificates.client_end
        ends = {"endpoint": self._endpoint_end(), "client": client}
        return {kind: end for kind, end in ends.items() if end is not None}

    def _endpoint_end(self) -> float | None:
        shown = None if self._transport is None else self._transport.shown
        return self._shown_end if shown is None or shown.end is None else shown.end

    async def aclose(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            await self._transport.aclose()

    def _notice_replaced_files(self) -> None:
        if self._secret_files.changed(self._clock()):
            self._credentials.check_secrets()
            self._certificates_may_have_changed = True

    async def _current_transport(self) -> Transport:
        before = self._transport
        may_have_changed, self._certificates_may_have_changed = self._certificates_may_have_changed, False
        if before is None or self._must_read_certificates or self._query != self._credentials.query:
            return await self._renewed_transport()
        if may_have_changed:
            try:
                return await self._renewed_transport()
            except HooklineError:  # the operator replaces certificate and key one after the other
                self._secret_files.report_again()
        return before

    async def _renewed_transport(self) -> Transport:
        webhook, before = self._webhook, self._transport
        certificates = read_certificates(
            webhook.delivery.tls,
            ca_file=self._ca_file,
            resolver=self._resolver,
            organization=webhook.address.organization,
        )
        query = self._credentials.query
        if before is not None and certificates == self._certificates and query == self._query:
            self._must_read_certificates = False
            return before
        target = parse_target(webhook.url, query)
        self._shown_end = self._endpoint_end()
        transport = self._transport = self._transport_factory(target, certificates, webhook.delivery.concurrency)
        self._certificates, self._query, self._must_read_certificates = certificates, query, False
        if before is not None:
            await before.aclose()
        return transport
