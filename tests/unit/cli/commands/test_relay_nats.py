"""Addresses of NATS streams on the command line of `relay`."""

from __future__ import annotations

import pytest

from hookline.cli.main import main


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        (("nats://relay:s3cret@localhost/EVENTS?durable=a",), "holds no user and no password"),
        (("nats://localhost/EVENTS",), "no valid name of a durable consumer"),
        (("nats://localhost/?durable=a",), "no name of one stream"),
        (("nats://localhost/EVENTS?durable=a&password=s3cret",), "a parameter that hookline does not know"),
        (("nats://localhost/EVENTS?durable=a", "events.ndjson"), "the only source of its run"),
        (("--from-start", "nats://localhost/EVENTS?durable=a"), "--from-start"),
    ],
)
def test_an_address_that_cannot_be_used(
    sources: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is wrong use, with the next step, and without a part of the address that could be a password."""
    assert 64 == main(["relay", *sources])
    shown = capsys.readouterr().err
    assert reason in shown
    assert "hint: " in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("reference", ["s3cret", "env:s3cret", "env:PATH", "file:", "env:HOOKLINE_SECRET"])
def test_a_secret_itself_is_no_reference(reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The value may be a password, so that it is not shown. A variable needs the prefix of secrets."""
    assert 64 == main(["relay", "--source-credentials", reference, "nats://localhost/EVENTS?durable=a"])
    shown = capsys.readouterr().err
    assert "env:HOOKLINE_SECRET_NAME, or file:PATH" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--source-certificate", "env:HOOKLINE_SECRET_PEM"), "write file:PATH below --secrets-dir"),
        (("--source-key", "file:key.pem"), "--source-key needs --source-certificate"),
    ],
)
def test_a_certificate_is_a_file_with_its_key(
    options: tuple[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library reads the files itself."""
    assert 64 == main(["relay", *options, "nats://localhost/EVENTS?durable=a"])
    assert reason in capsys.readouterr().err
