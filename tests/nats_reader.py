"""Reads a NATS stream as the ingester does, for tests of the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hookline.relay.delivery_record import Line
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.nats.nats_client import verifying_context
from hookline.relay.sources.nats.nats_credentials import ANONYMOUS, NatsCredentials
from hookline.relay.sources.nats.nats_source import NatsOptions, NatsSource
from hookline.relay.sources.nats.nats_target import NatsTarget
from hookline.relay.sources.source import Batch, Position
from nats_server import NatsServer


class Lines:
    """The log of a source."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, object]]] = []

    def debug(self, what: str, **fields: object) -> None: ...

    def info(self, what: str, **fields: object) -> None:
        self.lines.append((what, fields))

    def warning(self, what: str, **fields: object) -> None:
        self.lines.append((what, fields))

    def texts(self) -> list[str]:
        return [what for what, _ in self.lines]


class Reader:
    """A source that is open, and the batches that it returned."""

    def __init__(self, source: NatsSource, log: Lines) -> None:
        self.source = source
        self.log = log
        self.batches: list[Batch] = []

    def read(self, *, acknowledge: bool = True) -> list[Line]:
        """The next lines; they are acknowledged as after their commit."""
        batch = self.source.read()
        self.batches.append(batch)
        if acknowledge:
            self.acknowledge(batch)
        return batch.lines

    def acknowledge(self, batch: Batch) -> None:
        if batch.on_durable is not None:
            batch.on_durable()

    def read_to_end(self, on_lines: Callable[[list[Line]], None] = lambda _: None) -> list[Line]:
        lines: list[Line] = []
        while not (self.batches and self.batches[-1].end):
            lines += self.read()
            on_lines(lines)
        return lines


@contextmanager
def nats_reader(
    server: NatsServer,
    stream: str,
    durable: str = "hookline",
    *,
    host: str = "127.0.0.1",
    follow: bool = False,
    preview: bool = False,
    credentials: NatsCredentials = ANONYMOUS,
    certificate: SourceCertificate | None = None,
    ca_file: Path | None = None,
    positions: tuple[Position, ...] = (),
    **target: Any,
) -> Iterator[Reader]:
    log = Lines()
    source = NatsSource(
        NatsTarget(host=host, port=server.port, stream=stream, durable=durable),
        NatsOptions(
            follow=follow,
            preview=preview,
            credentials=credentials,
            tls=verifying_context(ca_file, certificate),
            wait_seconds=2.0,
        ),
        lambda: list(positions),
        log,
    )
    try:
        yield Reader(source, log)
    finally:
        source.close()
