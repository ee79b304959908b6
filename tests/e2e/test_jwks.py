"""`hookline jwks` as a user runs it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from builders import private_key, private_pem, webhook
from canonical_writer import write_webhook
from hookline.cli.main import main
from hookline.model import (
    Address,
    Authentication,
    Channel,
    EnvRef,
    FileRef,
    JwtAuthentication,
    NoAuthentication,
    SigningKey,
)
from hookline.relay.auth.jwt_signer import JwtSigner
from hookline.relay.auth.keys import load_key
from hookline.relay.secrets import Secret
from hookline.state.factory import open_state
from hookline.state.store import HistoryEntry

pytestmark = pytest.mark.usefixtures("private_files")

ADDRESS = Address("acme@Org", "prod")
JWT = JwtAuthentication(
    algorithm="ES256", keys=(SigningKey("new", FileRef("new.pem")), SigningKey("old", FileRef("old.pem")))
)


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a state and secrets, as the environment of the command names them."""
    monkeypatch.chdir(tmp_path)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    monkeypatch.setenv("HOOKLINE_SECRETS_DIR", str(secrets))
    for name in ("new.pem", "old.pem"):
        (secrets / name).write_bytes(private_pem(private_key()))
    apply(ADDRESS, JWT)
    apply(Address("acme@Org", "plain"), NoAuthentication())
    apply(Address("acme@Org", "shared"), replace(JWT, algorithm="HS256", keys=(SigningKey("k", FileRef("hmac")),)))
    (secrets / "hmac").write_text("k" * 32)
    return secrets


def apply(address: Address, authentication: Authentication) -> None:
    described = webhook(address, channels=frozenset({Channel.EMAIL}), authentication=authentication)
    entry = HistoryEntry(
        at=datetime.now(UTC), who="test", commit=None, branch=None, fingerprint="sha256:0", changes=()
    )
    store = open_state(".hookline/state.db")
    store.commit(store.read(), {address: write_webhook(described)}, entry)


def test_a_receiver_can_verify_with_it(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed set verifies a token of the webhook, holds both keys in their order, and nothing private."""
    assert main(["jwks", "acme@Org/prod"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    printed = json.loads(out)
    expected = [{"kid": name, "alg": "ES256", "use": "sig", "kty": "EC", "crv": "P-256"} for name in ("new", "old")]
    assert expected == [{name: key[name] for name in expected[0]} for key in printed["keys"]]
    assert all({"x", "y"} == key.keys() - expected[0].keys() for key in printed["keys"])

    key = load_key(Secret((applied / "new.pem").read_bytes()), "ES256", "new")
    token = JwtSigner(JWT, key, url="https://hooks.acme.test/", random=bytes).token(1_800_000_000)
    claims = jwt.decode(token, KeySet.import_key_set(printed)).claims
    assert claims["aud"] == "https://hooks.acme.test"


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("acme@Org/prd", 1, "did you mean acme@Org/prod"),
        ("nobody/nowhere", 1, "`hookline list`"),
        ("acme", 64, "ORGANIZATION/SANDBOX"),
        ("acme@Org/plain", 1, "authentication has the type none"),
        ("acme@Org/shared", 1, "HS256 is symmetric"),
    ],
)
def test_refused(applied: Path, capsys: pytest.CaptureFixture[str], address: str, code: int, words: str) -> None:
    """An unknown address, and a webhook without public keys, are refused with the next step and no output."""
    assert code == main(["jwks", address])
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "hint:" in err


def test_wrong_key(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One key that does not fit fails the command: half a set would break the receiver at the next rotation."""
    (applied / "old.pem").write_bytes(private_pem(private_key("EdDSA")))
    assert main(["jwks", "acme@Org/prod"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "key 'old': ES256 needs an EC key, found a key of type Ed25519" in err


def test_missing_key(applied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that is not there is named by its reference and its place."""
    (applied / "old.pem").unlink()
    assert main(["jwks", "acme@Org/prod"]) == 1
    assert "{file: old.pem}: cannot read" in capsys.readouterr().err


def test_by_organization(applied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --secrets-by-organization a key elsewhere is refused, and one that belongs to the organization is read."""
    assert main(["jwks", "acme@Org/prod", "--secrets-by-organization"]) == 1
    assert "leads out of" in capsys.readouterr().err
    monkeypatch.setenv("HOOKLINE_SECRET_ACME_ORG__KEY", (applied / "new.pem").read_text())
    apply(ADDRESS, replace(JWT, keys=(SigningKey("env", EnvRef("HOOKLINE_SECRET_ACME_ORG__KEY")),)))
    assert main(["jwks", "acme@Org/prod", "--secrets-by-organization"]) == 0
    assert [key["kid"] for key in json.loads(capsys.readouterr().out)["keys"]] == ["env"]


def test_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a state there is nothing to look a key up in."""
    monkeypatch.chdir(tmp_path)
    assert main(["jwks", "acme/prod"]) == 8
    assert "hookline apply" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has an example."""
    assert main(["jwks", "--help"]) == 0
    assert "Example: hookline jwks" in capsys.readouterr().out
