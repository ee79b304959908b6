"""A connection of httpcore's pool that is used again only after a response that ended cleanly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from socket import socket
from typing import Any

import httpcore

from hookline.relay.http.certificate_info import ShownCertificate, refused_certificate
from hookline.relay.http.connector import AddressMemory, encrypted
from hookline.relay.http.limits.handshake_threads import Handshakes
from hookline.relay.http.request import server_name
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import ResponseReader


@dataclass(frozen=True, slots=True)
class PoolExchange:
    """One request and its response. `response` reads the same bytes as h11."""

    due: float
    response: ResponseReader = field(default_factory=ResponseReader)


# httpcore passes neither the deadline nor the response to its network backend. The backend runs in the caller's task.
current_exchange: ContextVar[PoolExchange] = ContextVar("exchange")


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection. `reconnect` connects to the same address, to read a refused certificate."""

    host: str
    address: str
    memory: AddressMemory
    reconnect: Callable[[], Awaitable[socket]]
    handshakes: Handshakes
    shown: ShownCertificate

    @contextmanager
    def noting_failures(self) -> Iterator[None]:
        """Remember the address if the enclosed exchange fails, or is cancelled because it takes too long."""
        try:
            yield
        except BaseException as error:
            self.memory.note_failure(self.address, error)
            raise


class GuardedStream(httpcore.AsyncNetworkStream):
    """A connection that the pool uses again only after a response that ended cleanly."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, peer: Peer) -> None:
        self.on_closed: Callable[[], None] | None = None
        self._stream = stream
        self._peer = peer
        self._response: ResponseReader | None = ResponseReader.unused()  # None: the bytes were not HTTP

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Raises CertificateRefused and httpcore.ConnectError."""
        peer = self._peer
        try:
            with peer.noting_failures():
                stream = await self._stream.start_tls(ssl_context, server_name(server_hostname or peer.host), timeout)
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                # Not as the cause of a ConnectError: the pool raises it `from None`.
                refused = await refused_certificate(error.__cause__, peer.host, peer.reconnect, peer.handshakes)
                peer.shown.observe_failure(refused)
                raise refused from error
            raise
        peer.shown.observe(encrypted(stream.get_extra_info("ssl_object")))
        guarded = GuardedStream(stream, peer)
        guarded.on_closed, self.on_closed = self.on_closed, None
        return guarded

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._peer.noting_failures():
            data = await self._stream.read(max_bytes, timeout)
            while data and self._response is not None and self._response.is_empty:
                if rest := self._response.skip_line_end(data):
                    data = rest
                    break
                data = await self._stream.read(max_bytes, timeout)
            if not data and self._response is not None and self._response.is_empty:
                self._peer.memory.note_failure(self._peer.address)
        if self._response is not None:
            try:
                self._response.feed(data)
            except NotHttp:  # httpcore finds the error, too, or accepts it; the connection is not used again
                self._response = None
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._response = current_exchange.get().response
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        on_closed, self.on_closed = self.on_closed, None
        if on_closed is not None:
            on_closed()
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and not (self._response is not None and self._response.clean):
            return True  # the pool closes an idle connection that is readable
        return self._stream.get_extra_info(info)
