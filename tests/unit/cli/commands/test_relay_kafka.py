"""Addresses of Kafka topics on the command line of `relay`."""

from __future__ import annotations

import pytest

from hookline.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("kafka://127.0.0.1/topic?group=g", "events.ndjson"), "the only source of its run"),
        (("kafka://user:s3cret@host/topic?group=g",), "holds no user and no password"),
        (("kafka://host/topic?group=g&password=s3cret",), "a parameter that hookline does not know"),
        (("kafka://host/topic",), "its group is missing"),
        (("kafka://host/?group=g",), "the name of one topic"),
        (("kafka://kafka.example.net/topic?group=g&tls=off",), "need TLS"),
        (("amqp://user:s3cret@host/queue",), "not a path: it is an address"),
        (("--drain", "kafka://127.0.0.1/topic?group=g"), "takes no FILE"),
        (("--dry-run", "--follow", "kafka://127.0.0.1/topic?group=g"), "--follow reads without an end"),
    ],
)
def test_wrong_use_is_refused(arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is opened, with the next step, and without a part of the address."""
    assert 64 == main(["relay", *arguments])
    shown = capsys.readouterr().err
    assert reason in shown
    assert "hint: " in shown
    assert "s3cret" not in shown
