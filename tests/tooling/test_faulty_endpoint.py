"""The endpoint of the fault tests does what its ledger says."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from faulty_endpoint import MANNERS, Choice, End, Endpoint, Ledger, running

BODY = b'{"requestId":"request-7"}'


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with running(tmp_path_factory.mktemp("rough") / "endpoint") as one:
        yield one


def request(path: str, identity: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nWebhook-Id: {identity}\r\nwebhook-timestamp: 1700000000\r\n"
        f"x-life: 3\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


async def exchange(endpoint: Endpoint, path: str, identity: str) -> tuple[bytes, End]:
    """What is answered to one request, and what becomes of the connection."""
    trust = ssl.create_default_context(cafile=str(endpoint.ca_file))
    reader, writer = await asyncio.open_connection("localhost", endpoint.port, ssl=trust)
    answer = b""
    try:
        async with asyncio.timeout(0.5 if path.endswith("hang") else 30):
            writer.write(request(path, identity))
            while not answer.endswith((b"\r\n\r\n", b"oops")):
                if not (part := await reader.read(4096)):
                    return answer, End.CLOSE
                answer += part
            writer.write(request(path, f"{identity}-again"))
            return answer, End.KEEP if await reader.read(1) else End.CLOSE
    except TimeoutError:
        return answer, End.HANG
    except ConnectionResetError:
        return answer, End.RESET
    finally:
        writer.transport.abort()


@pytest.mark.anyio
@pytest.mark.parametrize("name", MANNERS)
async def test_manner(endpoint: Endpoint, name: str) -> None:
    """Each manner answers, ends and writes down what it says."""
    manner = MANNERS[name]
    assert (manner.answer, manner.end) == await exchange(endpoint, f"/as/{name}", f"id-{name}")
    (entry,) = (one for one in Ledger(endpoint.ledger).news() if one.identity == f"id-{name}")
    assert (name, manner.accepts, 3, "request-7", 1_700_000_000) == (
        entry.manner, entry.accepted, entry.life, entry.request_id, entry.sent
    )  # fmt: skip


def test_chance() -> None:
    """Shares are shares, and the same seed chooses the same."""
    shares = [("error", 0.2), ("reset", 0.1)]
    first, second = (Choice(shares, Random(1)) for _ in range(2))
    chosen = [first.of("/feedback") for _ in range(2_000)]
    assert chosen == [second.of("/feedback") for _ in range(2_000)]
    assert {"accept", "error", "reset"} == set(chosen)
    assert Counter(chosen)["accept"] > 1_000 > Counter(chosen)["error"] > Counter(chosen)["reset"] > 0
