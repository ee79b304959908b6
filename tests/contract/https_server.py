"""HTTPS servers on loopback that follow a script, and the transports that the contract tests use."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Protocol

import msgspec
import trustme

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.pool.httpx_transport import open_httpx
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Target, parse_target
from hookline.relay.http.resolver import Resolve
from hookline.relay.http.tls import tls_context
from hookline.relay.http.transport import Transport, open_client
from passing_time import arrived, let_pass

Clock = Callable[[], float]
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Opener(Protocol):
    def __call__(
        self,
        target: Target,
        rules: NetworkRules,
        context: ssl.SSLContext,
        limit: int,
        clock: Clock,
        *,
        resolve: Resolve = ...,
        proxy: Proxy | None = ...,
        limits: SharedLimits | None = ...,
    ) -> Transport: ...


# A new transport is added here. It must pass every test that is parametrized with OPENERS.
OPENERS: dict[str, Opener] = {
    "engine": open_client,
    "httpx": open_httpx,
}

HOST = "hooks.acme.test"
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert(HOST)
LOCAL = NetworkRules((ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
# Seconds: long enough for a busy machine, and for an attempt that is meant to run into it, short.
DEADLINE = 10.0
SHORT = 0.4


@dataclass
class Server:
    """Reads requests, and lets a script write the response to each. A test may replace `script` at any time.

    `whole`: the server reads the whole request before it responds, otherwise only the head.
    """

    script: Script
    whole: bool = True
    port: int = 0
    connections: int = 0
    open: int = 0
    names: list[str | None] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    answered: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                self.requests.append(head + await reader.readexactly(length if self.whole else 0))
                try:
                    await self.script(writer)
                    await writer.drain()
                finally:  # the client may close the connection at a byte behind the response
                    self.answered += 1
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def has_answered(self, number: int) -> None:
        """Wait until the client has all bytes of that many responses, also those behind a response."""
        while self.answered < number:
            await asyncio.sleep(0.01)
        await arrived()

    async def has_closed(self) -> None:
        """Wait until the client has seen the end of all connections, which the server closes."""
        while self.open:
            await asyncio.sleep(0.01)
        await arrived()


def sends(*parts: bytes, then: str = "stay") -> Script:
    """Write the parts one by one; then stay for the next request, or close, or hang."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
            if writer.transport.is_closing():
                raise ConnectionAbortedError
        if then == "hang":
            await asyncio.sleep(60)
        if then == "close":
            raise ConnectionAbortedError

    return script


def without_the_rest(beginning: bytes, *, deadline: float) -> Script:
    """Write the beginning of a response. The deadline is over when the client has received it."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        await arrived()
        let_pass(deadline)
        await asyncio.Event().wait()

    return script


def server_context(certificate: trustme.LeafCert | trustme.CA = CERTIFICATE) -> ssl.SSLContext:
    """A server's; an authority in place of a certificate shows its own, which it has signed itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if isinstance(certificate, trustme.LeafCert):
        certificate.configure_cert(context)
        return context
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.private_key_pem.bytes() + certificate.cert_pem.bytes())
        file.flush()
        context.load_cert_chain(file.name)
    return context


@asynccontextmanager
async def serving(
    script: Script, context: ssl.SSLContext | None = None, *, whole: bool = True
) -> AsyncIterator[Server]:
    server = Server(script, whole)
    running: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        # The server ends with the test, also in the middle of a request.
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
    opener: Opener,
    port: int,
    *,
    rules: NetworkRules = LOCAL,
    context: ssl.SSLContext | None = None,
    connections: int = 4,
    resolve: Resolve | None = None,
) -> AsyncIterator[Transport]:
    target = parse_target(f"https://{HOST}:{port}/feedback?team=crm")
    looked_up = resolve or resolves_to("127.0.0.1")
    transport = opener(
        target, rules, context or client_context(), connections, lambda: 784111747.0, resolve=looked_up
    )
    try:
        yield transport
    finally:
        await transport.aclose()


HEADERS = [(b"content-type", b"application/json")]


async def post(transport: Transport, deadline: float = DEADLINE, body: bytes = b"{}") -> ExchangeResult:
    return await transport.post(HEADERS, Attempt(bytes(16), body, 1, 1.0), deadline=deadline)


def without_address(result: ExchangeResult) -> ExchangeResult:
    """A failure without the address at which it happened, which is not the same for every case."""
    return msgspec.structs.replace(result, address=None) if isinstance(result, Failure) else result


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario, debug=False)


async def one(opener: Opener, script: Script, **options: Any) -> ExchangeResult:
    """The result of one post to a server that plays the script."""
    async with serving(script) as server, posting(opener, server.port) as transport:
        return await post(transport, **options)


@asynccontextmanager
async def shown_once(certificate: trustme.LeafCert | trustme.CA) -> AsyncIterator[int]:
    """The port of a server that speaks TLS with its first client and lets every further one wait."""
    running: list[asyncio.Task[None]] = []
    context = server_context(certificate)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if len(running) == 1:
                await writer.start_tls(context)
            await reader.read()
        writer.transport.abort()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
