"""The cost of one POST in the relay's process, for each HTTP client.

    python benchmarks/engine.py [--posts 20000] [--rounds 5] [--json FILE]

The sink is a local TLS server in a separate process. The client keeps 32 connections, with one POST at a time on
each. The figures are those of the client's process. The limit writes prepared bytes to TLS sockets with epoll and
ignores the answers. The clients take turns; on a shared machine, compare the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import multiprocessing
import resource
import select
import socket
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import trustme

from bench_lab import table
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult
from hookline.relay.http.pool.httpx_transport import open_httpx
from hookline.relay.http.request import parse_target
from hookline.relay.http.tls import tls_context
from hookline.relay.http.transport import OpenTransport, open_client
from results import Results, slug

CONNECTIONS = 32
BARE, ENGINE = "bare sockets", "engine"
WAYS_OF_THE_RELAY = ("engine, quick way", ENGINE)  # the one of most events first
LOOPBACK = NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128")))
BODY = b'{"requestId":"' + b"x" * 640 + b'"}'
HEADERS = (
    (b"content-type", b"application/json"),
    (b"user-agent", b"hookline/bench"),
    (b"authorization", b"Bearer " + b"t" * 300),
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nserver: sink\r\ncontent-type: text/plain\r\n"
    b"content-length: 2\r\n\r\nok"
)
Measured = tuple[float, float]


def sink(ready: Connection, certificate: str) -> None:
    """Answer every request. A request is one TLS record, or one for the head and one for the body."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    ready.send(listener.getsockname()[1])
    poll, connections = select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
                connection.setblocking(False)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            connection = connections[descriptor]
            try:
                data = connection.recv(65536)
                if data.endswith(BODY[-2:]):
                    connection.send(ANSWER)
                if data:
                    continue
            except ssl.SSLWantReadError:
                continue
            except OSError:
                pass
            poll.unregister(descriptor)
            connections.pop(descriptor).close()


@contextmanager
def running_sink(certificate: Path) -> Iterator[int]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=sink, args=(theirs, str(certificate)), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def bare_sockets(context: ssl.SSLContext, port: int, posts: int) -> Measured:
    head = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
    poll, connections = select.epoll(), {}
    for _ in range(CONNECTIONS):
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(plain, server_hostname="localhost")
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    request = b"POST /feedback HTTP/1.1\r\nhost: localhost\r\n%bwebhook-id: %032x\r\ncontent-length: %d\r\n\r\n%b"
    sent = answered = 0
    cpu, started = used(), time.perf_counter()
    for connection in connections.values():
        connection.send(request % (head, sent, len(BODY), BODY))
        sent += 1
    while answered < posts:
        for descriptor, _ in poll.poll():
            connection = connections[descriptor]
            try:
                connection.recv(16384)
            except ssl.SSLWantReadError:
                continue
            answered += 1
            if sent < posts:
                connection.send(request % (head, sent, len(BODY), BODY))
                sent += 1
    seconds, cpu = time.perf_counter() - started, used() - cpu
    for connection in connections.values():
        connection.close()
    return posts / seconds, cpu / posts


async def timed(posts: int, post: Callable[[int], Awaitable[object]]) -> Measured:
    numbers = iter(range(posts))

    async def work() -> None:
        for number in numbers:
            await post(number)

    await asyncio.gather(*(post(0) for _ in range(CONNECTIONS)))
    cpu, started = used(), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return posts / (time.perf_counter() - started), (used() - cpu) / posts


async def poster(opener: OpenTransport, context: ssl.SSLContext, port: int, posts: int) -> Measured:
    target = parse_target(f"https://localhost:{port}/feedback")
    opened = opener(target, LOOPBACK, context, CONNECTIONS, time.time)

    async def post(number: int) -> None:
        attempt = Attempt(number.to_bytes(16, "big"), BODY, 1, 1_800_000_000.0, "2026-11-22T10:00:00Z")
        result = await opened.post(HEADERS, attempt, deadline=30.0)
        assert getattr(result, "status", None) == 200, result

    try:
        return await timed(posts, post)
    finally:
        await opened.aclose()


async def begun(context: ssl.SSLContext, port: int, posts: int) -> Measured:
    """The quick way of the relay: each result begins the next POST, without a task."""
    opened = open_client(
        parse_target(f"https://localhost:{port}/feedback"), LOOPBACK, context, CONNECTIONS, time.time
    )
    ended = asyncio.get_running_loop().create_future()
    begun_posts = answered = 0

    def attempt(number: int) -> Attempt:
        return Attempt(number.to_bytes(16, "big"), BODY, 1, 1_800_000_000.0, "2026-11-22T10:00:00Z")

    def begin() -> bool:
        nonlocal begun_posts
        begun_posts += 1
        return opened.begin(HEADERS, attempt(begun_posts), deadline=30.0, on_result=on_result) is not None

    def on_result(result: ExchangeResult) -> None:
        nonlocal answered
        answered += 1
        if getattr(result, "status", None) != 200 or answered == posts or (begun_posts < posts and not begin()):
            ended.set_result(result)

    try:
        await asyncio.gather(*(opened.post(HEADERS, attempt(0), deadline=30.0) for _ in range(CONNECTIONS)))
        cpu, started = used(), time.perf_counter()
        while begin():
            pass
        begun_posts -= 1  # no connection was left for the last one
        await ended
        assert answered == posts, ended
        return posts / (time.perf_counter() - started), (used() - cpu) / posts
    finally:
        await opened.aclose()


async def plain_httpx(context: ssl.SSLContext, port: int, posts: int) -> Measured:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(verify=context, trust_env=False, limits=limits, timeout=60) as client:

        async def post(number: int) -> None:
            headers = [*HEADERS, (b"webhook-id", b"%032x" % number)]
            answer = await client.post(f"https://localhost:{port}/feedback", content=BODY, headers=headers)
            answer.raise_for_status()

        return await timed(posts, post)


def on_uvloop(opener: OpenTransport, context: ssl.SSLContext, port: int, posts: int) -> Measured:
    uvloop = importlib.import_module("uvloop")  # optional: measured if it is installed
    measured: Measured = uvloop.run(poster(opener, context, port, posts))
    return measured


def ways_of(directory: Path, port: int, posts: int) -> dict[str, Callable[[], Measured]]:
    """Each client by its name. Slow ones send fewer requests."""
    context = tls_context(ca_file=directory / "ca.pem")
    ways: dict[str, Callable[[], Measured]] = {
        BARE: lambda: bare_sockets(context, port, posts),
        ENGINE: lambda: asyncio.run(poster(open_client, context, port, posts)),
        WAYS_OF_THE_RELAY[0]: lambda: asyncio.run(begun(context, port, posts)),
        "httpcore": lambda: asyncio.run(poster(open_httpx, context, port, posts // 100)),
        "httpx": lambda: asyncio.run(plain_httpx(context, port, posts // 100)),
    }
    if importlib.util.find_spec("uvloop"):
        ways["engine on uvloop"] = lambda: on_uvloop(open_client, context, port, posts)
    return ways


def measure(posts: int, rounds: int) -> dict[str, list[Measured]]:
    """Measure the clients in turns."""
    with tempfile.TemporaryDirectory() as name:
        authority, directory = trustme.CA(), Path(name)
        authority.cert_pem.write_to_path(directory / "ca.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(directory / "sink.pem")
        with running_sink(directory / "sink.pem") as port:
            ways = ways_of(directory, port, posts)
            found: dict[str, list[Measured]] = {way: [] for way in ways}
            for number in range(rounds):
                for way, one in ways.items():
                    found[way].append(one())
                    print(f"round {number + 1} of {rounds}: {way}: {found[way][-1][1] * 1e6:.1f} µs", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    given = parser.parse_args()
    results = Results(benchmark="engine", parameters={"posts": given.posts, "rounds": given.rounds})
    found = measure(given.posts, given.rounds)
    lines = []
    for way, runs in found.items():
        pairs = list(zip(runs, found[BARE], strict=True))
        results.add(f"{slug(way)}-rate", f"{way}: requests", "1/s", (rate for rate, _ in runs))
        results.add(f"{slug(way)}-cpu", f"{way}: CPU for a request", "µs", (cpu * 1e6 for _, cpu in runs))
        ratios = (own[1] / limit[1] for own, limit in pairs)
        results.add(f"{slug(way)}-to-bare", f"{way}: CPU ÷ that of {BARE}", "", ratios)
        rate, cpu, ratio = (results.rows[at].value for at in (-3, -2, -1))
        lines.append((way, f"{rate:,.0f}", f"{cpu:.1f}", f"{ratio:.2f}"))
    relay = next(way for way in WAYS_OF_THE_RELAY if way in found)
    ratios = (own[1] / limit[1] for own, limit in zip(found[relay], found[BARE], strict=True))
    results.add("relay-to-bare", f"the relay's way ({relay}): CPU ÷ that of {BARE}", "", ratios)
    print(f"{CONNECTIONS} connections, a body of {len(BODY)} bytes, TLS on loopback; medians")
    print(table(("", "requests/s", "CPU µs", "CPU ÷ bare"), lines))
    results.write(given.json)


if __name__ == "__main__":
    main()
