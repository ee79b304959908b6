"""A webhook as a document, and which documents are the same webhook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical_writer import write_webhook
from hookline import canonical
from hookline.canonical import canonical_document, canonical_json, digest, read_webhook
from hookline.config.rules.all_rules import check_rules
from hookline.config.schema import schema_validator
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
    SignatureKey,
    SigningKey,
    TlsPolicy,
    Webhook,
)
from hookline.schemas import load_schema
from hookline.units import Rate
from random_webhooks import webhook_documents

names = st.from_regex(r"[a-z][a-z0-9-]{0,11}", fullmatch=True)
lines = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=20)
files = st.builds(FileRef, names)
secrets = files | st.builds(EnvRef, names.map(lambda name: "HOOKLINE_SECRET_" + name.upper().replace("-", "_")))


def durations(least: int, most: int) -> st.SearchStrategy[timedelta]:
    """Whole milliseconds within a range that the checks allow."""
    return st.integers(least, most).map(lambda milliseconds: timedelta(milliseconds=milliseconds))


moments = st.none() | st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
signing_keys = st.builds(SigningKey, lines, secrets, activate=moments)
jwts = st.builds(
    JwtAuthentication,
    algorithm=st.sampled_from(["ES256", "RS512", "EdDSA", "HS256"]),
    keys=st.lists(
        st.builds(SigningKey, lines, secrets, activate=moments), min_size=1, max_size=3, unique_by=lambda key: key.id
    ).map(tuple),
    issuer=st.none() | lines,
    subject=st.none() | lines,
    audience=st.none() | lines,
    lifetime=durations(30_000, 3_600_000),
    one_time=st.booleans(),
    header=st.sampled_from(["authorization", "x-signed"]),
    claims=st.dictionaries(names.filter(lambda name: len(name) > 3), st.integers(0, 9) | st.lists(lines, max_size=2)),
)
tls = st.builds(TlsPolicy, ca_file=st.none() | names) | st.builds(
    TlsPolicy, client_certificate=files, client_key=files
)
deliveries = st.builds(
    DeliveryPolicy,
    timeout=durations(100, 600_000),
    concurrency=st.integers(1, 1024),
    rate_limit=st.none() | st.builds(Rate, st.integers(1, 9999), st.sampled_from([1, 60, 3600])),
    ordering=st.sampled_from(Ordering),
    retry=st.builds(
        RetryPolicy,
        initial_delay=durations(1, 10_000),
        max_delay=durations(10_000, 3_600_000),
        max_age=durations(3_600_000, 259_200_000),
    ),
    tls=tls,
)
webhooks = st.builds(
    Webhook,
    address=st.builds(Address, names, names),
    sandbox_id=st.none() | names,
    name=lines,
    description=st.none() | lines,
    owner=st.none() | lines,
    channels=st.sets(st.sampled_from(Channel), min_size=1).map(frozenset),
    url=names.map("https://hooks.acme.example/{}".format),
    authentication=st.just(NoAuthentication()) | jwts,
    signature=st.none()
    | st.lists(st.builds(SignatureKey, secret=secrets, activate=moments), min_size=1, max_size=3).map(
        lambda keys: BodySignature(tuple(keys))
    ),
    headers=st.dictionaries(names.map("x-team-{}-a".format), secrets | names, max_size=3).map(
        lambda headers: tuple(sorted(headers.items()))
    ),
    campaigns=st.none() | st.sets(names, min_size=1).map(frozenset),
    message_types=st.sets(st.sampled_from(["transactional", "marketing"]), min_size=1).map(frozenset),
    events=st.sets(st.sampled_from(FeedbackStatus), min_size=1).map(frozenset),
    delivery=deliveries,
    enabled=st.booleans(),
    protected=st.booleans(),
)

MINIMAL: dict[str, Any] = {
    "version": 1,
    "organization": "1234567890ABCDEF@AdobeOrg",
    "sandbox": "prod",
    "name": "Feedback",
    "channels": ["email", "sms"],
    "url": "https://hooks.acme.example",
    "campaigns": "all",
}


@given(webhooks)
def test_what_was_written_is_read_back(webhook: Webhook) -> None:
    """The canonical document of every webhook reads as that webhook, and is its own canonical form."""
    document = write_webhook(webhook)
    assert webhook == read_webhook(document)
    assert document == canonical_document(document)


@given(webhook_documents(Address("acme", "prod")))
def test_no_spelling_changes_the_canonical_document(document: dict[str, Any]) -> None:
    """The canonical form of a document in any spelling is the document of the webhook that it is read as."""
    assert write_webhook(read_webhook(document)) == canonical_document(document)


@given(webhooks)
def test_a_canonical_document_is_a_valid_webhook_file(webhook: Webhook) -> None:
    """What `export` would write passes validation: there is nothing to find in it."""
    document = write_webhook(webhook)
    assert [*schema_validator.check_schema(document), *check_rules(document)] == []


def test_a_key_without_times_is_written_as_it_always_was() -> None:
    """Times, passphrase and signature are left out where they are not written, and times are written in UTC."""
    key = {"id": "a", "secret": {"file": "a.pem"}}
    timed = {
        "passphrase": {"env": "HOOKLINE_SECRET_P"},
        "activate": "2026-11-01T01:00:00+01:00",
        "retire": "2027-11-01T00:00:00Z",
    }
    jwt = {"type": "jwt", "algorithm": "ES256"}
    plain = MINIMAL | {"authentication": {**jwt, "keys": [key]}}
    assert plain == canonical_document(plain)
    written = canonical_document(MINIMAL | {"authentication": {**jwt, "keys": [key | timed]}})
    assert [key | timed | {"activate": "2026-11-01T00:00:00Z"}] == written["authentication"]["keys"]
    signed = MINIMAL | {"signature": {"type": "standard-webhooks", "keys": [{"secret": {"file": "a"}}]}}
    assert signed == canonical_document(signed)


@pytest.mark.parametrize("written", [
    {"channels": ["sms", "email"]},
    {"authentication": {"type": "none"}, "headers": {}, "delivery": {}, "payload": 1, "enabled": True},
    {"events": ["error", "sent", "bounce", "delivered"], "messageTypes": ["transactional"], "protected": False},
    {"sandbox": {"name": "prod"}},
    {"delivery": {"timeout": "10000ms", "retry": {"maxDelay": "60m", "maxAge": "72h"}, "tls": {}, "concurrency": 16}},
])  # fmt: skip
def test_other_spellings_are_the_same_webhook(written: dict[str, Any]) -> None:
    """Defaults written out, durations in other units and sets in other orders make no difference."""
    assert digest(canonical_document(MINIMAL)) == digest(canonical_document(MINIMAL | written))


@pytest.mark.parametrize("written", [
    {"url": "https://hooks.acme.example/"}, {"channels": ["email"]}, {"campaigns": ["all"]}, {"owner": "crm"},
    {"sandbox": {"name": "prod", "id": "1"}}, {"headers": {"X-Team": "crm"}}, {"delivery": {"timeout": "11s"}},
])  # fmt: skip
def test_other_values_are_another_webhook(written: dict[str, Any]) -> None:
    """What makes a difference to a receiver is a difference."""
    assert digest(canonical_document(MINIMAL)) != digest(canonical_document(MINIMAL | written))


def test_header_names_without_case() -> None:
    """Header names are compared in lower case, and their order does not count."""
    upper = MINIMAL | {"headers": {"X-B": "1", "X-A": "2"}}
    lower = MINIMAL | {"headers": {"x-a": "2", "x-b": "1"}}
    assert canonical_document(upper) == canonical_document(lower)


def test_canonical_json_has_one_form() -> None:
    """Keys are sorted, no space is wasted, and text stays UTF-8."""
    assert '{"a":"é","b":[1,2]}'.encode() == canonical_json({"b": [1, 2], "a": "é"})


def schema_defaults(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every `default` below an object schema, with the path of its key."""
    for key, inner in schema.get("properties", {}).items():
        if "default" in inner:
            yield (*path, key), inner["default"]
        yield from schema_defaults(inner, (*path, key))


DEFAULTS = dict(schema_defaults(load_schema("webhook.v1")))


@pytest.mark.parametrize("path", DEFAULTS, ids="/".join)
def test_the_schema_has_the_defaults_of_the_model(path: tuple[str, ...]) -> None:
    """A default of the schema, when it is written out, changes nothing: neither the webhook nor its document."""
    document: dict[str, Any] = {
        "organization": "acme",
        "sandbox": "prod",
        "name": "N",
        "channels": ["email"],
        "url": "https://hooks.acme.example/",
        "campaigns": "all",
    }
    if path[0] == "authentication" and path != ("authentication",) and path[-1] != "type":
        key = {"id": "1", "secret": {"file": "a"}}
        document["authentication"] = {"type": "jwt", "algorithm": "ES256", "keys": [key]}
    without = read_webhook(document)
    place: Any = document
    for step in path[:-1]:
        place = place.setdefault(step, {})
    place[path[-1]] = DEFAULTS[path]
    assert without == read_webhook(document)
    assert write_webhook(without) == canonical_document(document)


def test_every_default_is_in_the_schema() -> None:
    """Fields of the model that have a default other than nothing give it in the schema, too."""
    full = {
        *((key,) for key in canonical._WEBHOOK.keys_with_default),
        *(("authentication", key) for key in canonical._JWT.keys_with_default),
        *(("delivery", key) for key in canonical._DELIVERY.keys_with_default),
        *(("delivery", "retry", key) for key in canonical._RETRY.keys_with_default),
    }
    assert full | {("authentication", "type")} == DEFAULTS.keys()
