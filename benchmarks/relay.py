"""How fast is the relay, stage by stage, beside a plain httpx client and beside what the receiver can take?

    python benchmarks/relay.py [EVENTS]

One run on one machine: a `hookline receive` process over TLS on loopback, 16 connections. Figures are events a
second; the last column is the share of the limit. The machine's noise is in them: compare the ratios, run it again.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ORGANIZATION, SANDBOX, CONNECTIONS = "bench@AdobeOrg", "prod", 16
HOOKLINE = (sys.executable, "-m", "hookline")


def event(number: int) -> bytes:
    """One line of the platform's dataset; two events for each message, as sent and delivered are."""
    return json.dumps(
        {
            "_id": f"event-{number}", "eventType": "message.feedback", "timestamp": "2026-05-18T17:01:25.000Z",
            "identityMap": {"email": [{"id": f"user{number // 2}@example.com", "primary": True}]},
            "_experience": {"customerJourneyManagement": {
                "messageExecution": {
                    "messageExecutionID": f"message-{number // 2}", "messageType": "transactional",
                    "campaignID": "16f24a15-7e21-477c-848a-d5695ca7f137",
                    "campaignVersionID": "2ca10c10-56dd-4505-87cd-fa5da84e7a5d"},
                "messageProfile": {"channel": {"_id": "https://ns.adobe.com/xdm/channels/email"},
                                   "requestID": f"request-{number // 2}"},
                "messageDeliveryfeedback": {"feedbackStatus": ("sent", "delivered")[number % 2], "retryCount": 0}}},
        },
        separators=(",", ":"),
    ).encode() + b"\n"  # fmt: skip


@contextmanager
def receiver(directory: Path) -> Iterator[int]:
    """A receiver that accepts everything, and its port."""
    process = subprocess.Popen(
        (*HOOKLINE, "receive", "--listen", "127.0.0.1:0", "--tls-dir", "tls", "--port-file", "port", "--quiet",
         "--no-verify-payload"),
        cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (directory / "port").exists():
            if process.poll() is not None:
                raise SystemExit("the receiver did not start")
            time.sleep(0.02)
        yield int((directory / "port").read_text())
    finally:
        process.terminate()
        process.wait()


def apply(directory: Path, port: int, *, enabled: bool) -> None:
    (directory / "webhooks").mkdir(exist_ok=True)
    (directory / "webhooks" / "bench.yaml").write_text(json.dumps({
        "version": 1, "organization": ORGANIZATION, "sandbox": SANDBOX, "name": "bench", "channels": ["email"],
        "url": f"https://localhost:{port}/feedback", "campaigns": "all", "enabled": enabled,
        "delivery": {"concurrency": CONNECTIONS},
    }))  # fmt: skip
    subprocess.run((*HOOKLINE, "apply", "--auto-approve"), cwd=directory, check=True, stdout=subprocess.DEVNULL)


def relay(directory: Path, *options: str) -> float:
    """Seconds of one relay run, start-up included."""
    started = time.perf_counter()
    subprocess.run(
        (*HOOKLINE, "relay", "--organization", ORGANIZATION, "--sandbox", SANDBOX, "--allow-network", "127.0.0.0/8",
         "--allow-network", "::1/128", "--ca-file", "tls/ca.pem", "--log-level", "warning", *options),
        cwd=directory, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started


async def plain_httpx(directory: Path, port: int, bodies: list[bytes]) -> float:
    """The peer: one httpx client with as many connections and no durability."""
    trust = ssl.create_default_context(cafile=directory / "tls" / "ca.pem")
    pending = iter(bodies)
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)

    async def work(client: httpx.AsyncClient) -> None:
        for body in pending:
            (await client.post(f"https://localhost:{port}/", content=body)).raise_for_status()

    started = time.perf_counter()
    async with httpx.AsyncClient(verify=trust, trust_env=False, limits=limits, timeout=60) as client:
        await asyncio.gather(*(work(client) for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


async def bare_sockets(directory: Path, port: int, bodies: list[bytes]) -> float:
    """The limit: prepared bytes on bare TLS connections, answers read to the end of their head and no further."""
    trust = ssl.create_default_context(cafile=directory / "tls" / "ca.pem")
    pending = iter(bodies)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trust)
        for body in pending:
            writer.write(
                b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


def main(events: int = 5_000) -> None:
    lines = [event(number) for number in range(events)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "events").write_bytes(b"".join(lines))
        with receiver(directory) as port:
            apply(directory, port, enabled=True)
            rows = [("read and route (dry run)", relay(directory, "--dry-run", "events"))]
            apply(directory, port, enabled=False)
            rows.append(("read into the spool, synced", relay(directory, "events")))
            apply(directory, port, enabled=True)
            rows.append(("deliver from the spool", relay(directory, "--drain")))
            rows.append(("read and deliver", relay(directory, "--spool", "another", "events")))
            rows.append(("peer: httpx, not durable", asyncio.run(plain_httpx(directory, port, lines))))
            rows.append(("limit: bare sockets", asyncio.run(bare_sockets(directory, port, lines))))
    limit = rows[-1][1]
    print(f"{events} events, {CONNECTIONS} connections")
    for what, seconds in rows:
        print(f"{what:<30} {events / seconds:>9,.0f} events/s  {limit / seconds:>7.0%} of the limit")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
