from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jwt
import pytest

from builders import private_key
from hookline.errors import KeyUnusable
from hookline.receiver.verification import MAX_CACHED_TOKENS, TokenVerifier, read_keys

NOW = 1_780_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"


class Party:
    """Signs tokens with one key, and writes the public half of it as a JWK Set."""

    def __init__(self, algorithm: str, kid: str = "k1") -> None:
        self.algorithm, self.kid = algorithm, kid
        self.key = private_key(algorithm)

    def jwk(self, **more: Any) -> dict[str, Any]:
        handler: Any = jwt.get_algorithm_by_name(self.algorithm)
        return {**json.loads(handler.to_jwk(self.key.public_key())), "kid": self.kid, **more}

    def token(self, *, algorithm: str | None = None, kid: str | None = None, **claims: Any) -> str:
        filled = {"exp": NOW + 300, "nbf": NOW, **claims}
        kept = {name: value for name, value in filled.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm or self.algorithm, headers={"kid": kid or self.kid})


def verifier(
    directory: Path, *jwks: dict[str, Any], secret: bytes | None = None, audience: str | None = None, now: float = NOW
) -> TokenVerifier:
    jwks_file, secret_file = directory / "jwks.json", directory / "secret"
    jwks_file.write_text(json.dumps({"keys": jwks}))
    secret_file.write_bytes(secret or b"")
    keys = read_keys(jwks_file if jwks else None, None if secret is None else secret_file)
    return TokenVerifier(keys, audience=audience, clock=lambda: now)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "RS256", "PS384"])
def test_a_token_that_fits_its_key_holds(tmp_path: Path, algorithm: str) -> None:
    """Each family of public keys is known, with and without an alg in the JWK."""
    party = Party(algorithm)
    for jwk in (party.jwk(), party.jwk(alg=algorithm)):
        assert True is verifier(tmp_path, jwk).check(f"Bearer {party.token()}")


def test_the_key_is_found_by_its_id(tmp_path: Path) -> None:
    """While keys rotate, both publish, and each token is checked with its own."""
    old, new = Party("ES256", "old"), Party("ES256", "new")
    check = verifier(tmp_path, old.jwk(), new.jwk()).check
    assert [True, True] == [check(f"Bearer {party.token()}") for party in (old, new)]
    assert "the signature does not match the key" == check(f"Bearer {old.token(kid='new')}")


def test_an_unknown_key_id_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    """A rotated key whose public half was not exchanged, the usual mistake, has its own message."""
    party = Party("ES256")
    found = verifier(tmp_path, party.jwk()).check(f"Bearer {party.token(kid='2027')}")
    assert "the key '2027' is not known (known: k1)" == found


@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ({"exp": NOW - 61}, "the token expired 61 s ago"),
        ({"nbf": NOW + 61}, "the token is not valid before 61 s from now"),
        ({"exp": None}, "the token has no claim exp"),
        ({"exp": "soon"}, "the claim exp is not a number"),
        ({"aud": "other"}, "the token is for another audience"),
        ({"aud": None}, "the token has no claim aud"),
    ],
)
def test_a_token_of_another_time_or_place_is_refused(tmp_path: Path, claims: dict[str, Any], complaint: str) -> None:
    """Expiry, begin and audience are checked, and the reason names the failed check."""
    party = Party("ES256")
    check = verifier(tmp_path, party.jwk(), audience="receiver").check
    assert complaint == check(f"Bearer {party.token(**{'aud': 'receiver', **claims})}")


@pytest.mark.parametrize("claims", [{"exp": NOW - 59}, {"nbf": NOW + 59}])
def test_a_minute_of_clock_difference_is_forgiven(tmp_path: Path, claims: dict[str, Any]) -> None:
    """Two machines' clocks are never the same."""
    party = Party("ES256")
    assert True is verifier(tmp_path, party.jwk()).check(f"Bearer {party.token(**claims)}")


def test_an_audience_does_not_matter_where_none_was_asked_for(tmp_path: Path) -> None:
    """Without --audience a token for any audience is valid."""
    party = Party("ES256")
    assert True is verifier(tmp_path, party.jwk()).check(f"Bearer {party.token(aud='anybody')}")


@pytest.mark.parametrize("kid", ["k1", None])
def test_an_unsigned_token_never_holds(tmp_path: Path, kid: str | None) -> None:
    """The algorithm none is not in any list."""
    token = jwt.encode({"exp": NOW + 300}, "", "none", headers={"kid": kid} if kid else {})
    found = verifier(tmp_path, Party("ES256").jwk()).check(f"Bearer {token}")
    assert isinstance(found, str)
    assert re.search("none is not allowed", found)


def test_a_public_key_is_not_an_hmac_secret(tmp_path: Path) -> None:
    """The algorithm comes from the key: an HS256 token that names a public key is refused, secret or not."""
    party = Party("RS256")
    token = jwt.encode({"exp": NOW + 300}, b"x" * 64, "HS256", headers={"kid": "k1"})
    assert "the algorithm HS256 is not allowed for the key 'k1'" == verifier(tmp_path, party.jwk()).check(
        f"Bearer {token}"
    )
    both = verifier(tmp_path, party.jwk(), secret=SECRET)
    assert "the signature does not match the key" == both.check(f"Bearer {token}")


def test_the_algorithm_of_the_jwk_is_the_only_one(tmp_path: Path) -> None:
    """A key published for RS256 does not verify PS256."""
    party = Party("RS256")
    found = verifier(tmp_path, party.jwk(alg="RS256")).check(f"Bearer {party.token(algorithm='PS256')}")
    assert "the algorithm PS256 is not allowed for the key 'k1'" == found


def test_a_shared_secret_verifies_what_it_is_long_enough_for(tmp_path: Path) -> None:
    """32 bytes do for HS256 and not for HS512 (RFC 7518 section 3.2); the editor's line end is not part of it."""
    check = verifier(tmp_path, secret=SECRET + b"\n").check
    tokens = [jwt.encode({"exp": NOW + 300}, SECRET * size, alg) for size, alg in ((1, "HS256"), (2, "HS512"))]
    assert [True, "the algorithm HS512 is not allowed"] == [check(f"Bearer {token}") for token in tokens]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "the request has no token"),
        ("Basic eA==", "the token's header does not have the form: Bearer TOKEN"),
        ("Bearer", "the token's header does not have the form: Bearer TOKEN"),
        ("Bearer x", "Not enough segments"),
    ],
)
def test_what_is_no_token_is_said_to_be_none(tmp_path: Path, value: str | None, complaint: str) -> None:
    """A header that is missing or of another form has its own sentence."""
    assert complaint == verifier(tmp_path, Party("ES256").jwk()).check(value)


def test_a_remembered_token_expires_all_the_same(tmp_path: Path) -> None:
    """Remembering saves the signature's check, never the time's."""
    party = Party("ES256")
    verifier(tmp_path, party.jwk())
    now = NOW
    checks = TokenVerifier(read_keys(tmp_path / "jwks.json", None), audience=None, clock=lambda: now)
    value = f"Bearer {party.token(exp=NOW + 10)}"
    assert True is checks.check(value)
    now = NOW + 69
    assert True is checks.check(value)
    now = NOW + 71
    assert "the token expired 61 s ago" == checks.check(value)


def test_one_time_tokens_do_not_fill_the_memory(tmp_path: Path) -> None:
    """The cache of valid tokens is bounded."""
    checks = verifier(tmp_path, secret=SECRET)
    for number in range(MAX_CACHED_TOKENS + 10):
        token = jwt.encode({"exp": NOW + 300, "jti": str(number)}, SECRET, "HS256")
        assert True is checks.check(f"Bearer {token}")
    assert MAX_CACHED_TOKENS == len(checks._valid_until)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "is not a JWK Set"),
        ("[]", "is not a JWK Set"),
        ('{"keys": []}', "contains no key"),
        ('{"keys": ["x"]}', "key 1 is not a JSON object"),
        ('{"keys": [{"kty": "oct", "k": "eHh4"}]}', "key 1 cannot be used: kty 'oct'"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}', "key 1 cannot be used"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_on_start(tmp_path: Path, text: str, complaint: str) -> None:
    """A receiver that would refuse every token fails at its start."""
    path = tmp_path / "jwks.json"
    path.write_text(text)
    with pytest.raises(KeyUnusable, match=complaint):
        read_keys(path, None)


def test_a_missing_file_or_a_short_secret_is_named_on_start(tmp_path: Path) -> None:
    """The message names the file and never its content."""
    with pytest.raises(KeyUnusable, match=r"none\.json: No such file"):
        read_keys(tmp_path / "none.json", None)
    (tmp_path / "short").write_text("hunter2")
    with pytest.raises(KeyUnusable, match="has 7 bytes") as caught:
        read_keys(None, tmp_path / "short")
    assert "hunter2" not in str(caught.value)
