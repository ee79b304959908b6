"""`check` against servers that follow a script."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

import builders
from contract.https_server import (
    AUTHORITY,
    HOST,
    LOCAL,
    OK,
    resolves_to,
    run,
    sends,
    server_context,
    serving,
    shown_once,
)
from contract.tunnel import TestProxy, tunnelling
from hookline.model import Address, DeliveryPolicy, Webhook
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.proxy import Proxy, parse_proxy
from hookline.relay.preflight.checks import CheckContext, check_all
from hookline.relay.preflight.report import CheckFinding, CheckReport, CheckStep, Grade
from hookline.relay.secrets import SecretResolver
from unusual_certificates import EDI_PARTY_NAME, of_version_4, with_name

# RFC 7919, appendix A.1.
FFDHE_2048 = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
NOW = 1_900_000_000.0


def webhook(port: int, sandbox: str = "prod", timeout: float = 10.0, host: str = HOST) -> Webhook:
    delivery = DeliveryPolicy(timeout=timedelta(seconds=timeout))
    return builders.webhook(
        Address("ACME@AdobeOrg", sandbox), url=f"https://{host}:{port}/feedback", delivery=delivery
    )


@pytest.fixture
def context(tmp_path: Path) -> CheckContext:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return CheckContext(
        resolver=SecretResolver(environment={}, directory=tmp_path),
        rules=LOCAL,
        clock=lambda: NOW,
        random=bytes,
        ca_file=tmp_path / "ca.pem",
        resolve=resolves_to("127.0.0.1"),
    )


async def checked(webhooks: Sequence[Webhook], context: CheckContext, *, send: bool = False) -> list[CheckReport]:
    return [report async for report in check_all(webhooks, context, send=send)]


def failed(report: CheckReport) -> CheckFinding:
    (found,) = [one for one in report.findings if one.grade is Grade.FAILED]
    return found


@pytest.mark.parametrize(
    "make",
    [lambda: with_name(AUTHORITY, "evil.test", EDI_PARTY_NAME), lambda: of_version_4(AUTHORITY, "evil.test")],
    ids=["ediPartyName", "version 4"],
)
def test_certificate_that_cannot_be_read(context: CheckContext, make: Callable[[], trustme.LeafCert]) -> None:
    """It is refused for its name, and the other webhooks have their reports."""

    async def scenario() -> None:
        async with (
            serving(sends(OK), server_context(make())) as strange,
            serving(sends(OK)) as good,
        ):
            reports = await checked([webhook(strange.port, "a"), webhook(good.port, "b")], context)
        assert [CheckStep.TLS, None] == [report.failed_at for report in reports]
        assert "the certificate is for another host" == failed(reports[0]).detail
        assert f"have a certificate issued for {HOST}, or correct the host in url" == failed(reports[0]).hint

    run(scenario())


def test_strange_certificate_that_holds(context: CheckContext) -> None:
    """A certificate that OpenSSL accepts is accepted, even if its contents cannot be read."""

    async def scenario() -> None:
        async with serving(sends(OK), server_context(of_version_4(AUTHORITY, HOST))) as server:
            (report,) = await checked([webhook(server.port)], context)
        assert report.failed_at is None
        assert () == report.certificates
        assert f"TLSv1.3, certificate for {HOST}" == report.findings[-1].detail

    run(scenario())


def test_one_connection_without_a_request(context: CheckContext) -> None:
    """The check makes the one connection that a delivery makes, reports its steps in order, and sends nothing."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server:
            (report,) = await checked([webhook(server.port)], context)
        assert [CheckStep.DNS, CheckStep.ADDRESS, CheckStep.CONNECT, CheckStep.TLS] == [
            one.step for one in report.findings[-4:]
        ]
        assert ([HOST], []) == (server.names, server.requests)

    run(scenario())


@pytest.mark.parametrize(
    ("addresses", "where", "detail"),
    [
        ([], CheckStep.DNS, f"no address for {HOST}"),
        (["10.0.0.1", "127.0.0.1"], CheckStep.ADDRESS, "10.0.0.1 is private"),
        (["127.0.0.2"], CheckStep.CONNECT, "connection refused: 127.0.0.2 port"),
    ],
    ids=["no address", "refused address", "nobody listens"],
)
def test_the_step_that_fails(context: CheckContext, addresses: list[str], where: CheckStep, detail: str) -> None:
    """The last step that is reported is the one at which the connection failed."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server:
            using = replace(context, resolve=resolves_to(*addresses))
            (report,) = await checked([webhook(server.port)], using)
        assert (where, where) == (report.failed_at, report.findings[-1].step)
        assert failed(report).detail.startswith(detail)

    run(scenario())


def test_a_name_that_no_certificate_can_have(context: CheckContext) -> None:
    """It fails at TLS, as it would fail a delivery."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server:
            (report,) = await checked([webhook(server.port, host=".acme.test")], context)
        assert CheckStep.TLS is report.failed_at
        assert "unexpected UnicodeError" in failed(report).detail

    run(scenario())


def test_absolute_name(context: CheckContext) -> None:
    """A host that ends with a dot is certified without it."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server:
            (report,) = await checked([webhook(server.port, host=f"{HOST}.")], context)
        assert report.failed_at is None
        assert {HOST} == {*server.names}

    run(scenario())


@pytest.mark.parametrize("seconds", [0.5, 10.0])
def test_the_fault_is_reported_without_the_certificate(context: CheckContext, seconds: float) -> None:
    """The fault is reported even if the second connection hangs, before and at the end of the timeout."""

    async def scenario() -> None:
        async with shown_once(trustme.CA()) as port:
            (report,) = await checked([webhook(port, timeout=seconds)], context)
        assert (CheckStep.TLS, "the certificate is self-signed") == (report.failed_at, failed(report).detail)

    run(asyncio.wait_for(scenario(), 8))


def test_an_unexpected_exception_costs_one_report(context: CheckContext) -> None:
    """An unexpected exception fails one webhook, and its message asks for a report."""

    async def resolve(host: str, port: int) -> list[str]:
        if port == 1:
            raise LookupError("x\n\x1b[2J")
        return ["127.0.0.1"]

    async def scenario() -> None:
        async with serving(sends(OK)) as good:
            reports = await checked([webhook(1, "a"), webhook(good.port, "b")], replace(context, resolve=resolve))
        assert [False, True] == [report.failed_at is None for report in reports]
        assert "unexpected LookupError: x [2J" == failed(reports[0]).detail
        assert "report it" in str(failed(reports[0]).hint)

    run(scenario())


async def through(proxy: TestProxy, context: CheckContext, bypass: str = "", timeout: float = 10.0) -> CheckReport:
    """The report on an endpoint that accepts everything, through a proxy."""
    async with tunnelling(proxy), serving(sends(OK)) as server:
        using = parse_proxy(f"http://127.0.0.1:{proxy.port}", bypass)
        (report,) = await checked([webhook(server.port, timeout=timeout)], replace(context, proxy=using))
        return report


def step(report: CheckReport, which: CheckStep) -> str:
    (found,) = [one.detail for one in report.findings if one.step is which]
    return found


def test_through_a_proxy(context: CheckContext) -> None:
    """The connection leads through the proxy, and the report names the proxy beside the endpoint's address."""

    async def scenario() -> None:
        proxy = TestProxy()
        report = await through(proxy, context)
        assert report.failed_at is None
        assert 1 == len(proxy.asked)
        port = report.url.rsplit(":")[-1].partition("/")[0]
        expected = f"127.0.0.1 port {port}, through the proxy 127.0.0.1:{proxy.port}"
        assert expected == step(report, CheckStep.CONNECT)

    run(scenario())


def test_a_refused_certificate_behind_a_proxy(context: CheckContext) -> None:
    """A refused certificate is read through the proxy, too."""

    async def scenario() -> None:
        proxy = TestProxy()
        async with tunnelling(proxy), serving(sends(OK), server_context(AUTHORITY.issue_cert("a.test"))) as server:
            using = replace(context, proxy=Proxy("127.0.0.1", proxy.port))
            (report,) = await checked([webhook(server.port)], using)
        assert "the certificate is for another host; it is for a.test" in failed(report).detail
        assert 2 == len(proxy.asked) == len(server.names)

    run(scenario())


def test_what_bypasses_the_proxy(context: CheckContext) -> None:
    """A host that NO_PROXY covers is checked directly, and the report names no proxy."""

    async def scenario() -> None:
        proxy = TestProxy()
        report = await through(proxy, context, bypass="acme.test")
        assert report.failed_at is None
        assert [] == proxy.asked
        assert "proxy" not in step(report, CheckStep.CONNECT)

    run(scenario())


@pytest.mark.parametrize(
    ("proxy", "words", "hint"),
    [
        (TestProxy(b"HTTP/1.1 407 Auth\r\n\r\n"), "the proxy requires other credentials", "HOOKLINE_RELAY_PROXY"),
        (TestProxy(b"HTTP/1.1 403 No\r\n\r\n"), "connection: status 403: 127.0.0.1 port", "whether the proxy runs"),
        (TestProxy(hangs=True), "the proxy does not answer: 127.0.0.1 port", "whether the proxy runs"),
    ],
    ids=["407", "403", "silent"],
)
def test_a_proxy_that_makes_no_connection(context: CheckContext, proxy: TestProxy, words: str, hint: str) -> None:
    """The step connect fails, and the hint concerns the proxy."""

    async def scenario() -> None:
        report = await through(proxy, context, timeout=1.0)
        assert CheckStep.CONNECT is report.failed_at
        assert words in failed(report).detail
        assert hint in str(failed(report).hint)

    run(scenario())


def test_a_forbidden_address_behind_a_proxy(context: CheckContext) -> None:
    """A forbidden address fails before the proxy gets a request."""

    async def scenario() -> None:
        proxy = TestProxy()
        report = await through(proxy, replace(context, rules=NetworkRules()))
        assert CheckStep.ADDRESS is report.failed_at
        assert [] == proxy.asked

    run(scenario())


@pytest.mark.parametrize("suites", ["DHE-RSA-AES256-GCM-SHA384", "AES256-GCM-SHA384"], ids=["DHE", "RSA"])
def test_an_endpoint_with_finite_field_key_exchange_only(context: CheckContext, tmp_path: Path, suites: str) -> None:
    """The check names an endpoint that offers only DHE. Other handshakes that fail get a general message."""
    (tmp_path / "dh.pem").write_text(FFDHE_2048)
    tls = server_context(AUTHORITY.issue_cert(HOST, key_type=trustme.KeyType.RSA))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.set_ciphers(suites)
    tls.load_dh_params(str(tmp_path / "dh.pem"))

    async def scenario() -> None:
        async with serving(sends(OK), tls) as server:
            (report,) = await checked([webhook(server.port)], context)
        finding = failed(report)
        assert CheckStep.TLS is finding.step
        assert ("(DHE)" in finding.detail) is suites.startswith("DHE")
        assert finding.hint is not None
        assert ("ECDHE" in finding.hint) is suites.startswith("DHE")

    run(scenario())
