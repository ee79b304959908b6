"""The nouns that the reconciler and the relay share. Values only: frozen, and free of I/O, time and randomness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from hookline.units import Rate


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"


class FeedbackStatus(StrEnum):
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCE = "bounce"
    ERROR = "error"


class Ordering(StrEnum):
    """Whether an event waits for the earlier events of the same message and recipient."""

    MESSAGE = "message"
    NONE = "none"


class Address(NamedTuple):
    """The identity of a webhook: the platform's organization and its sandbox, by name.

    A tuple, since the relay looks things up by it some times an event, and a tuple is hashed in no time.
    """

    organization: str
    sandbox: str

    def __str__(self) -> str:
        return f"{self.organization}/{self.sandbox}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``organization/sandbox``. Raises ValueError when it is not of that form."""
        organization, slash, sandbox = text.partition("/")
        if not (organization and slash and sandbox) or "/" in sandbox:
            raise ValueError(f"not an address: {text!r} (write ORGANIZATION/SANDBOX)")
        return cls(organization, sandbox)


@dataclass(frozen=True, slots=True)
class EnvRef:
    """A secret in the relay's environment. Only names that begin with HOOKLINE_SECRET_ are ever resolved."""

    name: str

    def __str__(self) -> str:
        return f"{{env: {self.name}}}"


@dataclass(frozen=True, slots=True)
class FileRef:
    """A secret in a file below the relay's secrets directory; `path` is relative to it, or absolute within it."""

    path: str

    def __str__(self) -> str:
        return f"{{file: {self.path}}}"


SecretRef = EnvRef | FileRef


@dataclass(frozen=True, slots=True)
class NoAuthentication:
    pass


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`id` is the JWT header's ``kid`` (RFC 7515 §4.1.4). `activate` and `retire` are in UTC; see `rotation`."""

    id: str
    secret: SecretRef
    passphrase: SecretRef | None = None
    activate: datetime | None = None
    retire: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtAuthentication:
    """How a bearer token is made (RFC 7519). The first active key signs; the others are only published (rotation).

    `audience` None means the origin of the webhook's URL.
    """

    algorithm: str
    keys: tuple[SigningKey, ...]
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    lifetime: timedelta = timedelta(minutes=5)
    one_time: bool = False
    header: str = "authorization"
    claims: Mapping[str, Any] = field(default_factory=dict)


Authentication = NoAuthentication | JwtAuthentication


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureKey:
    """`secret` is ``whsec_…`` (HMAC-SHA256) or ``whsk_…`` (Ed25519); the times are in UTC, see `rotation`."""

    secret: SecretRef
    activate: datetime | None = None
    retire: datetime | None = None


@dataclass(frozen=True, slots=True)
class BodySignature:
    """How a request's id, time and body are signed (Standard Webhooks): by every key that is active."""

    keys: tuple[SignatureKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    initial_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(hours=1)
    max_age: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPolicy:
    """All three are files below the relay's secrets directory, in PEM."""

    ca_file: str | None = None
    client_certificate: FileRef | None = None
    client_key: FileRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """`timeout` is one deadline for connect, TLS, headers and body of an attempt."""

    timeout: timedelta = timedelta(seconds=10)
    concurrency: int = 16
    rate_limit: Rate | None = None
    ordering: Ordering = Ordering.MESSAGE
    retry: RetryPolicy = RetryPolicy()
    tls: TlsPolicy = TlsPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One configuration.

    The defaults of this class and of the policies in it are the defaults of a webhook; `canonical` derives the
    documents from them, and a test checks the JSON Schema against them. `headers` has lower-case names, sorted;
    `campaigns` None means all of them.
    """

    address: Address
    sandbox_id: str | None = None
    name: str
    description: str | None = None
    owner: str | None = None
    channels: frozenset[Channel]
    url: str
    authentication: Authentication = NoAuthentication()
    signature: BodySignature | None = None
    headers: tuple[tuple[str, str | SecretRef], ...] = ()
    campaigns: frozenset[str] | None
    message_types: frozenset[str] = frozenset({"transactional"})
    events: frozenset[FeedbackStatus] = frozenset(FeedbackStatus)
    payload: int = 1
    delivery: DeliveryPolicy = DeliveryPolicy()
    enabled: bool = True
    protected: bool = False

    def secrets(self) -> Iterator[SecretRef]:
        """Every reference in it, as often as it stands there."""
        yield from (value for _, value in self.headers if not isinstance(value, str))
        match self.authentication:
            case NoAuthentication():
                pass
            case JwtAuthentication(keys=keys):
                for key in keys:
                    yield key.secret
                    if key.passphrase is not None:
                        yield key.passphrase
            case _:
                assert_never(self.authentication)
        if self.signature is not None:
            yield from (key.secret for key in self.signature.keys)
        tls = self.delivery.tls
        if tls.ca_file is not None:
            yield FileRef(tls.ca_file)
        yield from (reference for reference in (tls.client_certificate, tls.client_key) if reference is not None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a webhook is written: the file as it was named, and the line (from 1) on which its document begins."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Declared:
    """A webhook as it is desired, and where it is written."""

    webhook: Webhook
    source: Source


@dataclass(frozen=True, slots=True)
class Desired:
    """What the files say.

    `narrowed` is true when only a part of the configuration directory was looked at: such a run never deletes.
    """

    webhooks: Mapping[Address, Declared]
    narrowed: bool = False
