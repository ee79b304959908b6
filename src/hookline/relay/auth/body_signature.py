"""Signatures over an attempt's id, time and body, by the Standard Webhooks specification.

``webhook-signature`` is a list, separated by spaces, of ``v1,<base64 HMAC-SHA256>`` and ``v1a,<base64 Ed25519>`` over
``id.timestamp.body``. A secret's prefix gives its type: ``whsec_`` for HMAC and ``whsk_`` for Ed25519.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hookline.errors import KeyUnusable
from hookline.relay.http.exchange import Attempt
from hookline.relay.secrets import Secret, without_newline

_SHARED, _PRIVATE, _PUBLIC = b"whsec_", b"whsk_", "whpk_"
# A shared secret has 192 to 512 bits.
_MIN_SECRET_BYTES, _MAX_SECRET_BYTES = 24, 64
# A private key is a seed, or a seed followed by the public half, as in NaCl.
_SEED_BYTES, _PAIR_BYTES = 32, 64

LoadedSignatureKey = bytes | Ed25519PrivateKey


def load_signature_key(secret: Secret, name: str) -> LoadedSignatureKey:
    """Read ``whsec_…`` or ``whsk_…``. A final line end is ignored. Raises KeyUnusable, whose message has `name`."""
    text = without_newline(secret.reveal())
    prefix = next((known for known in (_SHARED, _PRIVATE) if text.startswith(known)), None)
    if prefix is None:
        raise _unusable(name, "does not begin with whsec_ or whsk_")
    try:
        raw = b64decode(text.removeprefix(prefix), validate=True)
    except ValueError as error:
        raise _unusable(name, f"is not base64 after {prefix.decode()}") from error
    if prefix == _SHARED:
        if not _MIN_SECRET_BYTES <= len(raw) <= _MAX_SECRET_BYTES:
            raise _unusable(
                name, f"holds {len(raw)} bytes after whsec_, not {_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES}"
            )
        return raw
    if len(raw) not in (_SEED_BYTES, _PAIR_BYTES):
        raise _unusable(name, f"holds {len(raw)} bytes after whsk_, not {_SEED_BYTES} or {_PAIR_BYTES}")
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED_BYTES])
    if len(raw) == _PAIR_BYTES and raw[_SEED_BYTES:] != _public_bytes(key):
        raise _unusable(name, "is not a pair: its public half belongs to another key")
    return key


def public_text(key: LoadedSignatureKey) -> str | None:
    """``whpk_…``, for receivers. It is None for a shared secret, which has no public half."""
    return None if isinstance(key, bytes) else _PUBLIC + b64encode(_public_bytes(key)).decode()


class BodySigner:
    """Signs attempts with each of its keys, in their order."""

    def __init__(self, keys: Iterable[LoadedSignatureKey]) -> None:
        self._signers = tuple(map(_signer, keys))

    def sign(self, attempt: Attempt) -> str:
        """The value of ``webhook-signature``. The signed time is that of ``webhook-timestamp``, in whole seconds."""
        content = b"%b.%d.%b" % (attempt.id.hex().encode(), int(attempt.at), attempt.body)
        return " ".join([version + b64encode(sign(content)).decode() for version, sign in self._signers])


def _signer(key: LoadedSignatureKey) -> tuple[str, Callable[[bytes], bytes]]:
    if isinstance(key, bytes):
        return "v1,", lambda content: hmac.digest(key, content, "sha256")
    return "v1a,", key.sign


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _unusable(name: str, fault: str) -> KeyUnusable:
    return KeyUnusable(
        f"signature key {name}: {fault}",
        hint='create one: echo "whsec_$(openssl rand -base64 32)"; whsk_ is an Ed25519 seed of 32 bytes in base64',
    )
