"""One suite for every way to post: what an endpoint and a network can do, and the result that each must give.

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
)
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.http.request import parse_target
from hookline.relay.http.tls import ClientCertificate, tls_context
from hookline.relay.http.transport import open_engine
from hookline.relay.http.transport_factory import transport_factory
from hookline.relay.secrets import SecretResolver


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


def test_request(opener: Opener) -> None:
    """The request is a POST to the URL's path with its host, the headers given, the length and the body."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port) as poster:
            assert Response(200) == await post(poster, body=b'{"a":1}')
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
    """A connection whose answer was read to its end is used again, however the end is marked."""

    async def scenario() -> None:
        async with serving(sends(answer)) as server, posting(opener, server.port) as poster:
            statuses = [await post(poster) for _ in range(3)]
            assert [Response(int(answer[9:12]))] * 3 == statuses
            assert server.connections == 1

    run(scenario())


def test_at_most_so_many_connections(opener: Opener) -> None:
    """More posts at once than connections wait for one; all of them are made."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port, connections=2) as poster:
            answers = await asyncio.gather(*(post(poster) for _ in range(12)))
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
    """Any number of 1xx answers before the final one are passed over."""

    async def scenario() -> None:
        early = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        assert Response(200) == await one(opener, sends(*early, OK))

    run(scenario())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"120", 120.0), (b"Sun, 06 Nov 1994 08:49:37 GMT", 30.0), (b"-1", 0.0), (b"soon", None)],
)
def test_retry_after(opener: Opener, value: bytes, seconds: float | None) -> None:
    """Retry-After comes back in seconds from now, in both forms; what is neither is left out."""

    async def scenario() -> None:
        script = sends(b"HTTP/1.1 503 Busy\r\nRetry-After: " + value + b"\r\ncontent-length: 0\r\n\r\n")
        assert Response(503, seconds) == await one(opener, script)

    run(scenario())


def test_slow_head(opener: Opener) -> None:
    """One deadline holds for the head, also when a byte comes now and then."""

    async def scenario() -> None:
        begin = time.monotonic()
        result = await one(opener, sends(b"HTTP/1.1 200 OK\r\n", *[b"x"] * 200, then="hang"), deadline=SHORT)
        assert Failure(FailureKind.TIMEOUT, "no complete answer head within 0.4 s") == result
        assert SHORT <= time.monotonic() - begin < SHORT + 5

    run(scenario())


def test_silent_handshake(opener: Opener) -> None:
    """The same deadline holds for the TLS handshake."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with posting(opener, silent.getsockname()[1]) as poster:
                result = await post(poster, SHORT)
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
        async with silent, posting(opener, silent.sockets[0].getsockname()[1]) as poster:
            assert isinstance(await post(poster, SHORT), Failure)
            gc.disable()  # an unreachable socket is closed too, some time
            try:
                await asyncio.wait_for(ended.wait(), DEADLINE)
            finally:
                gc.enable()

    run(scenario())


# "engine by order" belongs to the worker processes, which hang up as a whole.
@pytest.mark.parametrize("opener", [name for name in OPENERS if name != "engine by order"], indirect=True)
def test_close_waits_for_posts(opener: Opener) -> None:
    """Closing ends idle connections at once. Posts in flight get their answers, and then their connections end."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port, connections=2) as poster:
            assert [Response(200)] * 2 == list(await asyncio.gather(post(poster), post(poster)))
            answering = asyncio.Event()

            async def script(writer: asyncio.StreamWriter) -> None:
                await answering.wait()
                writer.write(OK)

            server.script = script
            in_flight = asyncio.create_task(post(poster))
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            closing = asyncio.create_task(poster.aclose())
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
        async with serving(sends(then="hang")) as server, posting(opener, server.port, connections=1) as poster:
            results = await asyncio.gather(post(poster, SHORT), post(poster, SHORT))
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
        script = sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", then="hang")
        assert Response(200) == await one(opener, script, deadline=1.5)

    run(scenario())


def test_idle_connection_is_gone(opener: Opener) -> None:
    """A connection that the server closed while it was idle is not used again."""

    async def scenario() -> None:
        async with serving(sends(OK, then="close")) as server, posting(opener, server.port) as poster:
            for expected in (1, 2, 3):
                assert Response(200) == await post(poster)
                assert expected == server.connections
                await asyncio.sleep(0.1)

    run(scenario())


def test_connection_refused(opener: Opener) -> None:
    """Nobody listening is a network failure in the system's words."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        async with posting(opener, port) as poster:
            assert Failure(FailureKind.NETWORK, "connection refused") == await post(poster)

    run(scenario())


def test_unknown_name(opener: Opener) -> None:
    """A name that does not resolve is a network failure that says so."""

    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def scenario() -> None:
        async with posting(opener, 443, resolve=unknown) as poster:
            expected = Failure(FailureKind.NETWORK, "the name does not resolve: name or service not known")
            assert expected == await post(poster)

    run(scenario())


def test_second_address(opener: Opener) -> None:
    """When the first address does not answer, the next one is used."""

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            posting(opener, server.port, resolve=resolves_to("127.0.0.2", "127.0.0.1")) as poster,
        ):
            assert Response(200) == await post(poster)

    run(scenario())


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
def test_refused_address(opener: Opener, addresses: list[str]) -> None:
    """A name with one special address is a fault of ours that names the flag, and nothing is connected to."""

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            posting(opener, server.port, rules=NetworkRules(), resolve=resolves_to(*addresses)) as poster,
        ):
            result = await post(poster)
            assert isinstance(result, LocalFault)
            assert "127.0.0.1 is loopback" in result.detail
            assert "--allow-network 127.0.0.1" in result.detail
            assert server.connections == 0

    run(scenario())


def test_address_literal(opener: Opener) -> None:
    """An address in place of a name goes through the same rules, by the system's own resolver."""

    async def scenario() -> None:
        target = parse_target("https://[::ffff:127.0.0.1]:9/")
        poster = opener(target, NetworkRules(), client_context(), 1, time.time)
        result = await post(poster)
        await poster.aclose()
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
            "the certificate is of an unknown authority: issued by Evil [2J GET / Ltd.",
        ),
        (STRANGER, "the certificate is self-signed"),
    ],
    ids=["expired", "not yet", "other host", "many other hosts", "no names", "unknown authority", "self-signed"],
)
def test_certificate(opener: Opener, certificate: trustme.LeafCert | trustme.CA, words: str) -> None:
    """A certificate that does not hold is a TLS failure which says why, and nothing is sent."""

    async def scenario() -> None:
        async with (
            serving(sends(OK), server_context(certificate)) as server,
            posting(opener, server.port) as poster,
        ):
            assert Failure(FailureKind.TLS, words) == await post(poster)
            assert server.requests == []

    run(scenario())


def test_a_refused_certificate_near_the_deadline() -> None:
    """A certificate that is refused is a TLS failure, also where the time left is too short for a look at it."""

    async def scenario() -> None:
        async with shown_once(STRANGER) as port, posting(open_engine, port) as poster:
            words = "the certificate is self-signed"
            assert Failure(FailureKind.TLS, words) == await post(poster, SHORT)

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
    """A dot behind the host keeps search domains away when it is looked up; TLS knows the name without it."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async def scenario() -> None:
        async with serving(sends(OK), server_context(AUTHORITY.issue_cert(shown))) as server:
            target = parse_target(f"https://{HOST}.:{server.port}/")
            poster = opener(target, LOCAL, client_context(), 1, lambda: 1.0, resolve=resolve)
            assert expected == await post(poster)
            await poster.aclose()
            assert {HOST} == {*server.names}
            assert [f"{HOST}."] == asked
            assert all(f"host: {HOST}.:{server.port}\r\n".encode() in one.lower() for one in server.requests)

    run(scenario())


def test_no_tls(opener: Opener) -> None:
    """A server that speaks something else than TLS is a TLS failure which says so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        plain = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with plain, posting(opener, plain.sockets[0].getsockname()[1]) as poster:
            expected = Failure(FailureKind.TLS, "the server does not speak TLS on this port")
            assert expected == await post(poster)

    run(scenario())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls(opener: Opener) -> None:
    """TLS older than 1.2 is not spoken."""

    async def scenario() -> None:
        context = server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with serving(sends(OK), context) as server, posting(opener, server.port) as poster:
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
def test_client_certificate(opener: Opener, version: ssl.TLSVersion, given: bool, tmp_path: Path) -> None:
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
            async with posting(opener, listener.getsockname()[1], context=context) as poster:
                result = await post(poster)
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
                opened=transport_factory(opener, rules, time.time),
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
    """A header that would split the request is a fault of ours, and never sent."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port) as poster:
            attempt = Attempt(bytes(16), b"{}", 1, 1.0)
            result = await poster.post([(b"x-key", b"a\r\nx-other: b")], attempt, deadline=DEADLINE)
            assert isinstance(result, LocalFault)
            assert server.requests == []
            assert Response(200) == await post(poster)

    run(scenario())


def test_cancelled(opener: Opener) -> None:
    """A cancelled post lets go of its connection, and the next one is made."""

    async def scenario() -> None:
        async with serving(sends(then="hang")) as server, posting(opener, server.port, connections=1) as poster:
            first = asyncio.create_task(post(poster))
            while not server.requests:
                await asyncio.sleep(0.01)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            server.script = sends(OK)
            assert Response(200) == await post(poster)

    run(scenario())
