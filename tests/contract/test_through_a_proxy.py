"""POSTs through a proxy have the same rules and results as direct ones, with every transport."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

import pytest

from contract.https_server import (
    AUTHORITY,
    DEADLINE,
    HOST,
    OK,
    SHORT,
    Opener,
    post,
    posting,
    resolves_to,
    run,
    sends,
    server_context,
    serving,
    without_address,
)
from contract.test_misbehaviour import CASES, Case, meet
from contract.tunnel import ESTABLISHED, TestProxy, tunnelling
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.http.pool.httpx_transport import open_httpx
from hookline.relay.http.proxy import Proxy, parse_proxy
from hookline.relay.http.transport import OpenTransport, open_client

THROUGH: dict[str, OpenTransport] = {"engine": open_client, "httpx": open_httpx}


@pytest.fixture(params=list(THROUGH))
def through(request: pytest.FixtureRequest) -> OpenTransport:
    return THROUGH[request.param]


def opener(through: OpenTransport, proxy: Proxy) -> Opener:
    return partial(through, proxy=proxy)


async def answered(through: OpenTransport, proxy: TestProxy, deadline: float = DEADLINE) -> ExchangeResult:
    """The result of one post through a proxy to an endpoint that accepts everything."""
    async with (
        tunnelling(proxy),
        serving(sends(OK)) as server,
        posting(opener(through, Proxy("127.0.0.1", proxy.port)), server.port) as transport,
    ):
        return await post(transport, deadline)


def test_the_proxy_is_asked_for_the_checked_address(through: OpenTransport) -> None:
    """CONNECT names the address that was checked; TLS within names and verifies the host. Connections are kept."""

    async def scenario() -> None:
        async with (
            tunnelling(TestProxy()) as proxy,
            serving(sends(OK)) as server,
            posting(
                opener(through, parse_proxy(f"http://us%40er:p%3Aw@127.0.0.1:{proxy.port}")), server.port
            ) as transport,
        ):
            assert [Response(200)] * 3 == [await post(transport) for _ in range(3)]
            where = b"127.0.0.1:%d" % server.port
            expected = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic %b\r\n\r\n"
            assert [expected % (where, where, b"dXNAZXI6cDp3")] == proxy.asked
            assert [HOST] == server.names
            assert b"proxy-authorization" not in server.requests[0].lower()

    run(scenario())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::ffff:10.0.0.1"]])
def test_forbidden_addresses_stay_so(through: OpenTransport, addresses: list[str]) -> None:
    """A name with a forbidden address is a local fault, and the proxy gets no request."""

    async def scenario() -> None:
        async with tunnelling(TestProxy()) as proxy:
            using = opener(through, Proxy("127.0.0.1", proxy.port))
            async with posting(using, 443, rules=NetworkRules(), resolve=resolves_to(*addresses)) as transport:
                result = await post(transport)
            assert isinstance(result, LocalFault)
            assert f"refused address of {HOST}: {addresses[-1]} is" in result.detail
            assert [] == proxy.asked

    run(scenario())


def test_certificates_are_verified_through_it(through: OpenTransport) -> None:
    """An endpoint with a wrong certificate gets no request, and the message has the certificate's names."""

    async def scenario() -> None:
        context = server_context(AUTHORITY.issue_cert("other.acme.test"))
        async with (
            tunnelling(TestProxy()) as proxy,
            serving(sends(OK), context) as server,
            posting(opener(through, Proxy("127.0.0.1", proxy.port)), server.port) as transport,
        ):
            words = "the certificate is for another host: it has other.acme.test"
            assert Failure(FailureKind.TLS, words) == without_address(await post(transport))
            assert [] == server.requests

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "the proxy makes no connection: status 403"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://x/\r\n\r\n", "the proxy makes no connection: status 302"),
        (b"SSH-2.0-OpenSSH_9.7\r\n\r\n", "the proxy does not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: \x00\r\n\r\n", "the proxy does not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "the proxy closed the connection"),
        (ESTABLISHED + b"hello", "the proxy sent more than its response"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 4000, "the proxy answers with a head of more than 16 KiB"),
    ],
    ids=["forbidden", "redirect", "ssh", "NUL", "half a head", "more than asked", "head without end"],
)
def test_what_a_proxy_may_answer(through: OpenTransport, answer: bytes, words: str) -> None:
    """A proxy's response without a connection is a network failure that names the proxy."""

    async def scenario() -> None:
        assert Failure(FailureKind.NETWORK, words) == without_address(await answered(through, TestProxy(answer)))

    run(scenario())


def test_a_proxy_that_wants_credentials(through: OpenTransport) -> None:
    """Status 407 from the proxy is a local fault, with a hint on where credentials belong."""

    async def scenario() -> None:
        result = await answered(through, TestProxy(b"HTTP/1.1 407 Auth\r\nproxy-authenticate: Basic\r\n\r\n"))
        assert isinstance(result, LocalFault)
        assert "the proxy requires other credentials (status 407)" in result.detail
        assert "HOOKLINE_RELAY_PROXY" in result.detail

    run(scenario())


def test_a_proxy_that_is_silent(through: OpenTransport) -> None:
    """If the proxy does not answer, the attempt fails before its deadline with a message that names the proxy."""

    async def scenario() -> None:
        words = "the proxy does not answer"
        assert Failure(FailureKind.NETWORK, words) == without_address(
            await answered(through, TestProxy(hangs=True), SHORT)
        )

    run(scenario())


def test_a_proxy_that_speaks_something_else_and_waits(through: OpenTransport) -> None:
    """The relay does not wait for the rest of bytes that are not HTTP, such as the greeting of a mail server."""

    async def scenario() -> None:
        proxy = TestProxy(b"SSH-2.0-OpenSSH_9.7\r\n", hangs=True)
        words = "the proxy does not answer in HTTP"
        assert Failure(FailureKind.NETWORK, words) == without_address(await answered(through, proxy))

    run(scenario())


def test_a_proxy_that_breaks_off(through: OpenTransport) -> None:
    """The message on a connection that the proxy resets names the proxy as the cause."""

    async def scenario() -> None:
        words = "the proxy broke the connection: connection reset by peer"
        assert Failure(FailureKind.NETWORK, words) == without_address(await answered(through, TestProxy(resets=True)))

    run(scenario())


def test_a_proxy_that_is_not_there(through: OpenTransport) -> None:
    """If no process listens at the proxy's address, that is a network failure that names the proxy."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        async with posting(opener(through, Proxy("127.0.0.1", port)), 443) as transport:
            result = await post(transport)
        assert isinstance(result, Failure)
        assert FailureKind.NETWORK is result.kind
        assert result.detail.startswith("no connection to the proxy: ")

    run(scenario())


def test_what_bypasses_it(through: OpenTransport) -> None:
    """A host that NO_PROXY covers is reached directly."""

    async def scenario() -> None:
        async with tunnelling(TestProxy()) as proxy, serving(sends(OK)) as server:
            direct = parse_proxy(f"http://127.0.0.1:{proxy.port}", "localhost, .ACME.test")
            async with posting(opener(through, direct), server.port) as transport:
                assert Response(200) == await post(transport)
            assert [] == proxy.asked

    run(scenario())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_misbehaviour(through: OpenTransport, case: Case) -> None:
    """Every misbehaviour of an endpoint has the same result with and without a proxy."""

    async def scenario() -> None:
        async with tunnelling(TestProxy()) as proxy:
            await asyncio.wait_for(meet(opener(through, Proxy("127.0.0.1", proxy.port)), case), 60)

    run(scenario())
