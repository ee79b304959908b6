"""Operators, accounts and users of NATS for tests, as `nsc` creates them: nkeys, JWTs and files of credentials
(https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_SEED = 18 << 3
_KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}


def _encode(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True)
class Identity:
    """A key pair of a kind: operator, account or user."""

    kind: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _encode(bytes([_KINDS[self.kind]]) + raw)

    @property
    def seed(self) -> str:
        prefix = _KINDS[self.kind]
        raw = self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return _encode(bytes([_SEED | prefix >> 5, (prefix & 31) << 3]) + raw)

    def sign(self, subject: Identity, **claims: object) -> str:
        """A JWT of this identity about another one."""
        body = {
            "iat": int(time.time()), "iss": self.public, "name": subject.kind, "sub": subject.public,
            "nats": {"type": subject.kind, "version": 2, **claims},
        }  # fmt: skip
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        text = ".".join(_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        return f"{text}.{_base64(self.key.sign(text.encode()))}"


class Organization:
    """An operator with one account that may use JetStream, and one user of it."""

    def __init__(self) -> None:
        self._operator, self._user = Identity("operator"), Identity("user")
        self._account, self._system = Identity("account"), Identity("account")

    def settings(self) -> list[str]:
        """Lines of a server's configuration."""
        names = "subs data payload imports exports conn leaf mem_storage disk_storage streams consumer"
        limits = dict.fromkeys(names.split(), -1)
        account = self._operator.sign(self._account, limits={**limits, "wildcards": True})
        without_streams = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), 0)
        system = self._operator.sign(self._system, limits={**limits, "wildcards": True, **without_streams})
        return [
            f"operator: {self._operator.sign(self._operator)}",
            "resolver: MEMORY",
            f"system_account: {self._system.public}",
            f"resolver_preload: {{ {self._account.public}: {account}, {self._system.public}: {system} }}",
        ]

    def credentials(self) -> str:
        """The content of a .creds file of the user."""
        limits = {"subs": -1, "data": -1, "payload": -1}
        jwt = self._account.sign(self._user, pub={}, sub={}, **limits)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "NKEY Seed printed below can be used to sign and prove identity.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self._user.seed}\n------END USER NKEY SEED------\n"
        )
