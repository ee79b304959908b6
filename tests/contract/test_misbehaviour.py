"""Misbehaviours of endpoints, and the required result of each, for every transport.

In each case the first request meets the misbehaviour. The second request, to the same endpoint, must get its own
response, which has status 202. It must not get the rest of the first response (status 299).
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
import time
import tracemalloc
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from contract.https_server import (
    DEADLINE,
    OK,
    OPENERS,
    SHORT,
    Opener,
    Script,
    Server,
    post,
    posting,
    run,
    sends,
    server_context,
    serving,
)
from hookline.relay.http.exchange import ExchangeResult, Failure, FailureKind, Response
from passing_time import arrived, let_pass

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
SMUGGLED = b"HTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(10_000_000))
# Both ends run in this process, with their TLS buffers; a client that keeps what it is sent needs far more.
MEMORY = 6_000_000

NETWORK, TIMEOUT, TLS = FailureKind.NETWORK, FailureKind.TIMEOUT, FailureKind.TLS


def endlessly(beginning: bytes, part: bytes) -> Script:
    """Write the beginning, and then the part until the client closes the connection."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while not writer.transport.is_closing():  # writing to it would raise nothing
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        raise ConnectionAbortedError

    return script


def resets(*parts: bytes) -> Script:
    """Write the parts, and then reset the TCP connection."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise ConnectionAbortedError

    return script


def after(seconds: float, script: Script) -> Script:
    async def delayed(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await script(writer)

    return delayed


def slowly(*parts: bytes) -> Script:
    """Write the parts one by one. The deadline is over after the third one."""

    async def script(writer: asyncio.StreamWriter) -> None:
        await sends(*parts[:3])(writer)
        await arrived()
        let_pass(DEADLINE)
        await sends(*parts[3:], then="hang")(writer)

    return script


class Case(NamedTuple):
    """`expected` is a status, or the permitted kinds of failure. `poisoned`: the connection must not be reused."""

    script: Script
    expected: int | tuple[FailureKind, ...]
    poisoned: bool = True
    deadline: float = DEADLINE

    def fits(self, result: ExchangeResult) -> bool:
        if isinstance(self.expected, int):
            return result == Response(self.expected)
        return isinstance(result, Failure) and result.kind in self.expected and 0 < len(result.detail) <= 200


def answers(head: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + head + b"\r\n\r\n" + body


CASES = {
    "a header a byte at a time": Case(slowly(b"HTTP/1.1 200 OK\r\nx: ", *[b"y"] * 500), (TIMEOUT,)),
    "a head that ends after the deadline": Case(after(2 * SHORT, sends(SMUGGLED)), (TIMEOUT,), deadline=SHORT),
    "no answer at all": Case(slowly(), (TIMEOUT,)),
    "a body that comes a byte at a time": Case(
        slowly(answers(b"200 OK\r\ncontent-length: 9999"), *[b"y"] * 500), 200
    ),
    "1xx without end": Case(
        endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50), (NETWORK, TIMEOUT), deadline=1.5
    ),
    "100-continue that was not requested": Case(sends(answers(b"100 Continue") + OK), 200, poisoned=False),
    "a protocol that was not requested": Case(
        sends(answers(b"101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade") + SMUGGLED), (NETWORK,)
    ),
    "a body without end, chunked": Case(endlessly(CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n"), 200),
    "a body without end or length": Case(endlessly(answers(b"200 OK"), b"x" * 1024), 200),
    "a body in a million chunks": Case(endlessly(CHUNKED, b"1\r\nx\r\n" * 200), 200),
    "chunks that are garbage": Case(sends(CHUNKED + b"certainly not a size\r\n" + SMUGGLED), 200),
    "a chunk of negative size": Case(sends(CHUNKED + b"-1\r\nx\r\n0\r\n\r\n" + SMUGGLED), 200),
    "a chunk beyond all sizes": Case(sends(CHUNKED + b"f" * 40 + b"\r\nx\r\n0\r\n\r\n" + SMUGGLED), 200),
    "a chunk that is longer than announced": Case(sends(CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n" + SMUGGLED), 200),
    "a body that is shorter than announced": Case(
        sends(answers(b"200 OK\r\ncontent-length: 99", b"x"), then="close"), 200
    ),
    "a body that is longer than announced": Case(
        sends(answers(b"200 OK\r\ncontent-length: 1", b"x" + SMUGGLED)), 200
    ),
    "two lengths": Case(sends(answers(b"200 OK\r\ncontent-length: 0\r\ncontent-length: 1", SMUGGLED)), (NETWORK,)),
    "a length that is no number": Case(sends(answers(b"200 OK\r\ncontent-length: +1", b"x" + SMUGGLED)), (NETWORK,)),
    "a length and chunks": Case(
        sends(answers(b"200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked", b"0\r\n\r\n")), 200, False
    ),
    "a 204 with a body": Case(sends(answers(b"204 No Content\r\ncontent-length: 44", SMUGGLED)), 204),
    "a second answer behind the first": Case(sends(OK + SMUGGLED), 200),
    "a second answer some time later": Case(sends(OK, SMUGGLED), 200),
    "a byte behind the answer": Case(sends(OK + b"\n"), 200),
    "HTTP/1.0": Case(sends(b"HTTP/1.0 200 OK\r\n\r\nbody", then="close"), 200),
    "HTTP/0.9": Case(sends(b"<html>It works!</html>\r\n\r\n", then="close"), (NETWORK,)),
    "HTTP/2": Case(sends(b"\x00\x00\x12\x04" + bytes(23) + b"\r\n\r\n", then="close"), (NETWORK,)),
    "a mail server": Case(sends(b"220 mail.acme.test ESMTP ready\r\n\r\n"), (NETWORK,)),
    "a status that is none": Case(sends(answers(b"20 OK")), (NETWORK,)),
    "a header without a colon": Case(sends(answers(b"200 OK\r\nno colon\r\ncontent-length: 0") + SMUGGLED), 200),
    "a header with a space in its name": Case(
        sends(answers(b"200 OK\r\nno name: x\r\ncontent-length: 0") + SMUGGLED), 200
    ),
    "a header without a name": Case(sends(answers(b"200 OK\r\n: x\r\ncontent-length: 0") + SMUGGLED), 200),
    "a length with a space before its colon": Case(sends(answers(b"200 OK\r\nContent-Length : 0") + SMUGGLED), 200),
    "a coding with a space before its colon": Case(
        sends(answers(b"200 OK\r\nTransfer-Encoding : chunked\r\ncontent-length: 44", b"0\r\n\r\n" + SMUGGLED)), 200
    ),
    "two lengths, one with a space before its colon": Case(
        sends(answers(b"200 OK\r\nContent-Length : 0\r\ncontent-length: 44", SMUGGLED)), (NETWORK,)
    ),
    "early hints with a header that is none": Case(
        sends(answers(b"103 Early Hints\r\nno colon") + answers(b"200 OK\r\ncontent-length: 0")), 200
    ),
    "a header with NUL": Case(sends(answers(b"200 OK\r\nx: a\x00b\r\ncontent-length: 0")), (NETWORK,)),
    "lines that end in LF alone": Case(sends(b"HTTP/1.1 200 OK\ncontent-length: 0\n\n"), 200, False),
    "a folded header": Case(sends(answers(b"200 OK\r\nx: a\r\n  b\r\ncontent-length: 0")), 200, False),
    "an end before the answer": Case(sends(then="close"), (NETWORK,)),
    "an end within the head": Case(sends(b"HTTP/1.1 200 OK\r\ncontent-le", then="close"), (NETWORK,)),
    "an end within the body": Case(sends(answers(b"500 No\r\ncontent-length: 9", b"x"), then="close"), 500),
    "an end behind the answer": Case(sends(OK, then="close"), 200),
    "a reset before the answer": Case(resets(), (NETWORK,)),
    "a reset within the head": Case(resets(b"HTTP/1.1 200 OK\r\ncontent-le"), (NETWORK,)),
    "a reset within the body": Case(resets(answers(b"200 OK\r\ncontent-length: 9", b"x")), 200),
    "a redirect to itself": Case(
        sends(answers(b"307 Again\r\nlocation: /feedback?team=crm\r\ncontent-length: 0")), 307, False
    ),
    "a cookie for everyone": Case(
        sends(answers(b"200 OK\r\nset-cookie: a=b; domain=test\r\ncontent-length: 0")), 200, False
    ),
    "gzip that is none": Case(
        sends(answers(b"200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4", b"nope")), 200, False
    ),
}

FLOODS = {
    "a head without end": Case(endlessly(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 60_000 + b"\r\n"), (NETWORK,)),
    "a header of 16 MB": Case(sends(b"HTTP/1.1 200 OK\r\nx: ", *[b"y" * 2**20] * 16, b"\r\n\r\n"), (NETWORK,)),
    "a status line without end": Case(endlessly(b"HTTP/1.1 200 ", b"O" * 60_000), (NETWORK,)),
    "a body of 16 MB": Case(
        sends(answers(b"200 OK\r\ncontent-length: 16777216"), *[b"y" * 2**20] * 16), 200
    ),
    "a body without end": Case(endlessly(answers(b"200 OK"), b"x" * 60_000), 200),
    "a chunk line without end": Case(endlessly(CHUNKED + b"1;", b"x" * 60_000), 200),
    "trailers without end": Case(endlessly(CHUNKED + b"0\r\n", b"x: " + b"y" * 60_000 + b"\r\n"), 200),
    "a gzip bomb": Case(
        sends(answers(b"200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d" % len(BOMB), BOMB)), 200, False
    ),
}  # fmt: skip


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


async def meet(opener: Opener, case: Case) -> None:
    async with serving(case.script) as server, posting(opener, server.port) as transport:
        begin = time.monotonic()
        result = await post(transport, case.deadline)
        assert case.fits(result), result
        assert repr(result).isprintable()
        assert time.monotonic() - begin < case.deadline + 5
        assert 1 == len(server.requests)
        await ended_by_server(server, case)
        if case is CASES["a second answer some time later"]:
            await server.has_answered(1)
        await asyncio.sleep(0.03)
        server.script = sends(ACCEPTED)
        assert Response(202) == await post(transport)
        assert 2 == len(server.requests)
        if case.poisoned:
            assert 2 == server.connections
        await gone(server, case)


async def ended_by_server(server: Server, case: Case) -> None:
    """Wait until the server has closed its connection, if it does so behind a complete answer."""
    while case is CASES["an end behind the answer"] and server.open:
        await asyncio.sleep(0.01)


async def gone(server: Server, case: Case) -> None:
    """Wait until the client has closed the connection to an endpoint that sends without end."""
    while case in FLOODS.values() and server.open > 1:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_misbehaviour(opener: Opener, case: Case) -> None:
    """Each case has its required result within the deadline, and the next request gets its own response."""
    run(meet(opener, case))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("case", FLOODS.values(), ids=FLOODS)
def test_flood(opener: Opener, case: Case, traced: None) -> None:
    """The memory for a response is bounded, even if an endpoint sends without end."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    run(meet(opener, case))
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < MEMORY


@pytest.mark.parametrize("opener", ["engine"], indirect=True)
def test_answer_before_the_request_is_whole(opener: Opener) -> None:
    """A response that arrives before the request was sent whole counts, and the connection is closed.

    The httpx transport reads no response before the request was sent whole, so its result is a network failure.
    """

    async def scenario() -> None:
        refuses = sends(answers(b"413 Too Much\r\ncontent-length: 0"), then="hang")
        async with (
            serving(refuses, whole=False) as server,
            posting(opener, server.port, connections=1) as transport,
        ):
            for expected in (1, 2):
                assert Response(413) == await post(transport, body=bytes(20_000_000))
                assert expected == server.connections

    run(scenario())


def test_hang_in_connect(opener: Opener) -> None:
    """The deadline also applies to a connection that the server does not accept."""

    async def scenario() -> None:
        with socket.socket() as listener, contextlib.ExitStack() as stack:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):  # as many as fill the queue; further ones get no answer
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            async with posting(opener, listener.getsockname()[1]) as transport:
                result = await post(transport, SHORT)
        assert isinstance(result, Failure)
        assert TIMEOUT is result.kind

    run(scenario())


def test_tls_that_breaks(opener: Opener) -> None:
    """Bytes that are no TLS, in the middle of it, are a TLS failure."""

    def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
        connection, _ = listener.accept()
        with connection.dup() as raw, context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            while raw.recv(65536):
                pass

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(asyncio.to_thread(serve, listener, server_context()))
            async with posting(opener, listener.getsockname()[1]) as transport:
                result = await post(transport)
            await serving
        assert isinstance(result, Failure)
        assert TLS is result.kind

    run(scenario())
