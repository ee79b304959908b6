"""The conformance suite of the transports: events of an endpoint and a network, and the result of each.

How endpoints misbehave is in test_misbehaviour.py.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from builders import webhook
from contract.https_server import (
    AUTHORITY,
    DEADLINE,
    HOST,
    LOCAL,
    OK,
    OPENERS,
    SHORT,
    Opener,
    client_context,
    one,
    post,
    posting,
    resolves_to,
    run,
    sends,
    server_context,
    serving,
    shown_once,
    without_address,
    without_the_rest,
)
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.http.request import parse_target
from hookline.relay.http.tls import ClientCertificate, tls_context
from hookline.relay.http.transport import open_client
from hookline.relay.http.transport_factory import transport_factory
from hookline.relay.secrets import SecretResolver


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


def test_request(opener: Opener) -> None:
    """The request is a POST to the URL's path with its host, the headers given, the length and the body."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port) as transport:
            assert Response(200) == await post(transport, body=b'{"a":1}')
            head, _, body = server.requests[0].partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == b"POST /feedback?team=crm HTTP/1.1"
            expected = {
                b"host: hooks.acme.test:%d" % server.port,
                b"content-type: application/json",
                b"webhook-id: " + b"0" * 32,
                b"webhook-timestamp: 1",
                b"hookline-attempt: 1",
                b"content-length: 7",
            }
            assert expected == {line.lower() for line in lines[1:]}
            assert body == b'{"a":1}'
            assert server.names == [HOST]

    run(scenario())


def test_added_query(opener: Opener) -> None:
    """Parameters that are added to the target are sent as they are encoded, behind the URL's own query."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server:
            target = parse_target(f"https://{HOST}:{server.port}/feedback?team=crm", b"code=a%26b%2F%C3%BC&x=")
            transport = opener(target, LOCAL, client_context(), 1, lambda: 0.0, resolve=resolves_to("127.0.0.1"))
            try:
                assert Response(200) == await post(transport)
            finally:
                await transport.aclose()
            assert server.requests[0].startswith(b"POST /feedback?team=crm&code=a%26b%2F%C3%BC&x= HTTP/1.1\r\n")

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
def test_reuse(opener: Opener, answer: bytes) -> None:
    """A connection is used again after a complete response, for every kind of framing."""

    async def scenario() -> None:
        async with serving(sends(answer)) as server, posting(opener, server.port) as transport:
            statuses = [await post(transport) for _ in range(3)]
            assert [Response(int(answer[9:12]))] * 3 == statuses
            assert server.connections == 1

    run(scenario())


def test_at_most_so_many_connections(opener: Opener) -> None:
    """If there are more POSTs than connections, the POSTs wait for one. All of them are made."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port, connections=2) as transport:
            answers = await asyncio.gather(*(post(transport) for _ in range(12)))
            assert [Response(200)] * 12 == answers
            assert len(server.requests) == 12
            assert server.connections <= 2

    run(scenario())


def test_split_head(opener: Opener) -> None:
    """A head that arrives byte by byte is one head."""

    async def scenario() -> None:
        pieces = [bytes([byte]) for byte in OK]
        assert Response(200) == await one(opener, sends(*pieces))

    run(scenario())


def test_informational(opener: Opener) -> None:
    """1xx responses before the final one are skipped."""

    async def scenario() -> None:
        early = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        assert Response(200) == await one(opener, sends(*early, OK))

    run(scenario())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"120", 120.0), (b"Sun, 06 Nov 1994 08:49:37 GMT", 30.0), (b"-1", 0.0), (b"soon", None)],
)
def test_retry_after(opener: Opener, value: bytes, seconds: float | None) -> None:
    """Retry-After is returned in seconds from now, for both of its forms. Any other value is ignored."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 503 Busy\r\nRetry-After: " + value + b"\r\ncontent-length: 0\r\n\r\n")
        assert Response(503, seconds) == await one(opener, script)

    run(scenario())


def test_slow_head(opener: Opener) -> None:
    """One deadline holds for the head, also when a byte comes now and then."""

    async def scenario() -> None:
        begin = time.monotonic()
        result = await one(opener, sends(b"HTTP/1.1 200 OK\r\n", *[b"x"] * 200, then="hang"), deadline=SHORT)
        assert Failure(FailureKind.TIMEOUT, "no complete response head within 0.4 s") == without_address(result)
        assert SHORT <= time.monotonic() - begin < SHORT + 5

    run(scenario())


def test_silent_handshake(opener: Opener) -> None:
    """The same deadline holds for the TLS handshake."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with posting(opener, silent.getsockname()[1]) as transport:
                result = await post(transport, SHORT)
        assert isinstance(result, Failure)
        assert FailureKind.TIMEOUT is result.kind

    run(scenario())


def test_a_given_up_handshake_is_closed(opener: Opener) -> None:
    """A TLS handshake that ran into the deadline leaves no connection open."""

    async def scenario() -> None:
        ended = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            ended.set()
            writer.close()

        silent = await asyncio.start_server(wait, "127.0.0.1", 0)
        async with silent, posting(opener, silent.sockets[0].getsockname()[1]) as transport:
            assert isinstance(await post(transport, SHORT), Failure)
            gc.disable()  # an unreachable socket is closed too, some time
            try:
                await asyncio.wait_for(ended.wait(), DEADLINE)
            finally:
                gc.enable()

    run(scenario())


def test_close_waits_for_posts(opener: Opener) -> None:
    """Closing ends idle connections at once. POSTs in flight get their responses before their connections end."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port, connections=2) as transport:
            assert [Response(200)] * 2 == list(await asyncio.gather(post(transport), post(transport)))
            answering = asyncio.Event()

            async def script(writer: asyncio.StreamWriter) -> None:
                await answering.wait()
                writer.write(OK)

            server.script = script
            in_flight = asyncio.create_task(post(transport))
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            closing = asyncio.create_task(transport.aclose())
            while server.open > 1:
                await asyncio.sleep(0.01)
            answering.set()
            assert Response(200) == await in_flight
            await closing
            while server.open:
                await asyncio.sleep(0.01)

    run(asyncio.wait_for(scenario(), 30))


def test_waiting_for_a_connection(opener: Opener) -> None:
    """The same deadline holds for waiting until a connection is free."""

    async def scenario() -> None:
        async with serving(sends(then="hang")) as server, posting(opener, server.port, connections=1) as transport:
            results = await asyncio.gather(post(transport, SHORT), post(transport, SHORT))
        kinds = {result.kind for result in results if isinstance(result, Failure)}
        assert {FailureKind.TIMEOUT} == kinds

    run(scenario())


def test_long_body(opener: Opener) -> None:
    """A body that is announced as longer than 16 KiB is not waited for."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 422 No\r\ncontent-length: 99999999999999999999\r\n\r\nx", then="hang")
        begin = time.monotonic()
        assert isinstance(await one(opener, script), Response | Failure)
        assert time.monotonic() - begin < DEADLINE / 2
        assert Response(422) == await one(
            opener, sends(b"HTTP/1.1 422 No\r\ncontent-length: 16385\r\n\r\nx", then="hang")
        )
        assert time.monotonic() - begin < DEADLINE / 2

    run(scenario())


def test_slow_body(opener: Opener) -> None:
    """A 200 whose body does not come is delivered, at the latest at the deadline."""

    async def scenario() -> None:
        script = without_the_rest(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", deadline=60.0)
        assert Response(200) == await one(opener, script, deadline=60.0)

    run(scenario())


def test_idle_connection_is_gone(opener: Opener) -> None:
    """A connection that the server closed while it was idle is not used again."""

    async def scenario() -> None:
        async with serving(sends(OK, then="close")) as server, posting(opener, server.port) as transport:
            for expected in (1, 2, 3):
                assert Response(200) == await post(transport)
                assert expected == server.connections
                await server.has_closed()

    run(scenario())


def test_connection_refused(opener: Opener) -> None:
    """A refused connection is a network failure with the system's message."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        async with posting(opener, port) as transport:
            assert Failure(FailureKind.NETWORK, "connection refused") == without_address(await post(transport))

    run(scenario())


def test_unknown_name(opener: Opener) -> None:
    """A name that does not resolve is a network failure with that reason."""

    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scenario() -> None:
        async with posting(opener, 443, resolve=unknown) as transport:
            expected = Failure(FailureKind.NETWORK, "the name does not resolve: name or service not known")
            assert expected == without_address(await post(transport))

    run(scenario())


def test_second_address(opener: Opener) -> None:
    """When the first address does not answer, the next one is used."""

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            posting(opener, server.port, resolve=resolves_to("127.0.0.2", "127.0.0.1")) as transport,
        ):
            assert Response(200) == await post(transport)

    run(scenario())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
def test_refused_address(opener: Opener, addresses: list[str]) -> None:
    """A name with one special address is a local fault that names the flag, and no connection is made."""

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            posting(opener, server.port, rules=NetworkRules(), resolve=resolves_to(*addresses)) as transport,
        ):
            result = await post(transport)
            assert isinstance(result, LocalFault)
            assert "127.0.0.1 is loopback" in result.detail
            assert "--allow-network 127.0.0.1" in result.detail
            assert server.connections == 0

    run(scenario())


def test_address_literal(opener: Opener) -> None:
    """An address in place of a name goes through the same rules, by the system's own resolver."""

    async def scenario() -> None:
        target = parse_target("https://[::ffff:127.0.0.1]:9/")
        transport = opener(target, NetworkRules(), client_context(), 1, time.time)
        result = await post(transport)
        await transport.aclose()
        assert isinstance(result, LocalFault)
        assert "loopback" in result.detail

    run(scenario())


NOW = datetime.now(UTC).replace(second=0, microsecond=0)
LONG_AGO, TOMORROW = NOW - timedelta(days=1), NOW + timedelta(days=1)
STRANGER = trustme.CA(organization_name="Evil\x1b[2J\r\nGET / Ltd.")


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (
            AUTHORITY.issue_cert(HOST, not_after=LONG_AGO),
            f"the certificate has expired: valid until {LONG_AGO:%Y-%m-%d %H:%M}+00:00",
        ),
        (
            AUTHORITY.issue_cert(HOST, not_before=TOMORROW),
            f"the certificate is not valid yet: valid from {TOMORROW:%Y-%m-%d %H:%M}+00:00",
        ),
        (
            AUTHORITY.issue_cert("other.acme.test", "*.other.acme.test"),
            "the certificate is for another host: it has other.acme.test, *.other.acme.test",
        ),
        (
            AUTHORITY.issue_cert(*(f"{name}.test" for name in "abcdefg")),
            "the certificate is for another host: it has a.test, b.test, c.test, d.test, e.test and 2 more",
        ),
        (AUTHORITY.issue_cert(common_name=HOST), "the certificate is for another host: it has no names"),
        (
            STRANGER.issue_cert(HOST),
            "the certificate is from an unknown authority: issued by Evil [2J GET / Ltd.",
        ),
        (STRANGER, "the certificate is self-signed"),
    ],
    ids=["expired", "not yet", "other host", "many other hosts", "no names", "unknown authority", "self-signed"],
)
def test_certificate(opener: Opener, certificate: trustme.LeafCert | trustme.CA, words: str) -> None:
    """An invalid certificate is a TLS failure with the reason, and no request is sent."""

    async def scenario() -> None:
        async with (
            serving(sends(OK), server_context(certificate)) as server,
            posting(opener, server.port) as transport,
        ):
            assert Failure(FailureKind.TLS, words) == without_address(await post(transport))
            assert server.requests == []

    run(scenario())


def test_a_refused_certificate_near_the_deadline() -> None:
    """A refused certificate is a TLS failure, also if the remaining time is too short to read it."""

    async def scenario() -> None:
        async with shown_once(STRANGER) as port, posting(open_client, port) as transport:
            words = "the certificate is self-signed"
            assert Failure(FailureKind.TLS, words) == without_address(await post(transport, SHORT))

    run(scenario())


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (HOST, Response(200)),
        ("a.test", Failure(FailureKind.TLS, "the certificate is for another host: it has a.test")),
    ],
    ids=["its own", "another's"],
)
def test_absolute_name(opener: Opener, shown: str, expected: ExchangeResult) -> None:
    """A dot at the end of the host excludes search domains in the look-up. TLS uses the name without the dot."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async def scenario() -> None:
        async with serving(sends(OK), server_context(AUTHORITY.issue_cert(shown))) as server:
            target = parse_target(f"https://{HOST}.:{server.port}/")
            transport = opener(target, LOCAL, client_context(), 1, lambda: 1.0, resolve=resolve)
            assert expected == without_address(await post(transport))
            await transport.aclose()
            assert {HOST} == {*server.names}
            assert [f"{HOST}."] == asked
            assert all(f"host: {HOST}.:{server.port}\r\n".encode() in one.lower() for one in server.requests)

    run(scenario())


def test_no_tls(opener: Opener) -> None:
    """A server without TLS is a TLS failure with that reason."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        plain = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with plain, posting(opener, plain.sockets[0].getsockname()[1]) as transport:
            expected = Failure(FailureKind.TLS, "the server does not speak TLS on this port")
            assert expected == without_address(await post(transport))

    run(scenario())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls(opener: Opener) -> None:
    """TLS versions below 1.2 are refused."""

    async def scenario() -> None:
        context = server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with serving(sends(OK), context) as server, posting(opener, server.port) as transport:
            result = await post(transport)
        assert isinstance(result, Failure)
        assert FailureKind.TLS is result.kind

    run(scenario())


def accept_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Serve one connection in blocking calls, because asyncio's server closes without the alert with the reason."""
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
def test_client_certificate(opener: Opener, version: ssl.TLSVersion, given: bool, tmp_path: Path) -> None:
    """A receiver that requires a client certificate gets it. Without one, the result is a TLS failure."""
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
            async with posting(opener, listener.getsockname()[1], context=context) as transport:
                result = await post(transport)
            await serving
        if given:
            assert Response(200) == result
        else:
            assert isinstance(result, Failure)
            assert FailureKind.TLS is result.kind
            assert "certificate required" in result.detail or "handshake failure" in result.detail

    run(scenario())


def test_a_whole_endpoint(opener: Opener, tmp_path: Path) -> None:
    """A webhook's endpoint posts to a local server by its name, when its addresses and its authority are admitted."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def scenario() -> None:
        async with serving(sends(OK), server_context(AUTHORITY.issue_cert("localhost"))) as server:
            rules = NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128")))
            endpoint = HttpEndpoint(
                webhook(url=f"https://localhost:{server.port}/"),
                resolver=SecretResolver(environment={}, directory=tmp_path),
                clock=time.time,
                random=bytes,
                ca_file=tmp_path / "ca.pem",
                transport_factory=transport_factory(opener, rules, time.time),
            )
            try:
                results = [await endpoint.post(Attempt(bytes(16), b"{}", number, 0.0)) for number in (1, 2)]
            finally:
                await endpoint.aclose()
            assert [Response(200)] * 2 == results
            assert b"webhook-id: " + b"0" * 32 in server.requests[0].lower()
            assert server.connections == 1

    run(scenario())


def test_environment_is_not_asked(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables and .netrc change nothing."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def scenario() -> None:
        assert Response(200) == await one(opener, sends(OK))

    run(scenario())


def test_illegal_header(opener: Opener) -> None:
    """A header that would split the request is a local fault and is never sent."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port) as transport:
            attempt = Attempt(bytes(16), b"{}", 1, 1.0)
            result = await transport.post([(b"x-key", b"a\r\nx-other: b")], attempt, deadline=DEADLINE)
            assert isinstance(result, LocalFault)
            assert server.requests == []
            assert Response(200) == await post(transport)

    run(scenario())


def test_cancelled(opener: Opener) -> None:
    """A cancelled POST releases its connection for the next one."""

    async def scenario() -> None:
        async with serving(sends(then="hang")) as server, posting(opener, server.port, connections=1) as transport:
            first = asyncio.create_task(post(transport))
            while not server.requests:
                await asyncio.sleep(0.01)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            server.script = sends(OK)
            assert Response(200) == await post(transport)

    run(scenario())


@pytest.mark.parametrize("parts", [(b"\r\n", OK), (b"\r", b"\n", OK), (b"\n" + OK,)], ids=["whole", "split", "LF"])
def test_a_line_end_before_a_response(opener: Opener, parts: tuple[bytes, ...]) -> None:
    """A line end that a server sends behind a response may arrive after the next request, and changes nothing."""

    async def scenario() -> None:
        async with serving(sends(*parts)) as server, posting(opener, server.port) as transport:
            assert [Response(200)] * 3 == [await post(transport) for _ in range(3)]
            assert 3 == len(server.requests)

    run(scenario())


def test_a_line_end_behind_a_response() -> None:
    """A line end in a segment of its own does not cost the connection. Two of them do."""

    async def scenario() -> None:
        async with serving(sends(OK, b"\r\n")) as server, posting(open_client, server.port) as transport:
            for number in (1, 2, 3):
                assert Response(200) == await post(transport)
                await server.has_answered(number)
                assert 1 == server.connections
            server.script = sends(OK, b"\r\n", b"\r\n")
            assert Response(200) == await post(transport)
            await server.has_answered(4)
            assert Response(200) == await post(transport)
            assert 2 == server.connections

    run(scenario())


@pytest.mark.parametrize("manner", ["closes", "hangs", "shows another certificate", "closes after the request"])
def test_the_second_address_is_used_after_the_first_failed(opener: Opener, manner: str) -> None:
    """An address that accepts a connection and then fails is tried last afterwards. The failure names it."""

    async def bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if manner != "closes":
            await reader.readuntil(b"\r\n\r\n") if manner == "closes after the request" else await reader.read()
        writer.close()

    async def scenario() -> None:
        contexts = {
            "shows another certificate": server_context(AUTHORITY.issue_cert("other.acme.test")),
            "closes after the request": server_context(),
        }
        both = resolves_to("127.0.0.2", "127.0.0.1")
        async with serving(sends(OK)) as server, posting(opener, server.port, resolve=both) as transport:
            first = await asyncio.start_server(bad, "127.0.0.2", server.port, ssl=contexts.get(manner))
            async with first:
                failed = await post(transport, SHORT if manner == "hangs" else DEADLINE)
                assert isinstance(failed, Failure)
                if opener is open_client or manner != "closes after the request":  # h11 names no cause then
                    assert "127.0.0.2" == failed.address
                assert [Response(200)] * 3 == [await post(transport) for _ in range(3)]

    run(scenario())


def test_the_input_of_a_handshake_is_bounded(tmp_path: Path) -> None:
    """An endpoint that sends more than 64 KiB of certificates is refused, with the bound as the reason."""
    leaf = AUTHORITY.issue_cert(HOST)
    chain = leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes() + 150 * AUTHORITY.cert_pem.bytes()
    (tmp_path / "chain.pem").write_bytes(chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem")

    async def scenario() -> None:
        async with serving(sends(OK), context) as server, posting(open_client, server.port) as transport:
            words = "the endpoint sent more than 64 KiB within the handshake"
            assert Failure(FailureKind.TLS, words) == without_address(await post(transport))

    run(scenario())
