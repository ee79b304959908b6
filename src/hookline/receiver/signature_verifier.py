"""Verifies ``webhook-signature`` (Standard Webhooks) against secrets that were exchanged out of band."""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hookline.errors import KeyUnusable
from hookline.http_connection import HttpRequest

# The maximum difference between the signed time and now. An older request may be a recording.
SIGNATURE_TOLERANCE_SECONDS = 300
_MAX_SIGNATURES = 16

ReceiverSignatureKey = bytes | Ed25519PublicKey


def read_signature_keys(path: Path) -> list[ReceiverSignatureKey]:
    """Reads one ``whsec_…`` or ``whpk_…`` per line. Raises KeyUnusable with the line number only."""
    hint = "write one whsec_… (shared) or whpk_… (public, from: hookline jwks --signature) per line"
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise KeyUnusable(f"cannot read the signature secrets {path}: {reason}", hint=hint) from error
    keys = []
    for number, line in enumerate(lines, start=1):
        key = _read_key(line)
        if key is None:
            raise KeyUnusable(f"{path}: secret {number} is neither whsec_… nor whpk_…", hint=hint)
        keys.append(key)
    if not keys:
        raise KeyUnusable(f"{path} contains no secret", hint=hint)
    return keys


def _read_key(text: str) -> ReceiverSignatureKey | None:
    prefix, _, encoded = text.partition("_")
    try:
        raw = b64decode(encoded, validate=True)
        match prefix:
            case "whsec":
                return raw or None
            case "whpk":
                return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        pass
    return None


class SignatureVerifier:
    """Verifies the signatures of requests. `clock` returns Unix time in seconds."""

    def __init__(self, keys: list[ReceiverSignatureKey], *, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock

    def check(self, request: HttpRequest) -> Literal[True] | str:
        """Returns True if one signature is valid, otherwise the reason for the developer of the client."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        identifier, timestamp, signatures = (request.headers.get(name) for name in names)
        if identifier is None or timestamp is None or signatures is None:
            return f"the request lacks one of the headers {', '.join(names)}"
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 12):
            return "webhook-timestamp is not a number of seconds"
        offset = int(timestamp) - self._clock()
        if abs(offset) > SIGNATURE_TOLERANCE_SECONDS:
            return f"the request was signed {abs(offset):.0f} s {'ago' if offset < 0 else 'from now'}"
        content = b".".join((identifier.encode(), timestamp.encode(), request.body or b""))
        given = signatures.split(" ")[:_MAX_SIGNATURES]
        if any(_is_valid(key, content, signature) for signature in given for key in self._keys):
            return True
        return "no signature matches a key"


def _is_valid(key: ReceiverSignatureKey, content: bytes, signature: str) -> bool:
    version, _, encoded = signature.partition(",")
    if version != ("v1" if isinstance(key, bytes) else "v1a"):
        return False
    try:
        given = b64decode(encoded, validate=True)
        if isinstance(key, bytes):
            return hmac.compare_digest(given, hmac.digest(key, content, "sha256"))
        key.verify(given, content)
    except (NotBase64, ValueError, InvalidSignature):
        return False
    return True
