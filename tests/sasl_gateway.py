"""A gateway in front of Kafka that demands SASL, for tests: librdkafka's mock cluster has none.

It answers SaslHandshake and SaslAuthenticate itself, with the mechanisms PLAIN and SCRAM (RFC 5802), closes each
connection that sends anything else before that, and then forwards (https://kafka.apache.org/protocol.html).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from server_thread import Connection, join_connections, server_thread

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
UNSUPPORTED_VERSION, AUTHENTICATION_FAILED = 35, 58
ITERATIONS = 4096


class Refused(Exception):
    """The user is not known, or the password is wrong."""


@dataclass
class Gateway:
    """`logins` are the mechanisms of successful logins, in order; `early` counts requests before a login."""

    user: str
    password: str
    port: int = 0
    logins: list[str] = field(default_factory=list)
    early: int = 0


class Login:
    """One login on the side of the server."""

    def __init__(self, gateway: Gateway, mechanism: str) -> None:
        self._gateway = gateway
        self._hash = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        self._mechanism = mechanism
        self._first: tuple[str, str, bytes] | None = None

    def answer(self, message: bytes) -> tuple[bytes, bool]:
        """The answer to a message of the client, and whether the user is known now. Raises Refused."""
        if self._mechanism == "PLAIN":
            if message.split(b"\0")[1:] != [self._gateway.user.encode(), self._gateway.password.encode()]:
                raise Refused
            return b"", True
        if self._first is None:
            return self._begin(message.decode().removeprefix("n,,")), False
        return self._end(message.decode(), *self._first), True

    def _begin(self, client_first: str) -> bytes:
        values = dict(part.split("=", 1) for part in client_first.split(","))
        if values["n"] != self._gateway.user:
            raise Refused
        salt = os.urandom(16)
        server_first = f"r={values['r']}{os.urandom(9).hex()},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
        self._first = client_first, server_first, salt
        return server_first.encode()

    def _end(self, client_final: str, client_first: str, server_first: str, salt: bytes) -> bytes:
        without_proof, _, proof = client_final.rpartition(",p=")
        signed = f"{client_first},{server_first},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac(self._hash, self._gateway.password.encode(), salt, ITERATIONS)
        client_key = hmac.digest(salted, b"Client Key", self._hash)
        signature = hmac.digest(hashlib.new(self._hash, client_key).digest(), signed, self._hash)
        if bytes(a ^ b for a, b in zip(client_key, signature, strict=True)) != base64.b64decode(proof):
            raise Refused
        server_key = hmac.digest(salted, b"Server Key", self._hash)
        return b"v=" + base64.b64encode(hmac.digest(server_key, signed, self._hash))


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])


def _framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


async def _log_in(gateway: Gateway, client: Connection, broker: Connection) -> bool:
    """Answer requests until the user is known. False: the client is refused."""
    login = Login(gateway, "")
    mechanism = ""
    while True:
        request = await _frame(client[0])
        key, version, number, name = struct.unpack(">hhih", request[:10])
        body = request[10 + max(0, name) :]
        if key == API_VERSIONS:
            client[1].write(_framed(await _api_versions(request, version, number, broker)))
        elif key == HANDSHAKE:
            mechanism = body[2:].decode()
            login = Login(gateway, mechanism)
            answer = struct.pack(">ihi", number, 0, 1) + struct.pack(">h", len(mechanism)) + mechanism.encode()
            client[1].write(_framed(answer))
        elif key == AUTHENTICATE:
            try:
                answer, done = login.answer(body[4:])
            except Refused:
                text = b"this user is refused"
                failed = struct.pack(">ihh", number, AUTHENTICATION_FAILED, len(text)) + text
                client[1].write(_framed(failed + struct.pack(">iq", 0, 0)))
                await client[1].drain()
                return False
            head = struct.pack(">ihhi", number, 0, -1, len(answer))
            client[1].write(_framed(head + answer + (struct.pack(">q", 0) if version else b"")))
            if done:
                gateway.logins.append(mechanism)
                return True
        else:
            gateway.early += 1
            return False


async def _api_versions(request: bytes, version: int, number: int, broker: Connection) -> bytes:
    """The answer of the broker, with the requests of SASL. A version with another form is refused."""
    if version > 2:
        return struct.pack(">ihihhh", number, UNSUPPORTED_VERSION, 1, API_VERSIONS, 0, 2)
    broker[1].write(_framed(request))
    answer = await _frame(broker[0])
    count = struct.unpack(">i", answer[6:10])[0]
    more = struct.pack(">hhhhhh", HANDSHAKE, 0, 1, AUTHENTICATE, 0, 1)
    return answer[:6] + struct.pack(">i", count + 2) + more + answer[10:]


@contextmanager
def sasl_gateway(port: int, user: str, password: str) -> Iterator[Gateway]:
    """Listens on a port of its own, and forwards to `port` of this machine."""
    gateway = Gateway(user, password)

    async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker = await asyncio.open_connection("127.0.0.1", port)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await _log_in(gateway, (reader, writer), broker):
                    await join_connections((reader, writer), broker)
        finally:
            writer.close()
            broker[1].close()

    with server_thread(serve_client) as gateway.port:
        yield gateway
