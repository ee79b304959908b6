"""The receiver's check of signatures."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook

from hookline.errors import KeyUnusable
from hookline.http_connection import HttpRequest
from hookline.receiver.signature_verifier import SignatureVerifier, read_signature_keys

NOW = 1_800_000_000
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
PRIVATE = Ed25519PrivateKey.generate()
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
V1 = Webhook(SECRET).sign("id", datetime.fromtimestamp(NOW, UTC), "{}")
V1A = "v1a," + base64.b64encode(PRIVATE.sign(f"id.{NOW}.{{}}".encode())).decode()


def verifier(directory: Path, *lines: str, now: float = NOW) -> SignatureVerifier:
    path = directory / "secrets"
    path.write_text("".join(f"{line}\n" for line in lines))
    return SignatureVerifier(read_signature_keys(path), clock=lambda: now)


def request(signature: str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    own = {"webhook-id": "id", "webhook-timestamp": str(NOW), "webhook-signature": signature}
    return HttpRequest(
        "POST", "/", {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}, body
    )


@pytest.mark.parametrize(
    "signature",
    [V1, V1A, f"v2,x {V1}", f"v1,AAAA {V1A}", f"v1,? {V1}", f"  {V1}"],
    ids=["v1", "v1a", "unknown-version", "other-key", "rubbish", "spaces"],
)
def test_one_that_holds_is_enough(tmp_path: Path, signature: str) -> None:
    """Among unknown versions, other keys and rubbish, one signature of a known key counts."""
    assert verifier(tmp_path, SECRET, PUBLIC).check(request(signature)) is True


@pytest.mark.parametrize(
    "refused",
    [
        request(V1, b"{ }"),
        request(V1, webhook_id="di"),
        request(V1, webhook_timestamp=str(NOW + 1)),
        request(V1.replace("v1,", "v1a,")),
        request(V1A.replace("v1a,", "v1,")),
        request(""),
        request(" ".join(["v1,AAAA"] * 16 + [V1])),
    ],
)
def test_whatever_is_changed_is_found(tmp_path: Path, refused: HttpRequest) -> None:
    """Body, id and time are all bound, and a signature of one kind is never taken for another."""
    assert "no signature matches a key" == verifier(tmp_path, SECRET, PUBLIC).check(refused)


@pytest.mark.parametrize(("after", "words"), [(301, "signed 301 s ago"), (-301, "signed 301 s from now")])
def test_recordings(tmp_path: Path, after: int, words: str) -> None:
    """A good signature of a time that is more than five minutes away is refused."""
    assert words in str(verifier(tmp_path, SECRET, now=NOW + after).check(request(V1)))
    assert verifier(tmp_path, SECRET, now=NOW + after * 300 / 301).check(request(V1)) is True


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A request without one of the three headers, or with a time that is none, is refused in words."""
    check = verifier(tmp_path, SECRET).check
    assert "lacks one of the headers webhook-id" in str(check(replace(request(V1), headers={})))
    assert "not a number" in str(check(request(V1, webhook_timestamp="1e9")))


@pytest.mark.parametrize("content", ["", "whsec_\n", "whsec_ü!\n", "whsk_AAAA\n", f"{SECRET}\nwhpk_AAAA\n"])
def test_unusable_secrets(tmp_path: Path, content: str) -> None:
    """A file without secrets, or with one that is none, ends the start with a message that does not repeat it."""
    (tmp_path / "secrets").write_text(content)
    with pytest.raises(KeyUnusable) as caught:
        read_signature_keys(tmp_path / "secrets")
    assert "AAAA" not in caught.value.message
    with pytest.raises(KeyUnusable, match="cannot read"):
        read_signature_keys(tmp_path / "missing")
