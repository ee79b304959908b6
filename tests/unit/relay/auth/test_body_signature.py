"""Signatures of bodies, held against other implementations of Standard Webhooks."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from standardwebhooks import Webhook

from hookline.errors import KeyUnusable
from hookline.relay.auth.body_signature import BodySigner, load_signature_key, public_text
from hookline.relay.http.exchange import Attempt
from hookline.relay.http.request import attempt_headers, attempt_lines
from hookline.relay.secrets import Secret

# Made by the npm package standardwebhooks 1.1.1.
VECTORS = json.loads((Path(__file__).parents[3] / "facts" / "standard-webhooks-vectors.json").read_bytes())
ED25519 = Ed25519PrivateKey.generate()
SEED = ED25519.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
PUBLIC = ED25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def text(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def signer(*secrets: str) -> BodySigner:
    return BodySigner(load_signature_key(Secret(each.encode()), "k") for each in secrets)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["body"][:8])
def test_what_the_npm_package_signs(vector: dict[str, str]) -> None:
    """The same secret, id, time and body have the signature that the npm package gives them."""
    attempt = Attempt(bytes.fromhex(vector["id"]), vector["body"].encode(), 1, float(vector["timestamp"]) + 0.9)
    assert vector["signature"] == signer(vector["secret"]).sign(attempt)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_verified_by_the_package_of_pypi(size: int) -> None:
    """The PyPI package finds its signature among those of other keys and kinds, and refuses a changed body."""
    secret, other = text("whsec_", b"s" * size), text("whsec_", b"o" * 32)
    attempt = Attempt(b"\x01" * 16, '{"name":"反馈 🙂"}'.encode(), 1, time.time())
    value = signer(text("whsk_", SEED), other, secret).sign(attempt)
    headers = {name.decode(): content.decode() for name, content in attempt_headers(attempt, value)}
    assert {"name": "反馈 🙂"} == Webhook(secret).verify(attempt.body, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secret).verify(attempt.body + b" ", headers)


def test_asymmetric() -> None:
    """An Ed25519 signature is verified with nothing but the public key that is handed out."""
    attempt = Attempt(b"\x01" * 16, b"{}", 1, 1_800_000_000.7)
    key = load_signature_key(Secret(text("whsk_", SEED).encode() + b"\n"), "k")
    version, _, signature = BodySigner([key]).sign(attempt).partition(",")
    public = public_text(key)
    assert "v1a" == version
    assert text("whpk_", PUBLIC) == public
    handed_out = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    handed_out.verify(base64.b64decode(signature), attempt.id.hex().encode() + b".1800000000.{}")


def test_a_pair_is_its_seed() -> None:
    """A private key that is followed by its public half signs like its seed."""
    attempt = Attempt(b"\x01" * 16, b"{}", 1, 0.0)
    assert signer(text("whsk_", SEED)).sign(attempt) == signer(text("whsk_", SEED + PUBLIC)).sign(attempt)


def test_one_signature_a_key_in_their_order() -> None:
    """Every key signs; the values are in the order of the keys, with one space between."""
    secrets = [text("whsec_", b"a" * 32), text("whsk_", SEED), text("whsec_", b"b" * 32)]
    attempt = Attempt(b"\x01" * 16, b"{}", 1, 0.0)
    assert " ".join(signer(each).sign(attempt) for each in secrets) == signer(*secrets).sign(attempt)


def test_both_forms_of_the_headers() -> None:
    """A signature is one more header in either form, and none where there is no signature."""
    attempt = Attempt(b"\x01" * 16, b"{}", 1, 0.0)
    assert (b"webhook-signature", b"v1,x") in attempt_headers(attempt, "v1,x")
    assert b"\r\nwebhook-signature: v1,x\r\n" in attempt_lines(attempt, "v1,x")
    assert b"webhook-signature" not in attempt_lines(attempt)
    assert b"webhook-signature" not in dict(attempt_headers(attempt))


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("c2VjcmV0" * 6, "does not begin with whsec_ or whsk_"),
        (text("whpk_", PUBLIC), "does not begin with whsec_ or whsk_"),
        ("whsec_s3cr3t!", "is not base64 after whsec_"),
        ("whsk_" + "a" * 43, "is not base64 after whsk_"),
        ("whsec_", "holds 0 bytes after whsec_, not 24 to 64"),
        (text("whsec_", b"s" * 23), "holds 23 bytes"),
        (text("whsec_", b"s" * 65), "holds 65 bytes"),
        (text("whsk_", SEED + b"x"), "holds 33 bytes after whsk_, not 32 or 64"),
        (text("whsk_", SEED + b"x" * 32), "its public half belongs to another key"),
    ],
    ids=["bare", "public", "no-base64", "no-base64-of-a-key", "empty", "short", "long", "odd", "foreign-half"],
)
def test_unusable(secret: str, words: str) -> None:
    """A secret of another form or size is refused with the fault and a hint, and the message does not contain it."""
    with pytest.raises(KeyUnusable) as caught:
        load_signature_key(Secret(secret.encode()), "{file: k}")
    assert caught.value.message.startswith("signature key {file: k}: ")
    assert words in caught.value.message
    assert secret[6:] == "" or secret[6:] not in f"{caught.value.message}{caught.value.hint}"
