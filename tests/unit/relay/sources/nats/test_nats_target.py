"""The stream and consumer in an address."""

from __future__ import annotations

import pytest

from hookline.errors import WrongUse
from hookline.relay.sources.broker.source_address import SourceAddress, parse_source_address
from hookline.relay.sources.nats.nats_target import NATS_EXAMPLE, NATS_PARAMETERS, NatsTarget, nats_target


def address(text: str) -> SourceAddress:
    return parse_source_address(text, {"nats": (NATS_EXAMPLE, NATS_PARAMETERS)})


def target(host: str, port: int | None = None) -> NatsTarget:
    return NatsTarget(host=host, port=port, stream="EVENTS", durable="hookline")


@pytest.mark.parametrize(
    ("text", "name", "server"),
    [
        ("nats://Host.example.net/EVENTS?durable=a", "nats://host.example.net/EVENTS", ("host.example.net", 4222)),
        ("nats://[::1]:4333/EVENTS?durable=a", "nats://[::1]:4333/EVENTS", ("::1", 4333)),
    ],
)
def test_the_name_of_the_source_is_the_address_without_parameters(
    text: str, name: str, server: tuple[str, int]
) -> None:
    """It is the place of a dead letter. The port of the server is 4222 by default."""
    found = nats_target(address(text))
    assert (name, server) == (found.name, found.server)


@pytest.mark.parametrize("rest", ["", "EVENTS", "EVENTS?durable=a.b", "a.b?durable=a", "a/b?durable=a", "?durable=a"])
def test_an_address_without_stream_or_consumer_is_refused(rest: str) -> None:
    """The message gives an example."""
    with pytest.raises(WrongUse) as refused:
        nats_target(address(f"nats://host/{rest}"))
    assert NATS_EXAMPLE in (refused.value.hint or "")


def test_only_this_machine_is_reached_without_tls() -> None:
    """Neither the named server nor another one of its cluster may be on another machine."""
    assert target("127.0.0.1").allows_plaintext("127.0.0.1")
    assert not target("127.0.0.1").allows_plaintext("10.0.0.1")
    assert not target("10.0.0.1").allows_plaintext("127.0.0.1")
