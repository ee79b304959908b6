"""Connections to Kafka with TLS. The mock cluster has none, so a proxy in front of it has."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from contract.https_server import server_context
from contract.memory_spool import Data, MemorySpool
from hookline.errors import HooklineError, WrongUse
from hookline.relay.sources.broker.open_broker import BrokerOptions, open_broker, require_address
from hookline.relay.sources.broker.source_certificate import SourceCertificate
from hookline.relay.sources.kafka.kafka_address import kafka_address
from hookline.relay.sources.kafka.kafka_consumer import KafkaConsumer
from hookline.relay.sources.kafka.kafka_settings import kafka_settings
from hookline.relay.sources.source import Position
from kafka_cluster import KafkaCluster, kafka_cluster
from kafka_reader import Reader, clock_of_speed
from server_thread import join_connections, server_thread
from source_reader import Notebook


@contextmanager
def tls_proxy(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Accepts TLS, and forwards to a port of this machine. Yields its own port."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker = await asyncio.open_connection("127.0.0.1", port)
        try:
            await join_connections((reader, writer), broker)
        finally:
            writer.close()
            broker[1].close()

    with server_thread(forward, context) as own:
        yield own


@contextmanager
def cluster_with_tls(
    certificate: trustme.LeafCert, clients: trustme.CA | None = None
) -> Iterator[tuple[KafkaCluster, str]]:
    """Yields the cluster, and the address of its topic with TLS. It demands a certificate of `clients`, if given."""
    context = server_context(certificate)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with kafka_cluster() as cluster, tls_proxy(cluster.ports[0], context) as port:
        cluster.create("feedback", 1)
        cluster.produce("feedback", 0, b"one", b"two")
        cluster.call("broker_set_host_port", 1, "localhost", port)
        yield cluster, f"kafka://localhost:{port}/feedback?group=g&tls=on"


def read(
    address: str, ca_file: Path, certificate: SourceCertificate | None = None, *, seconds_per_second: float = 1.0
) -> list[bytes]:
    """Opens the source as the relay does, and reads it to its end. Its clock has this speed."""
    spool, notes = MemorySpool(Data()), Notebook()
    options = BrokerOptions(follow=False, ca_file=ca_file, certificate=certificate)
    source = open_broker(address, spool.positions, options, logger=notes, timing=clock_of_speed(seconds_per_second))
    try:
        reader = Reader(source, spool, notes)
        return reader.read_to_end()
    finally:
        source.finish()
        source.close()


def test_a_topic_is_read_over_tls(tmp_path: Path) -> None:
    """The authority of the broker's certificate is that of --ca-file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with cluster_with_tls(authority.issue_cert("localhost")) as (_, address):
        assert [b"one", b"two"] == read(address, tmp_path / "ca.pem")


@pytest.mark.parametrize("own_key", [False, True])
def test_a_broker_that_demands_a_certificate(tmp_path: Path, own_key: bool) -> None:
    """It gets that of --source-certificate, and refuses a relay without one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = authority.issue_cert("relay@acme.example")
    client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    given = SourceCertificate(tmp_path / "client.pem", tmp_path / "key.pem" if own_key else None)
    with cluster_with_tls(authority.issue_cert("localhost"), authority) as (_, address):
        assert [b"one", b"two"] == read(address, tmp_path / "ca.pem", given)
        if not own_key:
            with pytest.raises(HooklineError, match="Kafka cannot be reached"):
                read(address, tmp_path / "ca.pem", seconds_per_second=30.0)


def test_a_certificate_needs_tls(tmp_path: Path) -> None:
    """It would not be sent, and the relay would seem to be authenticated."""
    with pytest.raises(WrongUse, match="--source-certificate needs TLS"):
        read("kafka://localhost/t?group=g", tmp_path, SourceCertificate(tmp_path / "client.pem"))


@pytest.mark.parametrize("fault", ["another authority", "another name"])
def test_a_wrong_certificate_is_refused(tmp_path: Path, fault: str) -> None:
    """Nothing is sent to the broker."""
    authority = trustme.CA()
    trusted = trustme.CA() if fault == "another authority" else authority
    trusted.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    name = "localhost" if fault == "another authority" else "kafka.example.net"
    with (
        cluster_with_tls(authority.issue_cert(name)) as (_, address),
        pytest.raises(HooklineError, match=r"Kafka cannot be reached: .*certificate"),
    ):
        read(address, tmp_path / "ca.pem")


def test_the_package_supports_the_settings(tmp_path: Path) -> None:
    """Of every mechanism. The client refuses settings that it was not built for."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for mechanism in ("scram-sha-512", "scram-sha-256", "plain"):
        target = kafka_address(require_address(f"kafka://kafka.example.net/t?group=g&mechanism={mechanism}"))
        settings = kafka_settings(target, credentials=b"user:password", ca_file=tmp_path / "ca.pem")
        KafkaConsumer(settings, "t", lambda text: None).close()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", None)
    monkeypatch.delitem(__import__("sys").modules, "hookline.relay.sources.kafka.kafka_consumer", raising=False)
    positions: list[Position] = []
    with pytest.raises(HooklineError, match="the package for Kafka cannot be loaded") as refused:
        open_broker("kafka://localhost/t?group=g", lambda: positions, BrokerOptions(follow=True), logger=Notebook())
    assert "pip install confluent-kafka" in str(refused.value.hint)
