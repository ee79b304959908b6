"""Credentials in the content of one secret. Real servers check them in test_nats_access.py."""

from __future__ import annotations

import pytest

from hookline.errors import HooklineError
from hookline.relay.sources.nats.nats_credentials import parse_credentials


@pytest.mark.parametrize(
    ("secret", "options"),
    [
        (b"relay:s3cret\n", {"user": "relay", "password": "s3cret"}),
        (b"relay:s3:cret", {"user": "relay", "password": "s3:cret"}),
        (b"s3cret\n", {"token": "s3cret"}),
    ],
)
def test_a_user_with_a_password_or_a_token(secret: bytes, options: dict[str, str]) -> None:
    """A secret with a colon is a user and a password."""
    assert options == parse_credentials(secret).client_options()


def test_credentials_are_not_shown() -> None:
    """Not in a message of an error, and not in a traceback."""
    assert "s3cret" not in repr(parse_credentials(b"relay:s3cret"))


@pytest.mark.parametrize(
    "secret",
    [
        b"SU" + b"A" * 56,
        b"-----BEGIN NATS USER JWT-----\nabc\n------END NATS USER JWT------\n",
        b"-----BEGIN NATS USER JWT-----\nabc\n------END NATS USER JWT------\n\n"
        b"-----BEGIN USER NKEY SEED-----\nSUAA1\n------END USER NKEY SEED------\n",
        b"\xff:secret",
    ],
)
def test_a_damaged_secret_is_refused(secret: bytes) -> None:
    """The message names the forms, and shows nothing of the secret."""
    with pytest.raises(HooklineError) as refused:
        parse_credentials(secret)
    assert "--source-credentials" in refused.value.message
    assert secret.decode("latin-1") not in refused.value.message
