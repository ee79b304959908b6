"""Addresses of sources in a distributed log."""

from __future__ import annotations

import pytest

from hookline.errors import WrongUse
from hookline.relay.sources.broker.source_address import find_address, is_this_machine, parse_source_address

KNOWN = {"kafka": ("kafka://host/topic?group=name", ("group", "tls"))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka://events.example.net:9093/feedback?group=hook%20line", ("events.example.net", 9093, "feedback")),
        ("KAFKA://Events/feedback", ("events", None, "feedback")),
        ("kafka://[::1]:9092/a/b", ("::1", 9092, "a/b")),
        ("kafka://127.0.0.1", ("127.0.0.1", None, "")),
    ],
)
def test_an_address_is_split(text: str, expected: tuple[str, int | None, str]) -> None:
    """Scheme and host in lower case; the path as it is written."""
    found = parse_source_address(text, KNOWN)
    assert expected == (found.host, found.port, found.path)
    assert {"group": "hook line"} == found.parameters or not found.parameters


@pytest.mark.parametrize(
    "text",
    [
        "kafka://user:s3cret@host/topic?group=a",
        "kafka://s3cret@host/topic",
        "kafka://host/topic?password=s3cret",
        "kafka://host/topic?s3cret",
        "kafka://host/topic?group=a&group=s3cret",
        "kafka://host/topic?group=",
        "kafka://host:s3cret/topic",
        "kafka://host:/topic?group=s3cret",
        "kafka://host:0/topic?group=s3cret",
        "kafka://host:99999/s3cret",
        "kafka:///s3cret",
        "kafka://s3_-/cret?group=s3cret@x",
        "kafka://-s3cret/topic",
        "kafka://host/s3cret#x",
        "kafka://host/s3 cret",
        "kafka://host/topic?group=s3cret%ff",
        "kafka://[s3cret/topic",
        "amqp://user:s3cret@host/queue",
        "s3cret",
    ],
)
def test_an_unclear_address_is_refused_without_being_shown(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(WrongUse) as refused:
        parse_source_address(text, KNOWN)
    assert refused.value.message.startswith("FILE: ")
    assert refused.value.hint
    assert "s3" not in refused.value.message + refused.value.hint
    assert refused.value.__cause__ is None


def test_an_address_is_the_only_source() -> None:
    """Files are read by their checkpoints, a log by the positions of its parts."""
    assert find_address(["a", "-"]) is None
    assert "kafka://h/t" == find_address(["kafka://h/t"])
    with pytest.raises(WrongUse, match="the only source"):
        find_address(["kafka://h/t", "a"])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_hosts(host: str) -> None:
    """Connections to them stay on this machine."""
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["localhost.example.net", "10.0.0.1", "0.0.0.0", "::", "127.0.0.1.example.net"])
def test_other_hosts(host: str) -> None:
    """All others need TLS."""
    assert not is_this_machine(host)
