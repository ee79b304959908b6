"""The address of a topic."""

from __future__ import annotations

import pytest

from hookline.errors import WrongUse
from hookline.relay.sources.broker.open_broker import require_address
from hookline.relay.sources.kafka.kafka_address import KafkaAddress, kafka_address


def parsed(text: str) -> KafkaAddress:
    return kafka_address(require_address(text))


@pytest.mark.parametrize(
    ("text", "bootstrap", "tls"),
    [
        ("kafka://kafka.example.net/feedback?group=g", "kafka.example.net:9092", True),
        ("kafka://kafka.example.net:9093/feedback?group=g&tls=on", "kafka.example.net:9093", True),
        ("kafka://localhost/feedback?group=g", "localhost:9092", False),
        ("kafka://127.0.0.1:9000/feedback?group=g&tls=on", "127.0.0.1:9000", True),
        ("kafka://[::1]:9000/feedback?group=g&tls=off", "[::1]:9000", False),
        ("kafka://[2001:db8::1]/feedback?group=g", "[2001:db8::1]:9092", True),
    ],
)
def test_connections_use_tls_except_to_this_machine(text: str, bootstrap: str, tls: bool) -> None:
    """Between machines there is no way to turn it off."""
    found = parsed(text)
    assert (bootstrap, tls) == (found.bootstrap, found.tls)


def test_a_partition_is_a_source() -> None:
    """Its name has no port, and its position names the group."""
    address = parsed("kafka://[::1]:9000/feedback?group=team%20a/b&mechanism=plain")
    assert "kafka://[::1]/feedback/3" == address.source(3)
    assert "kafka://[::1]/feedback/3?group=team%20a%2Fb" == address.position_name(3)
    assert "PLAIN" == address.mechanism


def test_the_key_of_a_position_is_that_of_cluster_group_topic_and_partition() -> None:
    """Another name of a broker leads to the same position."""
    one = parsed("kafka://a.example.net/t?group=g")
    assert one.key("c", 1) == parsed("kafka://b.example.net:1/t?group=g&tls=on").key("c", 1)
    others = {
        one.key("c", 2), one.key("d", 1), parsed("kafka://a/u?group=g").key("c", 1),
        parsed("kafka://a/t?group=h").key("c", 1), one.key("c", 11), one.key("c", 1),
    }  # fmt: skip
    assert 6 == len(others)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kafka://h/t", "group is missing"),
        ("kafka://h?group=g", "name of one topic"),
        ("kafka://h/t/u?group=g", "name of one topic"),
        ("kafka://h/..?group=g", "name of one topic"),
        (f"kafka://h/{'t' * 250}?group=g", "name of one topic"),
        ("kafka://h/t?group=g&tls=no", "neither on nor off"),
        ("kafka://h/t?group=g&tls=off", "need TLS"),
        ("kafka://h/t?group=g&mechanism=GSSAPI", "mechanism is none of"),
        ("nats2://h/t?group=g", "not a path"),
    ],
)
def test_other_addresses_are_refused(text: str, reason: str) -> None:
    """With an example."""
    with pytest.raises(WrongUse, match=reason) as refused:
        parsed(text)
    assert refused.value.hint
