"""The settings of the client."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from hookline.errors import HooklineError
from hookline.relay.sources.broker.open_broker import require_address
from hookline.relay.sources.kafka.kafka_address import kafka_address
from hookline.relay.sources.kafka.kafka_settings import Setting, kafka_settings

REMOTE, LOCAL = "kafka://kafka.example.net/t?group=g", "kafka://localhost/t?group=g"


def settings(text: str, credentials: bytes | None = None, ca_file: Path | None = None) -> dict[str, Setting]:
    return kafka_settings(kafka_address(require_address(text)), credentials=credentials, ca_file=ca_file)


@pytest.mark.parametrize(
    ("text", "credentials", "protocol"),
    [
        (REMOTE, None, "SSL"),
        (REMOTE, b"u:p", "SASL_SSL"),
        (LOCAL, None, "PLAINTEXT"),
        (LOCAL, b"u:p", "SASL_PLAINTEXT"),
        (LOCAL + "&tls=on", b"u:p", "SASL_SSL"),
    ],
)
def test_the_protocol(text: str, credentials: bytes | None, protocol: str) -> None:
    """No credentials go to another machine without TLS."""
    assert protocol == settings(text, credentials)["security.protocol"]


def test_credentials() -> None:
    """A user and a password, which may have colons."""
    found = settings(REMOTE + "&mechanism=plain", b"team:a:b c\n")
    assert ("PLAIN", "team", "a:b c") == tuple(
        found[f"sasl.{name}"] for name in ("mechanism", "username", "password")
    )


@pytest.mark.parametrize("credentials", [b"s3cret", b":s3cret", b"s3cret:", b"s3cret:\xff", b"\n"])
def test_other_credentials_are_refused_without_being_shown(credentials: bytes) -> None:
    """They are a secret."""
    with pytest.raises(HooklineError, match="--source-credentials") as refused:
        settings(REMOTE, credentials)
    assert "s3cret" not in refused.value.message


def test_an_authority_is_added_to_those_of_the_system(tmp_path: Path) -> None:
    """The client would replace them."""
    own = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(own))
    with (tmp_path / "system.pem").open("w") as system, pytest.MonkeyPatch.context() as patch:
        system.write("# système\nsystem's\n")
        system.flush()
        patch.setenv("SSL_CERT_FILE", system.name)
        pem = str(settings(REMOTE, ca_file=own)["ssl.ca.pem"])
        assert "system's" in pem
        assert own.read_text().strip() in pem
        assert system.name == settings(REMOTE)["ssl.ca.location"]
    with pytest.raises(HooklineError, match="cannot use"):
        settings(REMOTE, ca_file=tmp_path / "missing")


def test_no_position_is_lost_or_replaced_silently() -> None:
    """The defaults of the library would commit by themselves, jump to the end of a log, and pause for a second."""
    found = settings(REMOTE)
    assert (False, "error") == (found["enable.auto.commit"], found["auto.offset.reset"])
    assert "cooperative-sticky" == found["partition.assignment.strategy"]
    assert int(found["fetch.queue.backoff.ms"]) < 100
