"""A receiver in this process, on real sockets, with clients that trust its authority."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import jwt
import pytest

from hookline.errors import HooklineError
from hookline.receiver.faults import Fault, FaultPlan
from hookline.receiver.receiver_settings import MAX_RECEIVED_BODY_BYTES, ReceiverSettings
from hookline.receiver.responses import Stats
from hookline.receiver.server import Receiver

SECRET = b"0123456789abcdef0123456789abcdef"


@dataclass(slots=True)
class Running:
    """A receiver that accepts connections; `finished` has its stats once it has ended."""

    receiver: Receiver
    port: int
    client: httpx.AsyncClient
    finished: asyncio.Task[Stats]

    async def talk(self, sent: bytes, *, then: bytes = b"") -> bytes:
        """Send bytes as they are, then, after the first of the answer, some more; read until the end."""
        trust = ssl.create_default_context(cafile=self.receiver.identity.ca_file)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=trust, server_hostname="localhost")
        writer.write(sent)
        got = await reader.read(1) if then else b""
        writer.write(then)
        got += await reader.read()
        writer.close()
        return got


class Bench:
    """Starts receivers that share one certificate, so that a test costs no new keys."""

    def __init__(self, tls_dir: Path) -> None:
        self._tls_dir = tls_dir

    @asynccontextmanager
    async def start(
        self, *outputs: BinaryIO, clock: Callable[[], float] = time.time, **given: Any
    ) -> AsyncIterator[Running]:
        settings = ReceiverSettings(**{"port": 0, "tls_dir": self._tls_dir, "verify_payload": False, **given})
        receiver = Receiver(settings, outputs=outputs, clock=clock)
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        finished = asyncio.create_task(receiver.serve(ready.set_result))
        await asyncio.wait((ready, finished), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await finished
        trust = ssl.create_default_context(cafile=receiver.identity.ca_file)
        base = f"https://localhost:{ready.result()}"
        async with httpx.AsyncClient(verify=trust, base_url=base, trust_env=False) as client:
            yield Running(receiver, ready.result(), client, finished)
        receiver.stop()
        await asyncio.wait((finished,))

    def run(self, test: Callable[[Running], Awaitable[object]], *outputs: BinaryIO, **given: Any) -> Stats:
        """Start a receiver, let the test talk to it, stop it, and hand its stats on."""

        async def play() -> Stats:
            async with self.start(*outputs, **given) as running:
                await test(running)
            return running.finished.result()

        return asyncio.run(play())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("receiver") / "tls")


def lines(output: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_request_is_accepted_printed_and_recorded(bench: Bench) -> None:
    """The same line goes to each output."""
    output, record = io.BytesIO(), io.BytesIO()

    async def test(running: Running) -> None:
        answer = await running.client.post("/feedback?x=1", json={"a": 1}, headers={"Webhook-Id": "msg_1"})
        assert (204, b"") == (answer.status_code, answer.content)

    stats = bench.run(test, output, record, clock=lambda: 1764547200.0)
    (line,) = lines(output)
    assert ("2025-12-01T00:00:00.000Z", "POST", "/feedback?x=1", {"a": 1}, 204) == tuple(
        line[name] for name in ("time", "method", "path", "body", "status")
    )
    assert "msg_1" == line["headers"]["webhook-id"]
    assert output.getvalue() == record.getvalue()
    assert (1, 1, 0) == (stats.requests, stats.accepted, stats.invalid)


def test_a_line_is_written_before_its_answer_goes_out(bench: Bench) -> None:
    """Whoever has read a 2xx finds the request on record: a crash in between repeats, and never loses."""
    output = io.BytesIO()

    async def test(running: Running) -> None:
        for number in range(1, 4):
            await running.client.post("/", json=number)
            assert number == len(lines(output))

    bench.run(test, output)


def test_nothing_is_answered_that_cannot_be_recorded(bench: Bench) -> None:
    """When the record does not take a line, its sender gets no answer and the receiver ends with the reason."""

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    async def play() -> None:
        async with bench.start(Full()) as running:
            with pytest.raises(httpx.TransportError):
                await running.client.post("/", json={})
        with pytest.raises(HooklineError, match="No space left on device"):
            running.finished.result()

    asyncio.run(play())


def failures_in_turn(bench: Bench, seed: int) -> list[int]:
    statuses: list[int] = []

    async def test(running: Running) -> None:
        for _ in range(40):
            statuses.append((await running.client.post("/", json={})).status_code)

    fault_plan = FaultPlan(faults=(Fault(503, 0.3), Fault(429, 0.2)))
    stats = bench.run(test, fault_plan=fault_plan, seed=seed)
    assert statuses.count(204) == stats.accepted
    assert 40 - stats.accepted == stats.failed_on_purpose
    return statuses


def test_equal_seeds_fail_alike(bench: Bench) -> None:
    """The sequence of failures follows from the seed, and another seed gives another one."""
    first = failures_in_turn(bench, 7)
    assert {204, 503, 429} == set(first)
    assert first == failures_in_turn(bench, 7)
    assert first != failures_in_turn(bench, 8)


def test_an_outage_ends_and_its_failures_say_when_to_come_back(bench: Bench) -> None:
    """From the first request on, not from the start, everything is 503 with Retry-After; then all is well."""
    now = 1000.0

    async def test(running: Running) -> None:
        nonlocal now
        now += 500
        first = await running.client.post("/", json={})
        now += 1.9
        second = await running.client.post("/", json={})
        now += 0.1
        third = await running.client.post("/", json={})
        assert [503, 503, 204] == [answer.status_code for answer in (first, second, third)]
        assert ["2", "2", None] == [answer.headers.get("retry-after") for answer in (first, second, third)]

    bench.run(test, clock=lambda: now, fault_plan=FaultPlan(outage=timedelta(seconds=2)), retry_after=2)


def test_a_delay_holds_the_answer_back(bench: Bench) -> None:
    """The answer comes no sooner than it was asked to."""

    async def test(running: Running) -> None:
        begin = time.monotonic()
        await running.client.post("/", json={})
        assert time.monotonic() - begin >= 0.08

    bench.run(test, delay=timedelta(milliseconds=80))


def test_a_client_that_leaves_before_the_answer_is_on_record_without_a_status(bench: Bench) -> None:
    """What a timed-out client had sent is seen, and not taken for accepted."""
    output = io.BytesIO()

    async def test(running: Running) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await running.client.post("/", json={}, timeout=0.05)

    stats = bench.run(test, output, delay=timedelta(milliseconds=300))
    assert [None] == [line["status"] for line in lines(output)]
    assert (1, 0, 1) == (stats.requests, stats.accepted, stats.disconnected)


def test_a_token_is_asked_for_where_keys_were_given(bench: Bench, tmp_path: Path) -> None:
    """Without a good token: 401, with the challenge and the reason; with one: accepted and noted."""
    (tmp_path / "secret").write_bytes(SECRET)
    good = jwt.encode({"exp": time.time() + 60}, SECRET, "HS256")
    output = io.BytesIO()

    async def test(running: Running) -> None:
        refused = await running.client.post("/", json={})
        assert (401, 'Bearer error="invalid_token"') == (refused.status_code, refused.headers["www-authenticate"])
        assert {"error": "the request has no token"} == refused.json()
        accepted = await running.client.post("/", json={}, headers={"X-Token": f"Bearer {good}"})
        assert 204 == accepted.status_code

    stats = bench.run(test, output, hmac_secret_file=tmp_path / "secret", token_header="X-Token")
    assert ["the request has no token", True] == [line["verified"]["jwt"] for line in lines(output)]
    assert (1, 1) == (stats.accepted, stats.invalid)


@pytest.mark.parametrize(("strict", "status"), [(False, 204), (True, 422)])
def test_a_payload_that_does_not_fit_is_noted_and_refused_if_strict(bench: Bench, strict: bool, status: int) -> None:
    """By default a developer sees the finding and goes on; --strict is as a picky receiver would be."""
    output = io.BytesIO()

    async def test(running: Running) -> None:
        assert status == (await running.client.post("/", json={"channel": "pigeon"})).status_code

    stats = bench.run(test, output, verify_payload=True, strict=strict)
    (line,) = lines(output)
    assert line["verified"]["payload"].startswith("$")
    assert 1 == stats.invalid


def test_only_post_is_answered(bench: Bench) -> None:
    """Another method gets the allowed method, and a HEAD gets no body."""

    async def test(running: Running) -> None:
        for method in ("GET", "PUT", "HEAD", "DELETE"):
            answer = await running.client.request(method, "/")
            assert (405, "POST") == (answer.status_code, answer.headers["allow"])
        assert 204 == (await running.client.post("/", json={})).status_code

    stats = bench.run(test)
    assert (5, 1, 4) == (stats.requests, stats.accepted, stats.invalid)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused_before_it_is_kept(bench: Bench, announced: bool) -> None:
    """By its announced length at once, else when it has grown too long; the sender can read why."""
    output = io.BytesIO()

    async def grow() -> AsyncIterator[bytes]:
        for _ in range(3 * MAX_RECEIVED_BODY_BYTES // 65536):
            yield b"x" * 65536

    async def test(running: Running) -> None:
        content = b"x" * (MAX_RECEIVED_BODY_BYTES + 1) if announced else grow()
        answer = await running.client.post("/", content=content)
        assert (413, "close") == (answer.status_code, answer.headers["connection"])
        assert 204 == (await running.client.post("/", content=b"x" * MAX_RECEIVED_BODY_BYTES)).status_code

    bench.run(test, output)
    assert [413, 204] == [line["status"] for line in lines(output)]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000, b"431"),
    ],
)
def test_what_is_not_http_ends_the_connection(bench: Bench, sent: bytes, status: bytes) -> None:
    """The status names the error, the connection is closed, and the receiver continues."""

    async def test(running: Running) -> None:
        answer = await asyncio.wait_for(running.talk(sent), 10)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in answer.lower()
        assert 204 == (await running.client.post("/", json={})).status_code

    stats = bench.run(test)
    assert (1, 1) == (stats.accepted, stats.invalid)


def test_an_expectation_is_answered_before_the_body(bench: Bench) -> None:
    """A client that waits for 100 Continue (RFC 9110 section 10.1.1) gets it, and then its answer."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"

    async def test(running: Running) -> None:
        answer = await asyncio.wait_for(running.talk(head, then=b"{}"), 10)
        assert answer.startswith(b"HTTP/1.1 100 ")
        assert b"HTTP/1.1 204 No Content" in answer

    bench.run(test)


def test_requests_that_arrive_together_are_answered_in_turn(bench: Bench) -> None:
    """One connection, two requests sent at once: two answers, in order."""
    output = io.BytesIO()
    first = b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    second = b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async def test(running: Running) -> None:
        answer = await asyncio.wait_for(running.talk(first + second), 10)
        assert 0 < answer.index(b" 204 ") < answer.index(b" 405 ")

    bench.run(test, output)
    assert ["/1", "/2"] == [line["path"] for line in lines(output)]


def test_it_ends_by_itself_after_exactly_so_many_accepted_requests(bench: Bench) -> None:
    """Failures do not count, and requests that arrive together with the last one are refused."""

    async def test(running: Running) -> None:
        async def post() -> int:
            try:
                return (await running.client.post("/", json={})).status_code
            except httpx.TransportError:
                return 0

        statuses = await asyncio.gather(*(post() for _ in range(20)))
        assert 5 == statuses.count(204)
        await asyncio.wait_for(asyncio.shield(running.finished), 10)

    stats = bench.run(test, stop_after=5, fault_plan=FaultPlan(faults=(Fault(500, 0.1),)))
    assert 5 == stats.accepted


def test_stopping_answers_what_is_unanswered(bench: Bench) -> None:
    """A request that was taken before the stop gets its answer; the port is free afterwards."""

    async def test(running: Running) -> None:
        posting = asyncio.create_task(running.client.post("/", json={}))
        while not running.receiver.unanswered:
            await asyncio.sleep(0.01)
        running.receiver.stop()
        assert 204 == (await posting).status_code
        await asyncio.wait_for(asyncio.shield(running.finished), 10)
        with socket.create_server(("127.0.0.1", running.port)):
            pass

    bench.run(test, delay=timedelta(milliseconds=200))


def test_a_taken_port_is_named(bench: Bench) -> None:
    """The message names the address and how to get another one."""

    async def test(running: Running) -> None:
        with pytest.raises(HooklineError, match=f"cannot listen on 127.0.0.1:{running.port}: ") as caught:
            async with bench.start(port=running.port):
                pass
        assert caught.value.hint is not None
        assert "--listen" in caught.value.hint

    bench.run(test)


def test_many_connections_lose_and_mix_up_nothing(bench: Bench) -> None:
    """Each of 1,500 requests over 30 connections is answered once and recorded once."""
    record = io.BytesIO()

    async def test(running: Running) -> None:
        async def one(lane: int) -> int:
            requests = b"".join(
                b"POST / HTTP/1.1\r\nHost: x\r\nwebhook-id: %d-%d\r\nContent-Length: 2\r\n%s\r\n{}"
                % (lane, number, b"Connection: close\r\n" if number == 49 else b"")
                for number in range(50)
            )
            return (await running.talk(requests)).count(b" 204 ")

        assert [50] * 30 == await asyncio.wait_for(asyncio.gather(*map(one, range(30))), 60)

    stats = bench.run(test, record)
    ids = [json.loads(line)["headers"]["webhook-id"] for line in record.getvalue().splitlines()]
    assert {f"{lane}-{number}" for lane in range(30) for number in range(50)} == set(ids)
    assert (1500, 1500, 0) == (len(ids), len(stats.ids), stats.repeated)
