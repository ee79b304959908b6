import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc import jwt as jose_jwt
from joserfc.jwk import KeySet, OctKey

from builders import private_key, private_pem
from hookline.errors import KeyUnusable
from hookline.model import FileRef, JwtAuthentication, SigningKey
from hookline.relay.auth.jwks import jwk_set
from hookline.relay.auth.jwt_signer import JwtSigner, origin
from hookline.relay.auth.keys import load_key
from hookline.relay.secrets import Secret, SecretResolver

pytestmark = pytest.mark.usefixtures("private_files")

NOW = 1_800_000_000.25
URL = "https://hooks.acme.example/feedback"
ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
HMAC = {"HS256": b"k" * 32, "HS384": b"k" * 48, "HS512": b"k" * 64}
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


def authentication(algorithm: str = "HS256", **fields: Any) -> JwtAuthentication:
    keys = (SigningKey("2026-11", FileRef("new.pem")), SigningKey("2026-05", FileRef("old.pem")))
    plain = JwtAuthentication(algorithm=algorithm, keys=keys, issuer="https://acme.example", subject="hookline")
    return replace(plain, **fields)


def counting() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda size: next(numbers).to_bytes(size, "big")


def signer(described: JwtAuthentication, material: bytes = HMAC["HS256"], url: str = URL) -> JwtSigner:
    key = load_key(Secret(material), described.algorithm, described.keys[0].id)
    return JwtSigner(described, key, url=url, random=counting())


def claims(token: str) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_verified_through_the_jwk_set(algorithm: str, tmp_path: Path) -> None:
    """Two other libraries verify a token of every asymmetric algorithm with nothing but the exported JWK Set."""
    for name in ("new.pem", "old.pem"):
        (tmp_path / name).write_bytes(private_pem(private_key(algorithm)))
    described = authentication(algorithm)
    resolver = SecretResolver(environment={}, directory=tmp_path)
    exported: Any = jwk_set(described, resolver, "acme", NOW)
    token = signer(described, (tmp_path / "new.pem").read_bytes()).token(NOW)

    by_id = {key.key_id: key for key in jwt.PyJWKSet.from_dict(exported).keys}
    found = by_id[jwt.get_unverified_header(token)["kid"]]
    unchecked = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    read = jwt.decode(token, found, [algorithm], audience="https://hooks.acme.example", options=unchecked)  # type: ignore[arg-type]
    assert read == jose_jwt.decode(token, KeySet.import_key_set(exported), [algorithm]).claims

    assert [("2026-11", algorithm, "sig"), ("2026-05", algorithm, "sig")] == [
        (key["kid"], key["alg"], key["use"]) for key in exported["keys"]
    ]
    assert not [key for key in exported["keys"] if PRIVATE_MEMBERS & key.keys()]
    assert exported["keys"][0] != {**exported["keys"][1], "kid": "2026-11"}


@pytest.mark.parametrize(("algorithm", "secret"), HMAC.items())
def test_verified_with_the_shared_secret(algorithm: str, secret: bytes, tmp_path: Path) -> None:
    """Two other libraries verify a token of every HMAC algorithm; its keys are never exported."""
    (tmp_path / "new.pem").write_bytes(secret + b"\n")
    described = authentication(algorithm)
    token = signer(described, secret + b"\n").token(NOW)
    read = jose_jwt.decode(token, OctKey.import_key(secret), [algorithm]).claims
    jwt.decode(token, secret, [algorithm], audience=read["aud"], options={"verify_iat": False, "verify_nbf": False})
    with pytest.raises(KeyUnusable, match="is symmetric"):
        jwk_set(described, SecretResolver(environment={}, directory=tmp_path), "acme", NOW)


def test_claims() -> None:
    """A token has the registered claims, an audience from the URL, the custom claims, and the key's id and type."""
    token = signer(authentication(claims={"tenant": "acme", "roles": ["a"]})).token(NOW)
    expected = {
        "iss": "https://acme.example",
        "sub": "hookline",
        "aud": "https://hooks.acme.example",
        "iat": 1_799_999_970,
        "nbf": 1_799_999_970,
        "exp": 1_800_000_270,
        "jti": "00" * 16,
        "tenant": "acme",
        "roles": ["a"],
    }
    assert expected == claims(token)
    header = {"alg": "HS256", "kid": "2026-11", "typ": "JWT"}
    assert header == jwt.get_unverified_header(token)


def test_absent_claims() -> None:
    """A token has no issuer and no subject where none is configured, and the audience that is configured."""
    token = signer(authentication(issuer=None, subject=None, audience="receiver")).token(NOW)
    assert {"aud", "iat", "nbf", "exp", "jti"} == claims(token).keys()
    assert claims(token)["aud"] == "receiver"


def test_registered_claims_win() -> None:
    """Custom claims never replace a registered one, nor supply one that is not configured."""
    custom = dict.fromkeys(["iss", "sub", "aud", "exp", "nbf", "iat", "jti"], "mine")
    token = signer(authentication(claims=custom, subject=None)).token(NOW)
    assert "mine" not in claims(token).values()
    assert "sub" not in claims(token)


def test_reused_for_four_fifths() -> None:
    """A token is used until 80 % of its life are over, then replaced by one with a new jti and new times."""
    made = signer(authentication(lifetime=timedelta(seconds=100)))
    first = made.token(NOW)
    assert first == made.token(NOW + 69.9)
    second = made.token(NOW + 70)
    assert claims(first)["exp"] + 70 == claims(second)["exp"]
    assert claims(first)["jti"] != claims(second)["jti"]
    assert second == made.token(NOW + 100)


def test_clock_set_back() -> None:
    """When the clock is set back a new token is made: the receiver would read the old one as not valid yet."""
    made = signer(authentication())
    assert made.token(NOW) != made.token(NOW - 1)


@pytest.mark.parametrize(("lifetime", "behind"), [(30, 3), (60, 6), (300, 30), (3600, 30)])
def test_receiver_whose_clock_differs(lifetime: int, behind: int) -> None:
    """A token is good at once for a clock that is behind, and to its last use for one that is ahead."""
    made = signer(authentication(lifetime=timedelta(seconds=lifetime)))
    first = claims(made.token(NOW))
    assert (int(NOW - behind), lifetime) == (first["iat"], first["exp"] - first["iat"])
    assert first["iat"] == first["nbf"]
    last_use = NOW + 0.8 * lifetime - behind - 0.01
    assert first == claims(made.token(last_use))
    assert last_use + 0.19 * lifetime < first["exp"]


def test_one_time() -> None:
    """One-time tokens are new for each request, also within the same second."""
    made = signer(authentication(one_time=True))
    assert len({claims(made.token(NOW))["jti"] for _ in range(20)}) == 20


def test_renew() -> None:
    """After renew the next token is a new one."""
    made = signer(authentication())
    first = made.token(NOW)
    made.renew()
    assert first != made.token(NOW)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Hooks.Acme.example/a?b=c", "https://hooks.acme.example"),
        ("https://acme.example:443/", "https://acme.example"),
        ("https://acme.example:8443", "https://acme.example:8443"),
        ("https://[2a00::1]:8443/x", "https://[2a00::1]:8443"),
    ],
)
def test_origin(url: str, expected: str) -> None:
    """The origin of a URL is its scheme, its host in lower case, and its port where that is not the scheme's own."""
    assert expected == origin(url)


def test_rotation_names_the_broken_key(tmp_path: Path) -> None:
    """A key that cannot be read fails the whole set by its id: a receiver must not get half of it."""
    (tmp_path / "new.pem").write_bytes(private_pem(private_key("ES256")))
    (tmp_path / "old.pem").write_bytes(private_pem(private_key("ES384")))
    with pytest.raises(KeyUnusable, match="'2026-05'"):
        jwk_set(authentication("ES256"), SecretResolver(environment={}, directory=tmp_path), "acme", NOW)
