"""Writes the canonical document of a webhook of the model: the inverse of `read_webhook`.

hookline itself only reads documents. Tests that draw webhooks write them with it, and compare `canonical_document`
with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from hookline.model import BodySignature, EnvRef, FileRef, JwtAuthentication, NoAuthentication, Webhook
from hookline.units import Rate, format_duration, utc_text


def write_webhook(webhook: Webhook) -> dict[str, Any]:
    """The document. For every webhook, `read_webhook(write_webhook(webhook)) == webhook`."""
    organization, sandbox = webhook.address
    written = _fields(webhook)
    del written["address"]
    written |= {"version": 1, "organization": organization, "sandbox": sandbox}
    if (identifier := written.pop("sandboxId", None)) is not None:
        written["sandbox"] = {"name": sandbox, "id": identifier}
    written["campaigns"] = "all" if webhook.campaigns is None else sorted(webhook.campaigns)
    return written | {
        name: {key: _value(value) for key, value in pairs}
        for name, pairs in (("headers", webhook.headers), ("query", webhook.query))
        if pairs
    }


def _fields(value: Any) -> dict[str, Any]:
    """Every field of a dataclass that does not have its default."""
    found = {}
    for field in fields(value):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if (own := getattr(value, field.name)) != default:
            first, *others = field.name.split("_")
            found[first + "".join(map(str.capitalize, others))] = _value(own)
    return found


def _value(value: Any) -> Any:
    match value:
        case EnvRef(name):
            return {"env": name}
        case FileRef(path):
            return {"file": path}
        case NoAuthentication():
            return {"type": "none"}
        case JwtAuthentication():
            return {"type": "jwt", **_fields(value)}
        case BodySignature():
            return {"type": "standard-webhooks", **_fields(value)}
        case Rate():
            return str(value)
        case timedelta():
            return format_duration(value)
        case datetime():
            return utc_text(value)
        case frozenset():
            return sorted(value)
        case tuple():
            return list(map(_value, value))
        case Mapping():
            return dict(value)
        case _:
            return _fields(value) if is_dataclass(value) else value
