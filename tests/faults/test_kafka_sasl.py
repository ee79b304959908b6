"""Brokers of Kafka that demand a user: the real client of the relay logs in, or ends with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from contract.memory_spool import Data, MemorySpool
from hookline.errors import HooklineError
from hookline.relay.sources.broker.open_broker import BrokerOptions, open_broker
from hookline.relay.sources.timing import Timing
from kafka_cluster import kafka_cluster
from kafka_reader import Reader
from sasl_gateway import Gateway, sasl_gateway
from source_reader import Notebook


@contextmanager
def demanding_cluster() -> Iterator[Gateway]:
    """A topic with two messages, behind a gateway that lets one user in."""
    with kafka_cluster() as cluster, sasl_gateway(cluster.ports[0], "relay", "s3cret") as gateway:
        cluster.create("feedback", 1)
        cluster.produce("feedback", 0, b"one", b"two")
        cluster.call("broker_set_host_port", 1, "localhost", gateway.port)
        yield gateway


def read(gateway: Gateway, mechanism: str, credentials: bytes | None) -> list[bytes]:
    address = f"kafka://localhost:{gateway.port}/feedback?group=g&mechanism={mechanism}"
    spool, notes = MemorySpool(Data()), Notebook()
    options = BrokerOptions(follow=False, credentials=credentials)
    source = open_broker(address, spool.positions, options, logger=notes, timing=Timing(wait_seconds=0.1))
    try:
        return Reader(source, spool, notes).read_to_end()
    finally:
        source.finish()
        source.close()


@pytest.mark.parametrize("mechanism", ["scram-sha-512", "scram-sha-256", "plain"])
def test_the_user_is_known(mechanism: str) -> None:
    """By each mechanism that an address can name. Nothing is sent before the login."""
    with demanding_cluster() as gateway:
        assert [b"one", b"two"] == read(gateway, mechanism, b"relay:s3cret")
        assert {mechanism.upper()} == set(gateway.logins)
        assert 0 == gateway.early


@pytest.mark.parametrize("credentials", [b"relay:wr0ng", b"stranger:s3cret"])
def test_a_wrong_user_is_refused(credentials: bytes) -> None:
    """The run ends with the reason of the broker and the option, and without the password."""
    with demanding_cluster() as gateway, pytest.raises(HooklineError) as refused:
        read(gateway, "scram-sha-512", credentials)
    assert "this user is refused" in refused.value.message
    assert "--source-credentials" in (refused.value.hint or "")
    assert "wr0ng" not in refused.value.message
    assert [] == gateway.logins
