"""The credentials of a user of NATS, from the content of one secret.

The secret is a file of credentials as `nsc` writes it (a JWT and its seed), the seed of an nkey (``SU…``),
``user:password``, or else a token.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hookline.errors import HooklineError

_BLOCK: Final = re.compile(rb"-{3,}\s*BEGIN ([A-Z ]+?)\s*-{3,}\s+(\S+)\s+-{3,}\s*END [A-Z ]+?\s*-{3,}")
_JWT, _SEED = b"NATS USER JWT", b"USER NKEY SEED"
_NKEY: Final = re.compile(rb"SU[A-Z2-7]{56}")
_USER_PREFIX: Final = 20 << 3  # "U", the first byte of a user's public key
_SEED_BYTES: Final = 32


class NatsCredentials:
    """The values with which the client identifies its user. They are never shown.

    Attributes:
        public_nkey: the public key of a user that has no JWT.
    """

    __slots__ = ("__options", "public_nkey")

    def __init__(self, options: dict[str, Any], public_nkey: str | None = None) -> None:
        self.__options = options
        self.public_nkey = public_nkey

    def client_options(self) -> dict[str, Any]:
        """Returns the arguments of Client.connect."""
        return dict(self.__options)

    def __repr__(self) -> str:
        return "****"


ANONYMOUS: Final = NatsCredentials({})


def parse_credentials(secret: bytes) -> NatsCredentials:
    """Returns the credentials in the content of a secret. Raises HooklineError, which never contains it."""
    value = secret.strip()
    if blocks := dict(_BLOCK.findall(value)):
        if _JWT not in blocks or _SEED not in blocks:
            raise _unusable("it lacks the JWT or the seed of the user")
        jwt = bytearray(blocks[_JWT])
        return NatsCredentials({"signature_cb": _signer(_key(blocks[_SEED])), "user_jwt_cb": lambda: jwt})
    if _NKEY.fullmatch(value):
        key = _key(value)
        return NatsCredentials({"signature_cb": _signer(key)}, _public_nkey(key))
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise _unusable("it is not UTF-8") from None
    user, colon, password = text.partition(":")
    return NatsCredentials({"user": user, "password": password} if colon else {"token": text})


def _unusable(reason: str) -> HooklineError:
    return HooklineError(
        f"--source-credentials: the secret cannot be used: {reason}",
        hint="it is a .creds file, the seed of an nkey, user:password, or a token",
    )


def _signer(key: Ed25519PrivateKey) -> Callable[[str], bytes]:
    """Returns the function that signs the nonce of a server."""
    return lambda nonce: base64.b64encode(key.sign(nonce.encode()))


def _public_nkey(key: Ed25519PrivateKey) -> str:
    raw = bytes([_USER_PREFIX]) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode("ascii").rstrip("=")


def _key(seed: bytes) -> Ed25519PrivateKey:
    """Returns the key of an nkey's seed: two bytes of prefix, the seed, and a checksum, in base 32."""
    try:
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
    except binascii.Error:
        raise _unusable("the seed of the user is damaged") from None
    body, checksum = raw[:-2], int.from_bytes(raw[-2:], "little")
    if len(body) != _SEED_BYTES + 2 or binascii.crc_hqx(body, 0) != checksum:
        raise _unusable("the seed of the user is damaged")
    return Ed25519PrivateKey.from_private_bytes(body[2:])
