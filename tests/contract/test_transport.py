"""One suite for every transport: what an endpoint and a network can do, and the result that each must give."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from hookline.model import Address, Webhook
from hookline.relay.delivery.connecting import Resolve, system_addresses
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.delivery.outcome import Answer, Failure, FailureKind, Fault, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.tls import ClientCertificate, tls_context
from hookline.relay.delivery.transport import Poster, open_transport
from hookline.relay.network import NetworkRules
from hookline.relay.secrets import SecretResolver

Engine = Callable[[NetworkRules, ssl.SSLContext, int, Resolve], httpx.AsyncBaseTransport]
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]

# A further engine joins here, and must pass everything below.
ENGINES: dict[str, Engine] = {"httpcore": open_transport}

HOST = "hooks.acme.test"
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert(HOST)
LOCAL = NetworkRules((ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
# Seconds: long enough for a busy machine, and for an attempt that is meant to run into it, short.
DEADLINE = 10.0
SHORT = 0.4


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@dataclass
class Server:
    """Reads requests whole, and has a script write the answer to each. `script` may be replaced at any time."""

    script: Script
    port: int = 0
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                self.requests.append(head + await reader.readexactly(length))
                await self.script(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


def sends(*parts: bytes, then: str = "stay") -> Script:
    """Write the parts one by one; then stay for the next request, or close, or hang."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        if then == "hang":
            await asyncio.sleep(60)
        if then == "close":
            raise ConnectionAbortedError

    return script


async def endlessly(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        await writer.drain()


def server_context(certificate: trustme.LeafCert = CERTIFICATE) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def serving(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(script)
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        # The server ends with the test, in the middle of whatever it is doing.
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve(reader, writer)
        running.discard(task)

    def named(_connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        server.names.append(name)

    context = context or server_context()
    context.sni_callback = named
    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def resolves_to(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


def client_context() -> ssl.SSLContext:
    return tls_context(authorities=AUTHORITY.cert_pem.bytes())


@asynccontextmanager
async def posting(
    engine: Engine,
    port: int,
    *,
    rules: NetworkRules = LOCAL,
    context: ssl.SSLContext | None = None,
    connections: int = 4,
    resolve: Resolve | None = None,
) -> AsyncIterator[Poster]:
    transport = engine(rules, context or client_context(), connections, resolve or resolves_to("127.0.0.1"))
    poster = Poster(transport, f"https://{HOST}:{port}/feedback?team=crm", lambda: 784111747.0)
    try:
        yield poster
    finally:
        await poster.aclose()


async def post(poster: Poster, deadline: float = DEADLINE, body: bytes = b"{}") -> Result:
    return await poster.post([(b"content-type", b"application/json")], body, deadline=deadline)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario, debug=False)


async def one(engine: Engine, script: Script, **options: Any) -> Result:
    """The result of one post to a server that plays the script."""
    async with serving(script) as server, posting(engine, server.port) as poster:
        return await post(poster, **options)


def test_request(engine: Engine) -> None:
    """The request is a POST to the URL's path with its host, the headers given, the length and the body."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(engine, server.port) as poster:
            assert Answer(200) == await post(poster, body=b'{"a":1}')
            head, _, body = server.requests[0].partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == b"POST /feedback?team=crm HTTP/1.1"
            expected = {
                b"host: hooks.acme.test:%d" % server.port,
                b"content-type: application/json",
                b"content-length: 7",
            }
            assert expected == {line.lower() for line in lines[1:]}
            assert body == b'{"a":1}'
            assert server.names == [HOST]

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: 1\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\ncontent-length: 16384\r\n\r\n" + b"x" * 16384,
    ],
    ids=["length", "no body", "chunked", "16 KiB"],
)
def test_reuse(engine: Engine, answer: bytes) -> None:
    """A connection whose answer was read to its end is used again, however the end is marked."""

    async def scenario() -> None:
        async with serving(sends(answer)) as server, posting(engine, server.port) as poster:
            statuses = [await post(poster) for _ in range(3)]
            assert [Answer(int(answer[9:12]))] * 3 == statuses
            assert server.connections == 1

    run(scenario())


def test_at_most_so_many_connections(engine: Engine) -> None:
    """More posts at once than connections wait for one; all of them are made."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(engine, server.port, connections=2) as poster:
            answers = await asyncio.gather(*(post(poster) for _ in range(12)))
            assert [Answer(200)] * 12 == answers
            assert len(server.requests) == 12
            assert server.connections <= 2

    run(scenario())


def test_split_head(engine: Engine) -> None:
    """A head that arrives byte by byte is one head."""

    async def scenario() -> None:
        pieces = [bytes([byte]) for byte in OK]
        assert Answer(200) == await one(engine, sends(*pieces))

    run(scenario())


def test_informational(engine: Engine) -> None:
    """Any number of 1xx answers before the final one are passed over."""

    async def scenario() -> None:
        early = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        assert Answer(200) == await one(engine, sends(*early, OK))

    run(scenario())


def test_old_http(engine: Engine) -> None:
    """An answer of HTTP/1.0 that ends with the connection counts."""

    async def scenario() -> None:
        assert Answer(200) == await one(engine, sends(b"HTTP/1.0 200 OK\r\n\r\nbody", then="close"))

    run(scenario())


def test_redirect(engine: Engine) -> None:
    """A redirect is an answer like any other; it is not followed."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 307 There\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")
        async with serving(script) as server, posting(engine, server.port) as poster:
            assert Answer(307) == await post(poster)
            assert len(server.requests) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"120", 120.0), (b"Sun, 06 Nov 1994 08:49:37 GMT", 30.0), (b"-1", 0.0), (b"soon", None)],
)
def test_retry_after(engine: Engine, value: bytes, seconds: float | None) -> None:
    """Retry-After comes back in seconds from now, in both forms; what is neither is left out."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 503 Busy\r\nRetry-After: " + value + b"\r\ncontent-length: 0\r\n\r\n")
        assert Answer(503, seconds) == await one(engine, script)

    run(scenario())


def test_slow_head(engine: Engine) -> None:
    """One deadline holds for the head, also when a byte comes now and then."""

    async def scenario() -> None:
        begin = time.monotonic()
        result = await one(engine, sends(b"HTTP/1.1 200 OK\r\n", *[b"x"] * 200, then="hang"), deadline=SHORT)
        assert Failure(FailureKind.TIMEOUT, "no complete answer head within 0.4 s") == result
        assert SHORT <= time.monotonic() - begin < SHORT + 5

    run(scenario())


def test_silent_handshake(engine: Engine) -> None:
    """The same deadline holds for the TLS handshake."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with posting(engine, silent.getsockname()[1]) as poster:
                result = await post(poster, SHORT)
        assert isinstance(result, Failure)
        assert FailureKind.TIMEOUT is result.kind

    run(scenario())


def test_waiting_for_a_connection(engine: Engine) -> None:
    """The same deadline holds for waiting until a connection is free."""

    async def scenario() -> None:
        async with serving(sends(then="hang")) as server, posting(engine, server.port, connections=1) as poster:
            results = await asyncio.gather(post(poster, SHORT), post(poster, SHORT))
        kinds = {result.kind for result in results if isinstance(result, Failure)}
        assert {FailureKind.TIMEOUT} == kinds

    run(scenario())


def test_endless_body(engine: Engine) -> None:
    """A 200 is delivered though its body never ends; the connection is closed, and the next post has its own."""

    async def scenario() -> None:
        async with serving(endlessly) as server, posting(engine, server.port) as poster:
            begin = time.monotonic()
            assert Answer(200) == await post(poster)
            assert time.monotonic() - begin < DEADLINE / 2
            server.script = sends(OK)
            assert Answer(200) == await post(poster)
            assert server.connections == 2

    run(scenario())


def test_long_body(engine: Engine) -> None:
    """A body that is announced as longer than 16 KiB is not waited for."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 422 No\r\ncontent-length: 99999999999999999999\r\n\r\nx", then="hang")
        begin = time.monotonic()
        assert isinstance(await one(engine, script), Answer | Failure)
        assert time.monotonic() - begin < DEADLINE / 2
        assert Answer(422) == await one(
            engine, sends(b"HTTP/1.1 422 No\r\ncontent-length: 16385\r\n\r\nx", then="hang")
        )
        assert time.monotonic() - begin < DEADLINE / 2

    run(scenario())


def test_slow_body(engine: Engine) -> None:
    """A 200 whose body does not come is delivered, at the latest at the deadline."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", then="hang")
        assert Answer(200) == await one(engine, script, deadline=SHORT)

    run(scenario())


@pytest.mark.parametrize("status", [200, 500])
def test_broken_body(engine: Engine, status: int) -> None:
    """An answer whose body breaks off counts by its status, and the next post has a new connection."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 %d X\r\ncontent-length: 9\r\n\r\nx" % status, then="close")
        async with serving(script) as server, posting(engine, server.port) as poster:
            assert Answer(status) == await post(poster)
            server.script = sends(OK)
            assert Answer(200) == await post(poster)

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"220 mail.acme.test ESMTP ready\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
    ],
    ids=["closed", "half a head", "smtp", "no status", "no header", "two lengths", "binary"],
)
def test_no_http(engine: Engine, answer: bytes) -> None:
    """What is no complete HTTP head is a network failure, told in one clean line."""

    async def scenario() -> None:
        result = await one(engine, sends(answer, then="close"))
        assert isinstance(result, Failure)
        assert FailureKind.NETWORK is result.kind
        assert result.detail.isprintable()
        assert 0 < len(result.detail) <= 200

    run(scenario())


def test_endless_head(engine: Engine) -> None:
    """A head that grows without end is given up long before the deadline."""

    async def scenario() -> None:
        begin = time.monotonic()
        result = await one(engine, sends(b"HTTP/1.1 200 OK\r\n", *[b"x-filler: " + b"y" * 60_000 + b"\r\n"] * 40))
        assert isinstance(result, Failure)
        assert FailureKind.NETWORK is result.kind
        assert time.monotonic() - begin < DEADLINE / 2

    run(scenario())


def test_idle_connection_is_gone(engine: Engine) -> None:
    """A connection that the server closed while it was idle is not used again."""

    async def scenario() -> None:
        async with serving(sends(OK, then="close")) as server, posting(engine, server.port) as poster:
            for expected in (1, 2, 3):
                assert Answer(200) == await post(poster)
                assert expected == server.connections
                await asyncio.sleep(0.1)

    run(scenario())


def test_connection_refused(engine: Engine) -> None:
    """Nobody listening is a network failure in the system's words."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        async with posting(engine, port) as poster:
            assert Failure(FailureKind.NETWORK, "connection refused") == await post(poster)

    run(scenario())


def test_unknown_name(engine: Engine) -> None:
    """A name that does not resolve is a network failure that says so."""

    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scenario() -> None:
        async with posting(engine, 443, resolve=unknown) as poster:
            expected = Failure(FailureKind.NETWORK, "the name does not resolve: name or service not known")
            assert expected == await post(poster)

    run(scenario())


def test_second_address(engine: Engine) -> None:
    """When the first address does not answer, the next one is used."""

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            posting(engine, server.port, resolve=resolves_to("127.0.0.2", "127.0.0.1")) as poster,
        ):
            assert Answer(200) == await post(poster)

    run(scenario())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
def test_refused_address(engine: Engine, addresses: list[str]) -> None:
    """A name with one special address is a fault of ours that names the flag, and nothing is connected to."""

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            posting(engine, server.port, rules=NetworkRules(), resolve=resolves_to(*addresses)) as poster,
        ):
            result = await post(poster)
            assert isinstance(result, Fault)
            assert "127.0.0.1 is loopback" in result.detail
            assert "--allow-network 127.0.0.1" in result.detail
            assert server.connections == 0

    run(scenario())


def test_address_literal(engine: Engine) -> None:
    """An address in place of a name goes through the same rules, by the system's own resolver."""

    async def scenario() -> None:
        transport = open_transport(NetworkRules(), client_context(), 1)
        poster = Poster(transport, "https://[::ffff:127.0.0.1]:9/", time.time)
        result = await post(poster)
        await poster.aclose()
        assert isinstance(result, Fault)
        assert "loopback" in result.detail

    run(scenario())


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (AUTHORITY.issue_cert(HOST, not_after=NOW - timedelta(days=1)), "the certificate has expired"),
        (AUTHORITY.issue_cert("other.acme.test"), "the certificate is for another host"),
        (trustme.CA().issue_cert(HOST), "the certificate is of an unknown authority"),
    ],
    ids=["expired", "other host", "unknown authority"],
)
def test_certificate(engine: Engine, certificate: trustme.LeafCert, words: str) -> None:
    """A certificate that does not hold is a TLS failure which says why, and nothing is sent."""

    async def scenario() -> None:
        async with (
            serving(sends(OK), server_context(certificate)) as server,
            posting(engine, server.port) as poster,
        ):
            assert Failure(FailureKind.TLS, words) == await post(poster)
            assert server.requests == []

    run(scenario())


def test_no_tls(engine: Engine) -> None:
    """A server that speaks something else than TLS is a TLS failure which says so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        plain = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with plain, posting(engine, plain.sockets[0].getsockname()[1]) as poster:
            expected = Failure(FailureKind.TLS, "the server does not speak TLS on this port")
            assert expected == await post(poster)

    run(scenario())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls(engine: Engine) -> None:
    """TLS older than 1.2 is not spoken."""

    async def scenario() -> None:
        context = server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with serving(sends(OK), context) as server, posting(engine, server.port) as poster:
            result = await post(poster)
        assert isinstance(result, Failure)
        assert FailureKind.TLS is result.kind

    run(scenario())


def accept_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Serve one connection in blocking calls: asyncio's server hangs up without the alert that says why."""
    connection, _ = listener.accept()
    with connection.dup() as raw:
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                request = b""
                while not request.endswith(b"{}"):
                    request += wrapped.recv(65536)
                wrapped.sendall(OK)
        except ssl.SSLError:
            # Closing with the request unread would reset the connection, and the alert would be lost.
            while raw.recv(65536):
                pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("given", [True, False])
def test_client_certificate(engine: Engine, version: ssl.TLSVersion, given: bool, tmp_path: Path) -> None:
    """A receiver that asks for a client certificate gets it; without one it is a TLS failure in its words."""
    AUTHORITY.issue_cert("hookline@acme.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    asking = server_context()
    asking.minimum_version = asking.maximum_version = version
    asking.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(asking)
    own = ClientCertificate(tmp_path / "client.pem") if given else None
    context = tls_context(authorities=AUTHORITY.cert_pem.bytes(), client=own)

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(asyncio.to_thread(accept_once, listener, asking))
            async with posting(engine, listener.getsockname()[1], context=context) as poster:
                result = await post(poster)
            await serving
        if given:
            assert Answer(200) == result
        else:
            assert isinstance(result, Failure)
            assert FailureKind.TLS is result.kind
            assert "certificate required" in result.detail or "handshake failure" in result.detail

    run(scenario())


def test_a_whole_endpoint(engine: Engine, tmp_path: Path) -> None:
    """A webhook's endpoint posts to a local server by its name, when its addresses and its authority are admitted."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def scenario() -> None:
        async with serving(sends(OK), server_context(AUTHORITY.issue_cert("localhost"))) as server:
            webhook = Webhook(
                address=Address("acme", "dev"),
                name="n",
                channels=frozenset(),
                url=f"https://localhost:{server.port}/",
                campaigns=None,
            )
            endpoint = HttpEndpoint(
                webhook,
                resolver=SecretResolver(environment={}, directory=tmp_path),
                rules=NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128"))),
                clock=time.time,
                random=bytes,
                ca_file=tmp_path / "ca.pem",
                transport=lambda rules, context, limit: engine(rules, context, limit, system_addresses),
            )
            try:
                results = [await endpoint.post(Attempt(bytes(16), b"{}", number, 0.0)) for number in (1, 2)]
            finally:
                await endpoint.aclose()
            assert [Answer(200)] * 2 == results
            assert b"webhook-id: " + b"0" * 32 in server.requests[0].lower()
            assert server.connections == 1

    run(scenario())


def test_environment_is_not_asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables and .netrc change nothing."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def scenario() -> None:
        assert Answer(200) == await one(engine, sends(OK))

    run(scenario())


def test_illegal_header(engine: Engine) -> None:
    """A header that would split the request is a fault of ours, and never sent."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(engine, server.port) as poster:
            result = await poster.post([(b"x-key", b"a\r\nx-other: b")], b"{}", deadline=DEADLINE)
            assert isinstance(result, Fault)
            assert server.requests == []
            assert Answer(200) == await post(poster)

    run(scenario())


def test_cancelled(engine: Engine) -> None:
    """A cancelled post lets go of its connection, and the next one is made."""

    async def scenario() -> None:
        async with serving(sends(then="hang")) as server, posting(engine, server.port, connections=1) as poster:
            first = asyncio.create_task(post(poster))
            while not server.requests:
                await asyncio.sleep(0.01)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            server.script = sends(OK)
            assert Answer(200) == await post(poster)

    run(scenario())
