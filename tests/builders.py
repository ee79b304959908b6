"""Builders of the values that tests pass to hookline.

Every builder has plain defaults. Keywords replace any field, so that a test names only the fields that it is about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hookline.canonical import canonical_document, canonical_text, read_webhook
from hookline.model import Address, Declared, Desired, FileLocation, Webhook
from hookline.relay.delivery_record import Delivery, Line
from hookline.relay.event import Event
from hookline.relay.routing import Routes
from hookline.relay.spool.spool_values import IngestBatch, NewDelivery, QueuedDelivery, Settlement, State
from hookline.state.store import HistoryEntry, Snapshot, Stored

ACME = Address("acme", "prod")
URL = "https://hooks.acme.example/a"


def document(address: Address | str = ACME, **fields: Any) -> dict[str, Any]:
    """The canonical document of a webhook. A text as `address` is a sandbox of the organization `acme`."""
    where = Address("acme", address) if isinstance(address, str) else address
    return {
        "version": 1,
        "organization": where.organization,
        "sandbox": where.sandbox,
        "name": "Feedback",
        "channels": ["email"],
        "url": URL,
        "campaigns": "all",
        **fields,
    }


def declared(found: Mapping[str, Any], file: str = "webhooks/a.yaml", line: int = 1) -> Declared:
    """The webhook of a valid document, as if `file` declared it."""
    return Declared(canonical_text(canonical_document(found)), FileLocation(file, line))


def desired(*found: Mapping[str, Any], file: str = "webhooks/a.yaml", narrowed: bool = False) -> Desired:
    """The webhooks of valid documents, as if `file` declared them all."""
    webhooks = {read_webhook(one).address: declared(one, file) for one in found}
    return Desired(webhooks, narrowed)


def webhook(address: Address = ACME, **fields: Any) -> Webhook:
    """A webhook without authentication, for no channel and every campaign."""
    return Webhook(**{
        "address": address, "name": "Feedback", "channels": frozenset(), "url": URL, "campaigns": None, **fields
    })  # fmt: skip


def entry(who: str = "ada", **fields: Any) -> HistoryEntry:
    """The history entry of one apply by `who`, with no changes, from the commit `c0ffee`."""
    return HistoryEntry(**{
        "at": datetime(2026, 11, 3, 9, 30, tzinfo=UTC), "who": who, "commit": "c0ffee", "branch": None,
        "fingerprint": "sha256:0", "changes": (), **fields,
    })  # fmt: skip


def routes(*documents: Mapping[str, Any]) -> Routes:
    """The routes to the webhooks of these documents."""
    stored = [Stored.of(one) for one in documents]
    return Routes.from_snapshot(Snapshot("L", 1, {one.webhook.address: one for one in stored}))


def event(**fields: Any) -> Event:
    """An event with the two fields that every payload needs: an email that was sent."""
    return Event(**{"channel": "email", "status": "sent", **fields})


def line(data: bytes, number: int = 1) -> Line:
    """A whole line of a source."""
    return Line(number, data, len(data))


def delivery(name: str, **fields: Any) -> Delivery:
    """A delivery whose id, request id and body come from `name`; it belongs to no message."""
    return Delivery(**{
        "id": hashlib.blake2b(name.encode(), digest_size=16).digest(), "address": ACME, "order_key": None,
        "body": name.encode(), "request_id": f"request-{name}", "channel": "email", "status": "sent", **fields,
    })  # fmt: skip


def ingest_batch(*deliveries: Delivery, line: int = 1, **fields: Any) -> IngestBatch:
    """A batch of the source `events` without a position; all its deliveries come from the line number `line`."""
    return IngestBatch(**{
        "source": "events", "position": None, "read": len(deliveries),
        "deliveries": [NewDelivery(line, one) for one in deliveries], "skipped": {}, "rejected": [], **fields,
    })  # fmt: skip


def queued_delivery(seq: int = 1, **fields: Any) -> QueuedDelivery:
    """A delivery that waits in the spool and was never attempted; its id and order key come from `seq`."""
    return QueuedDelivery(**{
        "seq": seq, "id": seq.to_bytes(16, "big"), "address": ACME, "due": None, "order_key": seq, "attempts": 0,
        "tries": 0, "refusals": 0, "since": 0.0, "event_time": None, "history": None, "body": b"{}", **fields,
    })  # fmt: skip


def settlement(item: QueuedDelivery, state: State = State.DELIVERED, **fields: Any) -> Settlement:
    """The result of one more attempt at `item`."""
    return Settlement(**{
        "seq": item.seq, "address": item.address, "order_key": item.order_key, "state": state,
        "attempts": item.attempts + 1, "tries": item.tries + 1, "refusals": item.refusals, "posts": 1, **fields,
    })  # fmt: skip


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_key(algorithm: str = "ES256") -> PrivateKey:
    """A new private key for a JWT algorithm (RFC 7518)."""
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65537, 2048)


def private_pem(key: PrivateKey) -> bytes:
    """The key as PEM: PKCS #8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def xdm_event(number: int, message: int, status: str = "sent", **failure: str) -> dict[str, Any]:
    """An event of the platform's dataset; equal `message`s are events of one message to one recipient."""
    return {
        "_id": f"event-{number}",
        "eventType": "message.feedback",
        "timestamp": "2026-05-18T17:01:25.000Z",
        "identityMap": {"email": [{"id": f"user{message}@example.com", "primary": True}]},
        "_experience": {
            "customerJourneyManagement": {
                "messageExecution": {
                    "messageExecutionID": f"message-{message}",
                    "messageType": "transactional",
                    "campaignID": "16f24a15-7e21-477c-848a-d5695ca7f137",
                    "campaignVersionID": "2ca10c10-56dd-4505-87cd-fa5da84e7a5d",
                },
                "messageProfile": {
                    "channel": {"_id": "https://ns.adobe.com/xdm/channels/email"},
                    "requestID": f"request-{number}",
                },
                "messageDeliveryfeedback": {
                    "feedbackStatus": status,
                    "retryCount": 0,
                    **({"messageFailure": failure} if failure else {}),
                },
            }
        },
    }


def as_lines(events: Iterable[dict[str, Any]]) -> bytes:
    """The events as newline-delimited JSON."""
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)
