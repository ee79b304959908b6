"""Keys for tokens. They are read from PEM, a JWK or plain bytes, and checked against their algorithm.

Callers keep the loaded key, because reading a PEM text takes a thousand times as long as signing a token.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from hookline.errors import KeyUnusable
from hookline.relay.secrets import Secret, without_newline

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

MIN_RSA_BITS = 2048
# RFC 7518 §3.2: the key of an HMAC has at least as many bytes as its hash.
_MIN_HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# RFC 7518 §3.4: each ES algorithm belongs to one curve.
_CURVES: Mapping[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CREATE = {
    "ES256": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.pem",
    "ES384": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out KEY.pem",
    "EdDSA": "openssl genpkey -algorithm ed25519 -out KEY.pem",
}
_CREATE_RSA = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY.pem"


@dataclass(frozen=True, slots=True)
class JwtKey:
    """A key that fits its algorithm. `id` is the token's ``kid``; `material` is bytes for HS algorithms."""

    id: str
    algorithm: str
    material: PrivateKey | bytes = field(repr=False)


def load_key(secret: Secret, algorithm: str, key_id: str, passphrase: Secret | None = None) -> JwtKey:
    """Read a key. Raises KeyUnusable if it cannot be read, or if it does not fit the algorithm.

    Args:
        secret: PKCS#8, PKCS#1 or SEC 1 in PEM, a private JWK (RFC 7517), or the bytes of an HMAC key. The bytes are
            not decoded from base64 or hex; only a final line end is removed.
        algorithm: The algorithm that the key is for.
        key_id: The key's id, which error messages contain.
        passphrase: For an encrypted PEM file only.
    """
    text = secret.reveal()
    jwk = _as_jwk(text)
    if passphrase is not None and (jwk is not None or algorithm in _MIN_HMAC_BYTES):
        raise _needless_passphrase(key_id, "a JWK" if jwk is not None else "a shared secret")
    try:
        if algorithm in _MIN_HMAC_BYTES:
            material = _oct(jwk, key_id) if jwk is not None else without_newline(text)
            _check_hmac(material, algorithm, key_id)
            return JwtKey(key_id, algorithm, material)
        key = _from_pem(text, algorithm, key_id, passphrase) if jwk is None else _from_members(jwk)
    except (KeyError, TypeError, ValueError, AttributeError, UnsupportedAlgorithm) as error:
        missing = isinstance(error, KeyError)
        fault = f"member {error} is missing" if missing else "its members do not form a supported key"
        raise KeyUnusable(
            f"key {key_id!r}: not a usable private JWK: {fault}",
            hint="RSA with p and q, EC on P-256 or P-384, OKP with Ed25519; or use a PEM file",
        ) from error
    return JwtKey(key_id, algorithm, _checked(key, algorithm, key_id))


def public_jwk(key: JwtKey) -> dict[str, str]:
    """The public half as a JWK (RFC 7517, RFC 7518 §6, RFC 8037). Raises KeyUnusable for a symmetric key."""
    common = {"kid": key.id, "alg": key.algorithm, "use": "sig"}
    match key.material:
        case rsa.RSAPrivateKey():
            numbers = key.material.public_key().public_numbers()
            return {"kty": "RSA", "n": _encode_number(numbers.n), "e": _encode_number(numbers.e), **common}
        case ec.EllipticCurvePrivateKey():
            point = key.material.public_key().public_numbers()
            size, curve = (key.material.curve.key_size + 7) // 8, _CURVE_NAMES[key.material.curve.name]
            x, y = _encode_number(point.x, size), _encode_number(point.y, size)
            return {"kty": "EC", "crv": curve, "x": x, "y": y, **common}
        case Ed25519PrivateKey():
            raw = key.material.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": _encode(raw), **common}
        case _:
            raise KeyUnusable(
                f"key {key.id!r}: {key.algorithm} is symmetric and has no public half to export",
                hint="give the secret to the receiver directly, or use ES256, EdDSA or RS256",
            )


def _check_hmac(material: bytes, algorithm: str, key_id: str) -> None:
    if material.lstrip().startswith(b"-----BEGIN "):
        raise KeyUnusable(
            f"key {key_id!r}: {algorithm} needs a shared secret, found a PEM file",
            hint="an asymmetric key belongs to RS256, ES256, EdDSA …",
        )
    if len(material) < (min_bytes := _MIN_HMAC_BYTES[algorithm]):
        raise KeyUnusable(
            f"key {key_id!r}: {algorithm} needs at least {min_bytes} bytes, found {len(material)}",
            hint=f"create one: openssl rand -hex {min_bytes}",
        )


def _checked(key: object, algorithm: str, key_id: str) -> PrivateKey:
    match key:
        case rsa.RSAPrivateKey() if algorithm in _RSA:
            if key.key_size < MIN_RSA_BITS:
                raise _unfit(f"needs at least {MIN_RSA_BITS} bits, found {key.key_size}", algorithm, key_id)
            return key
        case ec.EllipticCurvePrivateKey() if algorithm in _CURVES:
            if key.curve.name != _CURVES[algorithm].name:
                wanted = _CURVE_NAMES[_CURVES[algorithm].name]
                found = _CURVE_NAMES.get(key.curve.name, key.curve.name)
                raise _unfit(f"needs the curve {wanted}, found {found}", algorithm, key_id)
            return key
        case Ed25519PrivateKey() if algorithm == "EdDSA":
            return key
        case _:
            kind = "an RSA" if algorithm in _RSA else "an EC" if algorithm in _CURVES else "an Ed25519"
            raise _unfit(f"needs {kind} key, found {_kind(key)}", algorithm, key_id)


def _kind(key: object) -> str:
    match key:
        case rsa.RSAPrivateKey():
            return "an RSA key"
        case ec.EllipticCurvePrivateKey():
            return f"an EC key on {_CURVE_NAMES.get(key.curve.name, key.curve.name)}"
        case _:
            return f"a key of type {type(key).__name__.removesuffix('PrivateKey').removeprefix('_')}"


def _unfit(fault: str, algorithm: str, key_id: str) -> KeyUnusable:
    command = _CREATE.get(algorithm, _CREATE_RSA)
    return KeyUnusable(f"key {key_id!r}: {algorithm} {fault}", hint=f"create one that fits: {command}")


def _from_pem(text: bytes, algorithm: str, key_id: str, passphrase: Secret | None) -> object:
    try:
        return load_pem_private_key(text, None if passphrase is None else without_newline(passphrase.reveal()))
    except TypeError as error:  # a needless or a missing passphrase
        if passphrase is not None:
            raise _needless_passphrase(key_id, "a PEM file that is not encrypted") from error
        raise KeyUnusable(
            f"key {key_id!r}: the PEM file is encrypted with a passphrase",
            hint="add the passphrase after the secret: passphrase: {file: KEY.passphrase}",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase is not None and b"ENCRYPTED" in text:
            raise KeyUnusable(
                f"key {key_id!r}: the passphrase does not decrypt the PEM file",
                hint="try it: openssl pkey -in KEY.pem -noout",
            ) from error
        is_public = any(mark in text for mark in (b"BEGIN PUBLIC KEY", b"BEGIN RSA PUBLIC KEY", b"BEGIN CERTIFICATE"))
        found = "a public key or certificate" if is_public else "something else"
        raise KeyUnusable(
            f"key {key_id!r}: expected a private key in PEM or JWK, found {found}",
            hint=f"the private key signs; create one: {_CREATE.get(algorithm, _CREATE_RSA)}",
        ) from error


def _needless_passphrase(key_id: str, found: str) -> KeyUnusable:
    return KeyUnusable(
        f"key {key_id!r}: the passphrase is not needed, because the secret is {found}",
        hint="remove passphrase from the key, or store the key encrypted",
    )


def _as_jwk(text: bytes) -> dict[str, Any] | None:
    if not text.lstrip().startswith(b"{"):
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) and "kty" in document else None


def _oct(jwk: Mapping[str, Any], key_id: str) -> bytes:
    if jwk["kty"] != "oct":
        raise KeyUnusable(
            f"key {key_id!r}: an HS algorithm needs a JWK with kty oct, found {jwk['kty']!r:.40}",
            hint="an asymmetric key belongs to RS256, ES256, EdDSA …",
        )
    return _decode(jwk["k"])


def _from_members(jwk: Mapping[str, Any]) -> object:
    match jwk["kty"], jwk.get("crv"):
        case "RSA", _:
            p, q, d = _number(jwk["p"]), _number(jwk["q"]), _number(jwk["d"])
            public = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"]))
            dmp1, dmq1, iqmp = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
            return rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public).private_key()
        case "EC", ("P-256" | "P-384") as name:
            curve = next(curve for curve in _CURVES.values() if _CURVE_NAMES[curve.name] == name)
            point = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), curve)
            return ec.EllipticCurvePrivateNumbers(_number(jwk["d"]), point).private_key()
        case "OKP", "Ed25519":
            return Ed25519PrivateKey.from_private_bytes(_decode(jwk["d"]))
        case kind, curve_name:
            raise ValueError(f"kty {kind!r:.40}, crv {curve_name!r:.40}")


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _encode_number(number: int, size: int | None = None) -> str:
    return _encode(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")
