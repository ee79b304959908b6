import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hookline.errors import KeyUnusable
from hookline.relay.auth.keys import load_key, public_jwk
from hookline.relay.secrets import Secret

AnyKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}
FITTING: list[tuple[str, AnyKey]] = [
    *((algorithm, RSA) for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("ES256", P256),
    ("ES384", P384),
    ("EdDSA", ED25519),
]


def pem(
    key: AnyKey | dsa.DSAPrivateKey | ed448.Ed448PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def refusal(text: bytes, algorithm: str) -> str:
    with pytest.raises(KeyUnusable) as caught:
        load_key(Secret(text), algorithm, "2026-11")
    assert "'2026-11'" in caught.value.message
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(("algorithm", "key"), FITTING)
def test_fits(algorithm: str, key: AnyKey) -> None:
    """A key of the right kind is loaded from PKCS#8, and its public half states its purpose."""
    loaded = public_jwk(load_key(Secret(pem(key)), algorithm, "2026-11"))
    assert {"kid": "2026-11", "alg": algorithm, "use": "sig"}.items() <= loaded.items()
    assert not PRIVATE_MEMBERS & loaded.keys()


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("ES256", P256)])
def test_traditional_pem(algorithm: str, key: AnyKey) -> None:
    """PKCS#1 and SEC 1, which openssl's older commands write, are read like PKCS#8."""
    old = load_key(Secret(pem(key, PrivateFormat.TraditionalOpenSSL)), algorithm, "k")
    assert public_jwk(load_key(Secret(pem(key)), algorithm, "k")) == public_jwk(old)


@pytest.mark.parametrize(("algorithm", "key"), FITTING)
def test_jwk(algorithm: str, key: AnyKey) -> None:
    """A private JWK written by another library is the same key as its PEM, by public members and by value."""
    reader = RSAKey if isinstance(key, rsa.RSAPrivateKey) else ECKey if algorithm != "EdDSA" else OKPKey
    other = reader.import_key(pem(key))
    text = json.dumps(other.as_dict(private=True)).encode()
    loaded = public_jwk(load_key(Secret(text), algorithm, "k"))
    assert public_jwk(load_key(Secret(pem(key)), algorithm, "k")) == loaded
    assert {**other.as_dict(private=False), "kid": "k", "alg": algorithm, "use": "sig"} == loaded


def test_no_padding_lost() -> None:
    """Coordinates of elliptic curves keep their leading zeros (RFC 7518 §6.2.1.2)."""
    for number in range(1, 600):
        jwk = public_jwk(load_key(Secret(pem(ec.derive_private_key(number, ec.SECP256R1()))), "ES256", "k"))
        sizes = [len(base64.urlsafe_b64decode(jwk[member] + "=")) for member in ("x", "y")]
        assert {32} == set(sizes)


@pytest.mark.parametrize(
    ("algorithm", "key", "found"),
    [
        ("RS256", P256, "needs an RSA key, found an EC key on P-256"),
        ("PS512", ED25519, "needs an RSA key, found a key of type Ed25519"),
        ("ES256", P384, "needs the curve P-256, found P-384"),
        ("ES384", P256, "needs the curve P-384, found P-256"),
        ("ES256", ec.generate_private_key(ec.SECP256K1()), "found secp256k1"),
        ("ES256", RSA, "needs an EC key, found an RSA key"),
        ("EdDSA", P256, "needs an Ed25519 key, found an EC key on P-256"),
        ("EdDSA", ed448.Ed448PrivateKey.generate(), "needs an Ed25519 key, found a key of type Ed448"),
        ("RS256", rsa.generate_private_key(65537, 1024), "needs at least 2048 bits, found 1024"),
        ("RS256", dsa.generate_private_key(1024), "needs an RSA key, found a key of type DSA"),
        ("HS256", RSA, "needs a shared secret, found a PEM file"),
    ],
)
def test_misfit(algorithm: str, key: AnyKey, found: str) -> None:
    """A key of another kind, curve or size is refused with the needed and the found kind."""
    assert found in refusal(pem(key), algorithm)


def test_unreadable() -> None:
    """Public, encrypted and broken material has different messages."""
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert "found a public key" in refusal(public, "RS256")
    assert "encrypted with a passphrase" in refusal(pem(RSA, encryption=BestAvailableEncryption(b"pass")), "RS256")
    assert "found something else" in refusal(b"not a key", "ES256")
    assert "found something else" in refusal(b"{broken", "ES256")


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "member 'd' is missing"),
        ({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "d": "AQ"}, "do not form a supported key"),
        ({"kty": "EC", "crv": "P-521"}, "do not form a supported key"),
        ({"kty": "RSA", "n": 1, "e": 2, "d": 3, "p": 4, "q": 5}, "do not form a supported key"),
        ({"kty": "OKP", "crv": "Ed25519", "d": "AQ"}, "do not form a supported key"),
        ({"kty": "oct", "k": "AQ"}, "do not form a supported key"),
        ({"kty": None}, "do not form a supported key"),
    ],
)
def test_broken_jwk(document: dict[str, object], found: str) -> None:
    """A JWK that lacks a member, or whose members do not fit together, is refused with the reason."""
    assert found in refusal(json.dumps(document).encode(), "ES256")


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_hmac_size(algorithm: str, size: int) -> None:
    """An HMAC key is at least as long as its hash; a final line end does not count."""
    assert b"k" * size == load_key(Secret(b"k" * size + b"\n"), algorithm, "k").material
    assert f"needs at least {size} bytes, found {size - 1}" in refusal(b"k" * (size - 1) + b"\n", algorithm)


def test_hmac_jwk() -> None:
    """A symmetric JWK is the bytes of its member k."""
    expected = b"\xff" * 32
    text = json.dumps({"kty": "oct", "k": base64.urlsafe_b64encode(expected).rstrip(b"=").decode()})
    assert expected == load_key(Secret(text.encode()), "HS256", "k").material
    assert "kty oct" in refusal(json.dumps({"kty": "EC"}).encode(), "HS256")


def test_symmetric_has_no_public_half() -> None:
    """A symmetric key is not exported."""
    with pytest.raises(KeyUnusable, match="HS256 is symmetric"):
        public_jwk(load_key(Secret(b"k" * 32), "HS256", "k"))


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_encrypted(form: PrivateFormat) -> None:
    """An encrypted PEM file is opened by its passphrase, whose line end does not count."""
    secret = Secret(pem(P256, form, BestAvailableEncryption(b"open sesame")))
    loaded = load_key(secret, "ES256", "k", passphrase=Secret(b"open sesame\n"))
    assert public_jwk(load_key(Secret(pem(P256)), "ES256", "k")) == public_jwk(loaded)


@pytest.mark.parametrize(
    ("text", "algorithm", "found"),
    [
        (
            pem(P256, encryption=BestAvailableEncryption(b"another")),
            "ES256",
            "the passphrase does not decrypt the PEM",
        ),
        (pem(P256), "ES256", "not needed, because the secret is a PEM file that is not encrypted"),
        (b'{"kty": "EC"}', "ES256", "not needed, because the secret is a JWK"),
        (b"k" * 32, "HS256", "not needed, because the secret is a shared secret"),
        (b"rubbish", "ES256", "found something else"),
    ],
)
def test_passphrase_that_does_not_fit(text: bytes, algorithm: str, found: str) -> None:
    """A wrong or needless passphrase is refused, and the message does not contain it."""
    with pytest.raises(KeyUnusable) as caught:
        load_key(Secret(text), algorithm, "2026-11", passphrase=Secret(b"open sesame"))
    assert found in caught.value.message
    assert "sesame" not in f"{caught.value.message}{caught.value.hint}"


def test_hidden() -> None:
    """A loaded key does not show its material when printed."""
    assert "kkkk" not in repr(load_key(Secret(b"k" * 32), "HS256", "k"))
