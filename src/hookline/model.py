"""The nouns that the reconciler and the relay share: frozen values without I/O, time and randomness.

The defaults of the dataclasses are the only table of a webhook's defaults. `canonical` and `config` derive theirs
from it, and tests/unit/test_canonical.py checks every `default` of schemas/webhook.v1.schema.json against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple, assert_never
from unicodedata import category

from hookline.escaping import is_invisible
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


# The limit of an organization or a sandbox in a webhook file.
MAX_NAME_CHARACTERS: Final = 256
MAX_EXCERPT_CHARACTERS: Final = 80


class Address(NamedTuple):
    """The identity of a webhook. A tuple hashes fast, and the relay hashes it several times per event."""

    organization: str
    sandbox: str

    def __str__(self) -> str:
        return f"{self.organization}/{self.sandbox}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parses ``organization/sandbox``. Raises ValueError for other text, and for one that no webhook file may
        contain: with spaces, control characters or invisible characters, or too long."""
        organization, slash, sandbox = text.partition("/")
        if not (organization and slash and sandbox) or "/" in sandbox:
            raise ValueError(f"not an address: {_excerpt(text)} (write ORGANIZATION/SANDBOX)")
        if len(organization) > MAX_NAME_CHARACTERS or len(sandbox) > MAX_NAME_CHARACTERS:
            raise ValueError(f"not an address: {_excerpt(text)} is longer than {MAX_NAME_CHARACTERS} characters")
        if any(is_invisible(character) or category(character) == "Zs" for character in text):
            raise ValueError(f"not an address: {_excerpt(text)} contains a space or an invisible character")
        return cls(organization, sandbox)


def _excerpt(text: str) -> str:
    """The text in quotes, with escapes, and not longer than a line."""
    return ascii(text if len(text) <= MAX_EXCERPT_CHARACTERS else f"{text[:MAX_EXCERPT_CHARACTERS]}...")


@dataclass(frozen=True, slots=True)
class EnvRef:
    """A secret in the relay's environment. The relay resolves only names that begin with HOOKLINE_SECRET_."""

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
    """A key for tokens. `id` is the JWT's ``kid`` (RFC 7515 §4.1.4). `activate` and `retire`: see `key_rotation`."""

    id: str
    secret: SecretRef
    passphrase: SecretRef | None = None
    activate: datetime | None = None
    retire: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtAuthentication:
    """A bearer token (RFC 7519). The first active key signs. If `audience` is None, it is the origin of the URL."""

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
    """A key for signatures: ``whsec_…`` (HMAC-SHA256) or ``whsk_…`` (Ed25519). The times: see `key_rotation`."""

    secret: SecretRef
    activate: datetime | None = None
    retire: datetime | None = None


@dataclass(frozen=True, slots=True)
class BodySignature:
    """The signature over a request's id, time and body (Standard Webhooks). Every active key signs."""

    keys: tuple[SignatureKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    initial_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(hours=1)
    max_age: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPolicy:
    """TLS files in PEM, all below the relay's secrets directory."""

    ca_file: str | None = None
    client_certificate: FileRef | None = None
    client_key: FileRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """The delivery to one endpoint. `timeout` is the deadline of an attempt: connect, TLS, headers and body."""

    timeout: timedelta = timedelta(seconds=10)
    concurrency: int = 16
    rate_limit: Rate | None = None
    ordering: Ordering = Ordering.MESSAGE
    retry: RetryPolicy = RetryPolicy()
    tls: TlsPolicy = TlsPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One webhook. `headers` has sorted lower-case names, `query` sorted names of parameters that are added to `url`.
    If `campaigns` is None, the webhook has all campaigns.
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
    query: tuple[tuple[str, str | SecretRef], ...] = ()
    campaigns: frozenset[str] | None
    message_types: frozenset[str] = frozenset({"transactional"})
    events: frozenset[FeedbackStatus] = frozenset(FeedbackStatus)
    payload: int = 1
    delivery: DeliveryPolicy = DeliveryPolicy()
    enabled: bool = True
    protected: bool = False

    def secrets(self) -> Iterator[SecretRef]:
        """Yields every secret reference, including duplicates."""
        yield from (value for _, value in (*self.headers, *self.query) if not isinstance(value, str))
        match self.authentication:
            case NoAuthentication():
                pass
            case JwtAuthentication(keys=keys):
                yield from (part for key in keys for part in (key.secret, key.passphrase) if part is not None)
            case _:
                assert_never(self.authentication)
        if self.signature is not None:
            yield from (key.secret for key in self.signature.keys)
        tls = self.delivery.tls
        if tls.ca_file is not None:
            yield FileRef(tls.ca_file)
        yield from (reference for reference in (tls.client_certificate, tls.client_key) if reference is not None)


@dataclass(frozen=True, slots=True)
class FileLocation:
    """The file that declares a webhook, as the user named it, and the line (from 1) on which its document begins."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """The place of a value in a file, as the user named it. Line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Declared:
    """A webhook of a file: the text of its canonical document (canonical.canonical_text), and its place.

    `find_place` finds the place of a value by its JSON pointer. It reads the file again. `inherited` has the places
    of the values that come from defaults files, by their JSON pointers.
    """

    canonical: str
    source: FileLocation
    find_place: Callable[[str], SourcePlace] | None = field(default=None, compare=False, repr=False)
    inherited: Mapping[str, SourcePlace] = field(default_factory=dict, compare=False, repr=False)

    def place_of(self, path: str) -> SourcePlace:
        """The place that a value of the effective document comes from, or that of its nearest parent in the file.

        `path` is a JSON pointer, such as ``/authentication/type``; ``/endpoint`` comes from the URL.
        """
        if (default := self.default_place(path)) is not None:
            return default
        if self.find_place is None:
            return SourcePlace(self.source.file, self.source.line, 1)
        return self.find_place(path)

    def default_place(self, path: str) -> SourcePlace | None:
        """The place in a defaults file that a value, or the value around it, comes from; None if it is the webhook's
        own. Reads no file."""
        while path and self.inherited:
            if path in self.inherited:
                return self.inherited[path]
            path = path.rpartition("/")[0]
        return None


@dataclass(frozen=True, slots=True)
class Desired:
    """The configuration in the files. If it is `narrowed`, only a part of it was read, and no webhook is deleted.

    `misnamed` are files that were not read although they may declare webhooks (``prod.YAML``). `moved_from` has the
    earlier address of each webhook whose file names one. It is no part of the canonical form.
    """

    webhooks: Mapping[Address, Declared]
    narrowed: bool = False
    misnamed: tuple[str, ...] = ()
    moved_from: Mapping[Address, Address] = field(default_factory=dict)
