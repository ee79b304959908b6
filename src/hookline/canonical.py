"""The canonical form of a webhook: the document by which two webhooks are compared.

A canonical document has no defaults, durations in their shortest spelling, sorted sets and lower-case header names.
It is a valid webhook file of version 1, so `read_webhook` reads files and the stored state. If a release adds a field
with a default, no document changes and no change is planned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

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
from hookline.units import format_duration, format_moment, parse_duration, parse_moment, parse_rate

Document = Mapping[str, Any]

# The defaults in the spelling of a webhook file, derived from their only table, the dataclasses of `model`.
_WEBHOOK = Webhook(address=Address("", ""), name="", channels=frozenset(), url="", campaigns=None)
_JWT = JwtAuthentication(algorithm="", keys=())
_WEBHOOK_DEFAULTS: Document = {
    "messageTypes": sorted(_WEBHOOK.message_types),
    "events": sorted(_WEBHOOK.events),
    "payload": _WEBHOOK.payload,
    "enabled": _WEBHOOK.enabled,
    "protected": _WEBHOOK.protected,
    "headers": dict(_WEBHOOK.headers),
    "authentication": {"type": "none"},
    "delivery": {},
}
_JWT_DEFAULTS: Document = {
    "lifetime": format_duration(_JWT.lifetime),
    "oneTime": _JWT.one_time,
    "header": _JWT.header,
    "claims": dict(_JWT.claims),
}
_DELIVERY_DEFAULTS: Document = {
    "timeout": format_duration(_WEBHOOK.delivery.timeout),
    "concurrency": _WEBHOOK.delivery.concurrency,
    "ordering": str(_WEBHOOK.delivery.ordering),
    "retry": {},
    "tls": {},
}
_RETRY_DEFAULTS: Document = {
    "initialDelay": format_duration(_WEBHOOK.delivery.retry.initial_delay),
    "maxDelay": format_duration(_WEBHOOK.delivery.retry.max_delay),
    "maxAge": format_duration(_WEBHOOK.delivery.retry.max_age),
}


def read_webhook(document: Document) -> Webhook:
    """Converts a valid document of version 1 to a webhook. Raises KeyError or ValueError for an invalid one."""
    sandbox = document["sandbox"]
    name, identifier = (sandbox, None) if isinstance(sandbox, str) else (sandbox["name"], sandbox.get("id"))
    campaigns = document["campaigns"]
    full = {**_WEBHOOK_DEFAULTS, **document}
    return Webhook(
        address=Address(document["organization"], name),
        sandbox_id=identifier,
        name=document["name"],
        description=document.get("description"),
        owner=document.get("owner"),
        channels=frozenset(Channel(channel) for channel in document["channels"]),
        url=document["url"],
        authentication=_read_authentication(full["authentication"]),
        signature=_read_signature(document["signature"]) if "signature" in document else None,
        headers=tuple(sorted((key.lower(), _read_value(value)) for key, value in full["headers"].items())),
        campaigns=None if campaigns == "all" else frozenset(campaigns),
        message_types=frozenset(full["messageTypes"]),
        events=frozenset(FeedbackStatus(event) for event in full["events"]),
        payload=full["payload"],
        delivery=_read_delivery(full["delivery"]),
        enabled=full["enabled"],
        protected=full["protected"],
    )


def _read_authentication(document: Document) -> Authentication:
    match document["type"]:
        case "none":
            return NoAuthentication()
        case "jwt":
            return _read_jwt(document)
        case other:
            raise ValueError(f"unknown authentication type: {other!r}")


def _read_jwt(document: Document) -> JwtAuthentication:
    full = {**_JWT_DEFAULTS, **document}
    return JwtAuthentication(
        algorithm=full["algorithm"],
        keys=tuple(_read_key(key) for key in full["keys"]),
        issuer=full.get("issuer"),
        subject=full.get("subject"),
        audience=full.get("audience"),
        lifetime=parse_duration(full["lifetime"]),
        one_time=full["oneTime"],
        header=full["header"].lower(),
        claims=full["claims"],
    )


def _read_key(document: Document) -> SigningKey:
    passphrase = document.get("passphrase")
    return SigningKey(
        str(document["id"]),
        _read_secret(document["secret"]),
        passphrase=None if passphrase is None else _read_secret(passphrase),
        activate=_moment_or_none(document.get("activate")),
        retire=_moment_or_none(document.get("retire")),
    )


def _read_signature(document: Document) -> BodySignature:
    if document["type"] != "standard-webhooks":
        raise ValueError(f"unknown signature type: {document['type']!r}")
    return BodySignature(
        tuple(
            SignatureKey(
                secret=_read_secret(key["secret"]),
                activate=_moment_or_none(key.get("activate")),
                retire=_moment_or_none(key.get("retire")),
            )
            for key in document["keys"]
        )
    )


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text)


def _read_delivery(document: Document) -> DeliveryPolicy:
    full = {**_DELIVERY_DEFAULTS, **document}
    retry = {**_RETRY_DEFAULTS, **full["retry"]}
    tls = full["tls"]
    return DeliveryPolicy(
        timeout=parse_duration(full["timeout"]),
        concurrency=full["concurrency"],
        rate_limit=parse_rate(full["rateLimit"]) if "rateLimit" in full else None,
        ordering=Ordering(full["ordering"]),
        retry=RetryPolicy(
            initial_delay=parse_duration(retry["initialDelay"]),
            max_delay=parse_duration(retry["maxDelay"]),
            max_age=parse_duration(retry["maxAge"]),
        ),
        tls=TlsPolicy(
            ca_file=tls.get("caFile"),
            client_certificate=_file_or_none(tls.get("clientCertificate")),
            client_key=_file_or_none(tls.get("clientKey")),
        ),
    )


def _read_value(value: str | Document) -> str | SecretRef:
    return value if isinstance(value, str) else _read_secret(value)


def _read_secret(document: Document) -> SecretRef:
    return EnvRef(document["env"]) if "env" in document else FileRef(document["file"])


def _file_or_none(document: Document | None) -> FileRef | None:
    return None if document is None else FileRef(document["file"])


def write_webhook(webhook: Webhook) -> dict[str, Any]:
    """Returns the canonical document. For every webhook, `read_webhook(write_webhook(w)) == w`."""
    sandbox = webhook.address.sandbox
    document: dict[str, Any] = {
        "version": 1,
        "organization": webhook.address.organization,
        "sandbox": {"name": sandbox, "id": webhook.sandbox_id} if webhook.sandbox_id else sandbox,
        "name": webhook.name,
        "description": webhook.description,
        "owner": webhook.owner,
        "channels": sorted(webhook.channels),
        "url": webhook.url,
        "authentication": _write_authentication(webhook.authentication),
        "signature": _write_signature(webhook.signature),
        "headers": {name: _write_value(value) for name, value in webhook.headers},
        "campaigns": "all" if webhook.campaigns is None else sorted(webhook.campaigns),
        "messageTypes": sorted(webhook.message_types),
        "events": sorted(webhook.events),
        "payload": webhook.payload,
        "delivery": _write_delivery(webhook.delivery),
        "enabled": webhook.enabled,
        "protected": webhook.protected,
    }
    return _drop_defaults(document, _WEBHOOK_DEFAULTS)


def _write_authentication(authentication: Authentication) -> dict[str, Any]:
    match authentication:
        case NoAuthentication():
            return {"type": "none"}
        case JwtAuthentication():
            document = {
                "type": "jwt",
                "algorithm": authentication.algorithm,
                "keys": [_write_key(key) for key in authentication.keys],
                "issuer": authentication.issuer,
                "subject": authentication.subject,
                "audience": authentication.audience,
                "lifetime": format_duration(authentication.lifetime),
                "oneTime": authentication.one_time,
                "header": authentication.header,
                "claims": dict(authentication.claims),
            }
            return _drop_defaults(document, _JWT_DEFAULTS)
        case _:
            assert_never(authentication)


def _write_key(key: SigningKey) -> dict[str, Any]:
    document = {
        "id": key.id,
        "secret": _write_value(key.secret),
        "passphrase": None if key.passphrase is None else _write_value(key.passphrase),
        **_write_times(key.activate, key.retire),
    }
    return _drop_defaults(document, {})


def _write_signature(signature: BodySignature | None) -> dict[str, Any] | None:
    if signature is None:
        return None
    keys = [{"secret": _write_value(key.secret), **_write_times(key.activate, key.retire)} for key in signature.keys]
    return {"type": "standard-webhooks", "keys": [_drop_defaults(key, {}) for key in keys]}


def _write_times(activate: datetime | None, retire: datetime | None) -> dict[str, str | None]:
    return {
        "activate": None if activate is None else format_moment(activate),
        "retire": None if retire is None else format_moment(retire),
    }


def _write_delivery(delivery: DeliveryPolicy) -> dict[str, Any]:
    retry = {
        "initialDelay": format_duration(delivery.retry.initial_delay),
        "maxDelay": format_duration(delivery.retry.max_delay),
        "maxAge": format_duration(delivery.retry.max_age),
    }
    tls = {
        "caFile": delivery.tls.ca_file,
        "clientCertificate": _write_optional(delivery.tls.client_certificate),
        "clientKey": _write_optional(delivery.tls.client_key),
    }
    document = {
        "timeout": format_duration(delivery.timeout),
        "concurrency": delivery.concurrency,
        "rateLimit": None if delivery.rate_limit is None else str(delivery.rate_limit),
        "ordering": str(delivery.ordering),
        "retry": _drop_defaults(retry, _RETRY_DEFAULTS),
        "tls": _drop_defaults(tls, {}),
    }
    return _drop_defaults(document, _DELIVERY_DEFAULTS)


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


def _write_optional(reference: FileRef | None) -> dict[str, str] | None:
    return None if reference is None else {"file": reference.path}


def _drop_defaults(document: Mapping[str, Any], defaults: Document) -> dict[str, Any]:
    return {
        key: value
        for key, value in document.items()
        if value is not None and not (key in defaults and defaults[key] == value)
    }


def canonical_json(value: object) -> bytes:
    """Returns JSON in UTF-8 with sorted keys and without spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: object) -> str:
    """Returns ``sha256:…``, the hash of the canonical JSON of a value."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()
