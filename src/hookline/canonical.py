"""The canonical form of a webhook: the document by which two webhooks are compared.

A canonical document has no defaults, durations in their shortest spelling, sorted sets and lower-case header names.
It is a valid webhook file of version 1, so `read_webhook` reads files and the stored state. If a release adds a field
with a default, no document changes and no change is planned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Any, assert_never

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


@dataclass(frozen=True, slots=True)
class _Converter:
    """Converts a value of a document to a value of the model, and back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]

    def canonical(self, value: Any, default: Any) -> Any:
        """The canonical form of a value of a document; None if the model has it as the default."""
        found = self.read(value)
        return None if found == default else self.write(found)

    def complete(self, value: Any, default: Any) -> Any:
        """The canonical spelling of a value of a document, or of the default if it is None."""
        return self.write(default if value is None else self.read(value))


class _Record:
    """Converts a mapping to a dataclass of the model, and to a canonical mapping.

    Each field has the key of its name in camel case. A field that is not written has its default in the model, which
    is the only table of the defaults. A null counts as not written. Keys are written in the order of the arguments.
    """

    def __init__(
        self,
        kind: type[Any],
        besides: frozenset[str] = frozenset(),
        /,
        **converters: _Converter | _Record | _ListOf | _Typed,
    ) -> None:
        """Refuses a field without a converter. The caller converts the fields that `besides` names."""
        self._kind = kind
        defaults = {
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields(kind)
        }
        assert converters.keys() == defaults.keys() - besides, kind
        self._rows = [
            (_camel_case(name), name, converter.read, converter.canonical, defaults[name])
            for name, converter in converters.items()
        ]
        self._complete = [(_camel_case(name), one.complete, defaults[name]) for name, one in converters.items()]
        self.keys_with_default = {key for key, *_, default in self._rows if default not in (MISSING, None)}

    def read(self, document: Document, **others: Any) -> Any:
        """`others` are the fields that the caller converts. Raises KeyError if a required key is missing."""
        found = {
            name: read(document[key])
            for key, name, read, _, default in self._rows
            if default is MISSING or document.get(key) is not None
        }
        return self._kind(**found, **others)

    def canonical(self, document: Document, _default: Any = None) -> dict[str, Any] | None:
        """The canonical mapping; None if each field has its default. No object of the model is built for it."""
        found = {
            key: written
            for key, _, _, canonical, default in self._rows
            if (value := document.get(key)) is not None and (written := canonical(value, default)) is not None
        }
        return found or None

    def complete(self, document: Document | None, _default: Any = None) -> dict[str, Any]:
        """The canonical mapping with every default. A key whose default is None is left out if it is not written."""
        written = document or {}
        return {
            key: complete(written.get(key), default)
            for key, complete, default in self._complete
            if written.get(key) is not None or default not in (MISSING, None)
        }


@dataclass(frozen=True, slots=True)
class _ListOf:
    """Converts a list of mappings."""

    item: _Record

    def read(self, items: list[Document]) -> tuple[Any, ...]:
        return tuple(map(self.item.read, items))

    def canonical(self, items: list[Document], _default: Any) -> list[Any]:
        return list(map(self.item.canonical, items))

    def complete(self, items: list[Document] | None, _default: Any) -> list[Any]:
        return list(map(self.item.complete, items or ()))


class _Typed:
    """Converts a mapping whose key `type` chooses the record."""

    def __init__(self, **records: _Record) -> None:
        self._records = {name.replace("_", "-"): record for name, record in records.items()}

    def read(self, document: Document) -> Any:
        return self._record(document).read(document)

    def canonical(self, document: Document, _default: Any) -> dict[str, Any] | None:
        found = self._record(document).canonical(document)
        return None if found is None else {"type": document["type"], **found}

    def complete(self, document: Document | None, _default: Any) -> dict[str, Any]:
        written = document or {"type": "none"}
        return {"type": written["type"], **self._record(written).complete(written)}

    def _record(self, document: Document) -> _Record:
        if document["type"] not in self._records:
            raise ValueError(f"unknown type: {document['type']!r}")
        return self._records[document["type"]]


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


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


_PLAIN = _Converter(_unchanged, _unchanged)
# Ten thousand files use few different durations.
_DURATION = _Converter(lru_cache(maxsize=256)(parse_duration), format_duration)
_MOMENT = _Converter(parse_moment, utc_text)
_SECRET = _Converter(_read_secret, _write_value)
_FILE = _Converter(lambda document: FileRef(document["file"]), _write_value)

_ID = _Converter(str, _unchanged)
_SIGNING_KEY = _Record(SigningKey, id=_ID, secret=_SECRET, passphrase=_SECRET, activate=_MOMENT, retire=_MOMENT)
_JWT = _Record(
    JwtAuthentication,
    algorithm=_PLAIN,
    keys=_ListOf(_SIGNING_KEY),
    issuer=_PLAIN,
    subject=_PLAIN,
    audience=_PLAIN,
    lifetime=_DURATION,
    one_time=_PLAIN,
    header=_Converter(str.lower, _unchanged),
    claims=_Converter(_unchanged, dict),
)
_BODY_SIGNATURE = _Record(
    BodySignature, keys=_ListOf(_Record(SignatureKey, secret=_SECRET, activate=_MOMENT, retire=_MOMENT))
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
    authentication=_Typed(none=_Record(NoAuthentication), jwt=_JWT),
    signature=_Typed(standard_webhooks=_BODY_SIGNATURE),
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
