"""Verifies the bearer token of a request (RFC 7519) against keys that were exchanged out of band, and its payload.

The key decides which algorithms are allowed, never the token (RFC 8725 section 3.1): a public key is never used as an
HMAC secret, and ``none`` is in no list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jwt
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jwt.types import Options

from hookline.errors import KeyUnusable
from hookline.escaping import shortened
from hookline.receiver.request_log import parse_json
from hookline.schemas import load_schema

TOKEN_LEEWAY_SECONDS = 60.0
MAX_CACHED_TOKENS = 1024
MAX_PROBLEM_CHARACTERS = 300

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": ("ES256",), "P-384": ("ES384",), "Ed25519": ("EdDSA",)}
# RFC 7518 section 3.2: a key has at least the size of the hash.
_HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# The times are checked against the receiver's own clock instead.
_OWN_TIMES: Options = {"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}


@dataclass(frozen=True, slots=True)
class VerificationKeys:
    """`public`: keys by key id and algorithm. `secret`: secrets by HMAC algorithm; a secret has no key id."""

    public: Mapping[str | None, Mapping[str, jwt.PyJWK]]
    secret: Mapping[str, bytes]


def read_keys(jwks: Path | None, hmac_secret_file: Path | None) -> VerificationKeys:
    """Reads a JWK Set (RFC 7517) and an HMAC secret. Raises KeyUnusable with the file and the number of the key."""
    return VerificationKeys(
        {} if jwks is None else _read_jwks(jwks), {} if hmac_secret_file is None else _read_secret(hmac_secret_file)
    )


def _read_jwks(path: Path) -> dict[str | None, dict[str, jwt.PyJWK]]:
    hint = "write it with: hookline jwks ORGANIZATION/SANDBOX"
    try:
        entries = json.loads(path.read_bytes())["keys"]
    except OSError as error:
        raise KeyUnusable(f"cannot read the JWK Set {path}: {error.strerror}", hint=hint) from error
    except (ValueError, TypeError, KeyError) as error:
        raise KeyUnusable(f'{path} is not a JWK Set (a JSON object with "keys")', hint=hint) from error
    if not isinstance(entries, list) or not entries:
        raise KeyUnusable(f"the JWK Set {path} contains no key", hint=hint)
    keys = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise KeyUnusable(f"{path}: key {number} is not a JSON object")
        keys[entry.get("kid")] = _read_key(path, number, entry)
    return keys


def _read_key(path: Path, number: int, entry: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    algorithms = _RSA if entry.get("kty") == "RSA" else _CURVES.get(entry.get("crv", ""), ())
    allowed = [name for name in algorithms if entry.get("alg", name) == name]
    if not allowed:
        raise KeyUnusable(
            f"{path}: key {number} cannot be used: kty {entry.get('kty')!r}, crv {entry.get('crv')!r}, "
            f"alg {entry.get('alg')!r}",
            hint="use RSA, P-256, P-384 or Ed25519 public keys; give a shared secret with --hmac-secret-file",
        )
    try:
        return {name: jwt.PyJWK(entry, name) for name in allowed}
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise KeyUnusable(f"{path}: key {number} cannot be used: {error}") from error


def _read_secret(path: Path) -> dict[str, bytes]:
    try:
        secret = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise KeyUnusable(f"cannot read the HMAC secret {path}: {error.strerror}") from error
    usable = {name: secret for name, minimum in _HMAC_BYTES.items() if len(secret) >= minimum}
    if not usable:
        raise KeyUnusable(
            f"the HMAC secret in {path} has {len(secret)} bytes, but HS256 requires 32",
            hint="create one with: openssl rand -hex 32",
        )
    return usable


class TokenVerifier:
    """Verifies tokens. It caches valid tokens until they expire."""

    def __init__(self, keys: VerificationKeys, *, audience: str | None, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._audience = audience
        self._clock = clock
        self._valid_until: dict[str, float] = {}

    def check(self, value: str | None) -> Literal[True] | str:
        """Returns True if the header has a valid token, otherwise the reason for the developer of the client."""
        if value is None:
            return "the request has no token"
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "the token's header does not have the form: Bearer TOKEN"
        now = self._clock()
        if now < self._valid_until.get(token, 0.0):
            return True
        self._valid_until.pop(token, None)
        try:
            expires = _verify(token, self._keys, self._audience, now)
        except jwt.PyJWTError as error:
            return _reason(error)
        while len(self._valid_until) >= MAX_CACHED_TOKENS:
            del self._valid_until[next(iter(self._valid_until))]
        self._valid_until[token] = expires
        return True


def _verify(token: str, keys: VerificationKeys, audience: str | None, now: float) -> float:
    """Returns the Unix time until which the token is valid, with the leeway. Raises jwt.PyJWTError if it is invalid.

    `audience` None accepts any. `now` is Unix time in seconds.
    """
    header = jwt.get_unverified_header(token)
    key, algorithm = _choose_key(keys, header)
    claims = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=audience,
        options={**_OWN_TIMES, "verify_aud": audience is not None},
    )
    expires, begins = _time(claims, "exp", now), _time(claims, "nbf", 0.0)
    if expires + TOKEN_LEEWAY_SECONDS <= now:
        raise jwt.ExpiredSignatureError(f"the token expired {now - expires:.0f} s ago")
    if begins - TOKEN_LEEWAY_SECONDS > now:
        raise jwt.ImmatureSignatureError(f"the token is not valid before {begins - now:.0f} s from now")
    return expires + TOKEN_LEEWAY_SECONDS


def _choose_key(keys: VerificationKeys, header: Mapping[str, Any]) -> tuple[jwt.PyJWK | bytes, str]:
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise jwt.InvalidAlgorithmError("the token names no algorithm")
    if algorithm in keys.secret:
        return keys.secret[algorithm], algorithm
    if key_id is None and len(keys.public) == 1:
        usable = next(iter(keys.public.values()))
    elif key_id in keys.public:
        usable = keys.public[key_id]
    elif algorithm.startswith("HS") or not keys.public:
        raise jwt.InvalidAlgorithmError(f"the algorithm {algorithm} is not allowed")
    else:
        known = ", ".join(sorted(str(known) for known in keys.public))
        raise jwt.InvalidKeyError(f"the key {key_id!r} is not known (known: {known})")
    if algorithm not in usable:
        raise jwt.InvalidAlgorithmError(f"the algorithm {algorithm} is not allowed for the key {key_id!r}")
    return usable[algorithm], algorithm


def _time(claims: Mapping[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise jwt.DecodeError(f"the claim {name} is not a number")
    return float(value)


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.InvalidSignatureError():
            return "the signature does not match the key"
        case jwt.InvalidAudienceError():
            return "the token is for another audience"
        case jwt.MissingRequiredClaimError():
            return f"the token has no claim {error.claim}"
        case _:
            return str(error) or type(error).__name__


class PayloadCheck:
    """Validates bodies. It keeps the compiled schemas: compiling takes as long as thousands of validations."""

    def __init__(self) -> None:
        self._first = Draft202012Validator(load_schema("payload.v1"))
        # One schema for each channel, so that errors of an email do not mention the fields of an SMS.
        second = load_schema("payload.v2")
        self._second = {
            channel: Draft202012Validator({"$ref": f"#/$defs/{channel}", "$defs": second["$defs"]})
            for channel in ("email", "sms")
        }

    def check(self, body: bytes) -> Literal[True] | str:
        """Returns True, or the most relevant error of the body with its JSON path."""
        try:
            value = parse_json(body)
        except ValueError as error:
            return f"not JSON: {error}"
        worst = best_match(self._validator(value).iter_errors(value))
        if worst is None:
            return True
        return shortened(f"{worst.json_path}: {worst.message}", MAX_PROBLEM_CHARACTERS)

    def _validator(self, value: object) -> Draft202012Validator:
        """A body with a campaignType has structure 2, which differs by channel. Others must have structure 1."""
        match value:
            case {"messageExecution": {"campaignType": _}, "channel": "email" | "sms" as channel}:
                return self._second[channel]
        return self._first
