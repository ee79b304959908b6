"""Signatures over an attempt's id, time and body, as the Standard Webhooks specification has them.

``webhook-signature`` is a list, with spaces between, of ``v1,<base64 HMAC-SHA256>`` and ``v1a,<base64 Ed25519>`` over
``id.timestamp.body``. A secret says by its prefix which of the two it is for: ``whsec_`` and ``whsk_``.
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
# Of a shared secret, in bytes: 192 to 512 bits.
_LEAST, _MOST = 24, 64
# A private key is written as its seed, or as the seed with the public half behind it, as NaCl keeps it.
_SEED, _PAIR = 32, 64

LoadedSignatureKey = bytes | Ed25519PrivateKey


def load_signature_key(secret: Secret, name: str) -> LoadedSignatureKey:
    """Read ``whsec_…`` or ``whsk_…``; without a final line end. Raises KeyUnusable, which calls it by `name`."""
    text = without_newline(secret.reveal())
    prefix = next((known for known in (_SHARED, _PRIVATE) if text.startswith(known)), None)
    if prefix is None:
        raise _unusable(name, "does not begin with whsec_ or whsk_")
    try:
        raw = b64decode(text.removeprefix(prefix), validate=True)
    except ValueError as error:
        raise _unusable(name, f"is not base64 behind {prefix.decode()}") from error
    if prefix == _SHARED:
        if not _LEAST <= len(raw) <= _MOST:
            raise _unusable(name, f"holds {len(raw)} bytes behind whsec_, not {_LEAST} to {_MOST}")
        return raw
    if len(raw) not in (_SEED, _PAIR):
        raise _unusable(name, f"holds {len(raw)} bytes behind whsk_, not {_SEED} or {_PAIR}")
    key = Ed25519PrivateKey.from_private_bytes(raw[:_SEED])
    if len(raw) == _PAIR and raw[_SEED:] != _public_bytes(key):
        raise _unusable(name, "is no pair: its public half belongs to another key")
    return key


def public_text(key: LoadedSignatureKey) -> str | None:
    """``whpk_…``, for receivers. None for a shared secret, which has no public half."""
    return None if isinstance(key, bytes) else _PUBLIC + b64encode(_public_bytes(key)).decode()


class BodySigner:
    """Signs attempts with every key that it was made of, in their order."""

    def __init__(self, keys: Iterable[LoadedSignatureKey]) -> None:
        self._signs = tuple(map(_signing, keys))

    def sign(self, attempt: Attempt) -> str:
        """The value of ``webhook-signature``; the time signed is that of ``webhook-timestamp``, in whole seconds."""
        content = b"%b.%d.%b" % (attempt.id.hex().encode(), int(attempt.at), attempt.body)
        return " ".join([version + b64encode(sign(content)).decode() for version, sign in self._signs])


def _signing(key: LoadedSignatureKey) -> tuple[str, Callable[[bytes], bytes]]:
    if isinstance(key, bytes):
        return "v1,", lambda content: hmac.digest(key, content, "sha256")
    return "v1a,", key.sign


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _unusable(name: str, what: str) -> KeyUnusable:
    return KeyUnusable(
        f"signature key {name}: {what}",
        hint='make one: echo "whsec_$(openssl rand -base64 32)"; whsk_ is an Ed25519 seed of 32 bytes in base64',
    )
