"""When certificates expire, as an endpoint learns it from real handshakes and files, over every transport."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from builders import webhook
from contract.https_server import (
    AUTHORITY,
    HOST,
    LOCAL,
    OK,
    OPENERS,
    Opener,
    resolves_to,
    run,
    sends,
    server_context,
    serving,
)
from hookline.model import DeliveryPolicy, FileRef, TlsPolicy
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.exchange import Attempt, Failure, Response
from hookline.relay.http.transport_factory import transport_factory
from hookline.relay.secrets import SecretResolver

pytestmark = pytest.mark.usefixtures("private_files")
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TODAY = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


def certificate(days: int, host: str = HOST) -> trustme.LeafCert:
    """One that expires in so many days."""
    return AUTHORITY.issue_cert(host, not_before=TODAY - timedelta(90), not_after=TODAY + timedelta(days))


def in_days(days: int) -> float:
    return (TODAY + timedelta(days)).timestamp()


class Receiver:
    """A server whose certificate can be replaced, and the endpoint of a webhook that posts to it."""

    def __init__(self, context: ssl.SSLContext, endpoint: HttpEndpoint) -> None:
        self.context = context
        self.endpoint = endpoint

    async def post(self) -> object:
        return await self.endpoint.post(Attempt(bytes(16), b"{}", 1, 0.0))

    async def ends_after_post(self) -> dict[str, float]:
        assert Response(200) == await self.post()
        return self.endpoint.certificate_ends()


@asynccontextmanager
async def receiver(
    opener: Opener, directory: Path, days: int, tls: TlsPolicy | None = None, *, answer: bytes = CLOSING
) -> AsyncIterator[Receiver]:
    AUTHORITY.cert_pem.write_to_path(directory / "ca.pem")
    context = server_context(certificate(days))
    async with serving(sends(answer), context) as server:
        found = partial(opener, resolve=resolves_to("127.0.0.1"))
        endpoint = HttpEndpoint(
            webhook(url=f"https://{HOST}:{server.port}/", delivery=DeliveryPolicy(tls=tls or TlsPolicy())),
            resolver=SecretResolver(environment={}, directory=directory),
            clock=time.time,
            random=bytes,
            ca_file=directory / "ca.pem",
            transport_factory=transport_factory(found, LOCAL, time.time),
        )
        try:
            yield Receiver(context, endpoint)
        finally:
            await endpoint.aclose()


def test_the_certificate_of_the_latest_handshake(opener: Opener, tmp_path: Path) -> None:
    """Its end is known from the first handshake, and a renewal at the endpoint changes it with the next one."""

    async def scenario() -> None:
        async with receiver(opener, tmp_path, 5) as one:
            assert {} == one.endpoint.certificate_ends()
            assert {"endpoint": in_days(5)} == await one.ends_after_post()
            certificate(95).configure_cert(one.context)
            assert {"endpoint": in_days(95)} == await one.ends_after_post()

    run(scenario())


def test_an_expired_certificate(opener: Opener, tmp_path: Path) -> None:
    """The refused certificate is the latest one that the endpoint showed."""

    async def scenario() -> None:
        async with receiver(opener, tmp_path, -2) as one:
            result = await one.post()
            assert isinstance(result, Failure)
            assert "the certificate has expired" in result.detail
            assert {"endpoint": in_days(-2)} == one.endpoint.certificate_ends()
            certificate(30).configure_cert(one.context)
            assert {"endpoint": in_days(30)} == await one.ends_after_post()

    run(scenario())


def test_the_client_certificate(opener: Opener, tmp_path: Path) -> None:
    """Its end is that of the file. A replaced file changes it, and the end at the endpoint stays known."""
    tls = TlsPolicy(client_certificate=FileRef("cert.pem"), client_key=FileRef("key.pem"))

    def write(days: int) -> None:
        own = certificate(days, "relay@acme.test")
        own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        own.private_key_pem.write_to_path(tmp_path / "key.pem")

    async def scenario() -> None:
        write(9)
        async with receiver(opener, tmp_path, 5, tls) as one:
            assert {"endpoint": in_days(5), "client": in_days(9)} == await one.ends_after_post()
            write(99)
            one.endpoint.renew()
            one.context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
            assert isinstance(await one.post(), Failure)
            assert {"endpoint": in_days(5), "client": in_days(99)} == one.endpoint.certificate_ends()

    run(scenario())


def test_a_certificate_and_its_key_in_one_file(tmp_path: Path) -> None:
    """The key may come first."""
    own = certificate(9, "relay@acme.test")
    (tmp_path / "both.pem").write_bytes(own.private_key_pem.bytes() + own.cert_chain_pems[0].bytes())

    async def scenario() -> None:
        tls = TlsPolicy(client_certificate=FileRef("both.pem"))
        async with receiver(OPENERS["engine"], tmp_path, 5, tls) as one:
            assert {"endpoint": in_days(5), "client": in_days(9)} == await one.ends_after_post()

    run(scenario())


def test_read_once_for_each_handshake(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts over a kept connection do not read the certificate again."""
    read: list[bytes] = []
    load = x509.load_der_x509_certificate

    def counted(der: bytes) -> x509.Certificate:
        read.append(der)
        return load(der)

    async def scenario() -> None:
        async with receiver(opener, tmp_path, 5, answer=OK) as one:
            monkeypatch.setattr(x509, "load_der_x509_certificate", counted)
            for _ in range(4):
                assert {"endpoint": in_days(5)} == await one.ends_after_post()
            assert 1 == len(read)

    run(scenario())
