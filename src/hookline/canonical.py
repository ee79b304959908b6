"""The canonical form of a webhook: the document by which two webhooks are compared.

A canonical document has no defaults, durations in their shortest spelling, sorted sets and lower-case header names.
It is a valid webhook file of version 1, so `read_webhook` reads files and the stored state. If a release adds a field
with a default, no document changes and no change is planned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, assert_never

from hookline.model import (
    Address,
    Authentication,
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


class _Converter(NamedTuple):
    """Converts a value of a document to a value of the model, and back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


class _Record:
    """Converts a mapping to a dataclass of the model, and back.

    Each field has the key of its name in camel case. A field that is not written has its default in the model, which
    is the only table of the defaults. A null counts as not written. Keys are written in the order of the arguments.
    """

    def __init__(
        self, kind: type[Any], besides: frozenset[str] = frozenset(), /, **converters: _Converter | _Record
    ) -> None:
        """Refuses a field without a converter. The caller converts the fields that `besides` names."""
        self._kind = kind
        defaults = {
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields(kind)
        }
        assert converters.keys() == defaults.keys() - besides, kind
        self._rows = [
            (_camel_case(name), name, converter.read, converter.write, defaults[name])
            for name, converter in converters.items()
        ]
        self.keys_with_default = {key for key, *_, default in self._rows if default not in (MISSING, None)}

    def read(self, document: Document, **others: Any) -> Any:
        """`others` are the fields that the caller converts. Raises KeyError if a required key is missing."""
        found = {
            name: read(document[key])
            for key, name, read, _, default in self._rows
            if default is MISSING or document.get(key) is not None
        }
        return self._kind(**found, **others)

    def write(self, value: Any) -> dict[str, Any]:
        return {
            key: write(found)
            for key, name, _, write, default in self._rows
            if (found := getattr(value, name)) != default
        }


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _list_of(item: _Record) -> _Converter:
    return _Converter(lambda items: tuple(map(item.read, items)), lambda values: list(map(item.write, values)))


def _set_of(kind: Callable[[str], str]) -> _Converter:
    return _Converter(lambda items: frozenset(map(kind, items)), sorted)


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


def _read_authentication(document: Document) -> Authentication:
    match document["type"]:
        case "none":
            return NoAuthentication()
        case "jwt":
            authentication: JwtAuthentication = _JWT.read(document)
            return authentication
        case other:
            raise ValueError(f"unknown authentication type: {other!r}")


def _write_authentication(authentication: Authentication) -> dict[str, Any]:
    match authentication:
        case NoAuthentication():
            return {"type": "none"}
        case JwtAuthentication():
            return {"type": "jwt", **_JWT.write(authentication)}
        case _:
            assert_never(authentication)


def _read_signature(document: Document) -> Any:
    if document["type"] != "standard-webhooks":
        raise ValueError(f"unknown signature type: {document['type']!r}")
    return _BODY_SIGNATURE.read(document)


_PLAIN = _Converter(_unchanged, _unchanged)
_DURATION = _Converter(parse_duration, format_duration)
_MOMENT = _Converter(parse_moment, utc_text)
_SECRET = _Converter(_read_secret, _write_value)
_FILE = _Converter(lambda document: FileRef(document["file"]), _write_value)

_ID = _Converter(str, _unchanged)
_SIGNING_KEY = _Record(SigningKey, id=_ID, secret=_SECRET, passphrase=_SECRET, activate=_MOMENT, retire=_MOMENT)
_JWT = _Record(
    JwtAuthentication,
    algorithm=_PLAIN,
    keys=_list_of(_SIGNING_KEY),
    issuer=_PLAIN,
    subject=_PLAIN,
    audience=_PLAIN,
    lifetime=_DURATION,
    one_time=_PLAIN,
    header=_Converter(str.lower, _unchanged),
    claims=_Converter(_unchanged, dict),
)
_BODY_SIGNATURE = _Record(
    BodySignature, keys=_list_of(_Record(SignatureKey, secret=_SECRET, activate=_MOMENT, retire=_MOMENT))
)
_RETRY = _Record(RetryPolicy, initial_delay=_DURATION, max_delay=_DURATION, max_age=_DURATION)
_DELIVERY = _Record(
    DeliveryPolicy,
    timeout=_DURATION,
    concurrency=_PLAIN,
    rate_limit=_Converter(parse_rate, str),
    ordering=_Converter(Ordering, str),
    retry=_RETRY,
    tls=_Record(TlsPolicy, ca_file=_PLAIN, client_certificate=_FILE, client_key=_FILE),
)
_WEBHOOK = _Record(
    Webhook,
    frozenset({"address", "sandbox_id"}),
    name=_PLAIN,
    description=_PLAIN,
    owner=_PLAIN,
    channels=_set_of(Channel),
    url=_PLAIN,
    authentication=_Converter(_read_authentication, _write_authentication),
    signature=_Converter(
        _read_signature, lambda signature: {"type": "standard-webhooks", **_BODY_SIGNATURE.write(signature)}
    ),
    headers=_Converter(
        lambda headers: tuple(sorted((name.lower(), _read_value(value)) for name, value in headers.items())),
        lambda headers: {name: _write_value(value) for name, value in headers},
    ),
    query=_Converter(
        lambda query: tuple(sorted((name, _read_value(value)) for name, value in query.items())),
        lambda query: {name: _write_value(value) for name, value in query},
    ),
    campaigns=_Converter(
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
    sandbox = document["sandbox"]
    name, identifier = (sandbox, None) if isinstance(sandbox, str) else (sandbox["name"], sandbox.get("id"))
    webhook: Webhook = _WEBHOOK.read(document, address=Address(document["organization"], name), sandbox_id=identifier)
    return webhook


def write_webhook(webhook: Webhook) -> dict[str, Any]:
    """Returns the canonical document. For every webhook, `read_webhook(write_webhook(w)) == w`."""
    organization, sandbox = webhook.address
    return {
        "version": 1,
        "organization": organization,
        "sandbox": {"name": sandbox, "id": webhook.sandbox_id} if webhook.sandbox_id else sandbox,
        **_WEBHOOK.write(webhook),
    }


def canonical_json(value: object) -> bytes:
    """Returns JSON in UTF-8 with sorted keys and without spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: object) -> str:
    """Returns ``sha256:…``, the hash of the canonical JSON of a value."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()
