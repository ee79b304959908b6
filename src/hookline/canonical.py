"""The canonical form of a webhook: the document by which two webhooks are compared.

A canonical document has no defaults, durations in their shortest spelling, sorted sets and lower-case header names.
It is a valid webhook file of version 1, so `read_webhook` reads files and the stored state. If a release adds a field
with a default, no document changes and no change is planned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, assert_never

from hookline.converters import ListConverter, RecordConverter, TypedConverter, ValueConverter
from hookline.model import (
    Address,
    BodySignature,
    Channel,
    DeliveryPolicy,
    EnvRef,
    FeedbackStatus,
    FileRef,
    JwtAuthentication,
    NoAuthentication,
    Ordering,
    RetryPolicy,
    SecretRef,
    SignatureKey,
    SigningKey,
    TlsPolicy,
    Webhook,
)
from hookline.units import format_duration, parse_duration, parse_moment, parse_rate, utc_text

Document = Mapping[str, Any]


def _set_of(kind: Callable[[str], str]) -> ValueConverter:
    return ValueConverter(lambda items: frozenset(map(kind, items)), sorted)


def _unchanged(value: Any) -> Any:
    return value


def _read_secret(document: Document) -> SecretRef:
    return EnvRef(document["env"]) if "env" in document else FileRef(document["file"])


def _read_value(value: str | Document) -> str | SecretRef:
    return value if isinstance(value, str) else _read_secret(value)


def _write_value(value: str | SecretRef) -> str | dict[str, str]:
    match value:
        case EnvRef(name):
            return {"env": name}
        case FileRef(path):
            return {"file": path}
        case str():
            return value
        case _:
            assert_never(value)


_PLAIN = ValueConverter(_unchanged, _unchanged)
# Ten thousand files use few different durations.
_DURATION = ValueConverter(lru_cache(maxsize=256)(parse_duration), format_duration)
_MOMENT = ValueConverter(parse_moment, utc_text)
_SECRET = ValueConverter(_read_secret, _write_value)
_FILE = ValueConverter(lambda document: FileRef(document["file"]), _write_value)

_ID = ValueConverter(str, _unchanged)
_SIGNING_KEY = RecordConverter(
    SigningKey, id=_ID, secret=_SECRET, passphrase=_SECRET, activate=_MOMENT, retire=_MOMENT
)
_JWT = RecordConverter(
    JwtAuthentication,
    algorithm=_PLAIN,
    keys=ListConverter(_SIGNING_KEY),
    issuer=_PLAIN,
    subject=_PLAIN,
    audience=_PLAIN,
    lifetime=_DURATION,
    one_time=_PLAIN,
    header=ValueConverter(str.lower, _unchanged),
    claims=ValueConverter(_unchanged, dict),
)
_BODY_SIGNATURE = RecordConverter(
    BodySignature, keys=ListConverter(RecordConverter(SignatureKey, secret=_SECRET, activate=_MOMENT, retire=_MOMENT))
)
_RETRY = RecordConverter(RetryPolicy, initial_delay=_DURATION, max_delay=_DURATION, max_age=_DURATION)
_DELIVERY = RecordConverter(
    DeliveryPolicy,
    timeout=_DURATION,
    concurrency=_PLAIN,
    rate_limit=ValueConverter(parse_rate, str),
    ordering=ValueConverter(Ordering, str),
    retry=_RETRY,
    tls=RecordConverter(TlsPolicy, ca_file=_PLAIN, client_certificate=_FILE, client_key=_FILE),
)
_WEBHOOK = RecordConverter(
    Webhook,
    frozenset({"address", "sandbox_id"}),
    name=_PLAIN,
    description=_PLAIN,
    owner=_PLAIN,
    channels=_set_of(Channel),
    url=_PLAIN,
    authentication=TypedConverter(none=RecordConverter(NoAuthentication), jwt=_JWT),
    signature=TypedConverter(standard_webhooks=_BODY_SIGNATURE),
    headers=ValueConverter(
        lambda headers: tuple(sorted((name.lower(), _read_value(value)) for name, value in headers.items())),
        lambda headers: {name: _write_value(value) for name, value in headers},
    ),
    query=ValueConverter(
        lambda query: tuple(sorted((name, _read_value(value)) for name, value in query.items())),
        lambda query: {name: _write_value(value) for name, value in query},
    ),
    campaigns=ValueConverter(
        lambda campaigns: None if campaigns == "all" else frozenset(campaigns),
        lambda campaigns: "all" if campaigns is None else sorted(campaigns),
    ),
    message_types=_set_of(str),
    events=_set_of(FeedbackStatus),
    payload=_PLAIN,
    delivery=_DELIVERY,
    enabled=_PLAIN,
    protected=_PLAIN,
)


def read_webhook(document: Document) -> Webhook:
    """Converts a valid document of version 1 to a webhook. Raises KeyError or ValueError for an invalid one."""
    name, identifier = _sandbox(document)
    webhook: Webhook = _WEBHOOK.read(document, address=Address(document["organization"], name), sandbox_id=identifier)
    return webhook


def canonical_document(document: Document) -> dict[str, Any]:
    """Returns the canonical form of a valid document of version 1. Raises like `read_webhook`.

    The canonical form is itself a valid document, of an equal webhook, and its own canonical form.
    """
    name, identifier = _sandbox(document)
    return {
        "version": 1,
        "organization": document["organization"],
        "sandbox": {"name": name, "id": identifier} if identifier else name,
        **(_WEBHOOK.canonical(document) or {}),
    }


def complete_document(document: Document) -> dict[str, Any]:
    """Returns the canonical form of a valid document with every default filled in. Raises like `read_webhook`.

    `sandbox` is always a mapping. A field that has no value and no default is left out.
    """
    name, identifier = _sandbox(document)
    return {
        "version": 1,
        "organization": document["organization"],
        "sandbox": {"name": name, "id": identifier} if identifier else {"name": name},
        **_WEBHOOK.complete(document),
    }


def _sandbox(document: Document) -> tuple[str, str | None]:
    sandbox = document["sandbox"]
    return (sandbox, None) if isinstance(sandbox, str) else (sandbox["name"], sandbox.get("id"))


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_text(value: object) -> str:
    """Returns JSON with sorted keys and without spaces: equal values give equal texts."""
    return _ENCODER.encode(value)


def canonical_json(value: object) -> bytes:
    """Returns `canonical_text` in UTF-8."""
    return canonical_text(value).encode()


def digest(value: object) -> str:
    """Returns ``sha256:…``, the hash of the canonical JSON of a value."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()
