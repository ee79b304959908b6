"""The fast validator compared with the schema library."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.config import error_codes
from hookline.config.file_validator import check_document
from hookline.config.schema import schema_validator
from hookline.config.schema.fast_validator import compile_validator, compiled_pattern, webhook_validator
from hookline.escaping import is_invisible
from hookline.schemas import load_schema

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "organization": "1234567890ABCDEF@AdobeOrg",
    "sandbox": {"name": "prod", "id": "068abf40"},
    "name": "Feedback",
    "description": "Feeds the order service",
    "owner": "crm",
    "channels": ["email", "sms"],
    "url": "https://hooks.acme.example/feedback",
    "authentication": {
        "type": "jwt",
        "algorithm": "ES256",
        "keys": [{"id": "2026-11", "secret": {"file": "a.pem"}}, {"id": "b", "secret": {"env": "HOOKLINE_SECRET_B"}}],
        "issuer": "https://acme.example",
        "lifetime": "5m",
        "oneTime": False,
        "header": "Authorization",
        "claims": {"tenant": "acme", "n": 1},
    },
    "signature": {
        "type": "standard-webhooks",
        "keys": [
            {"secret": {"file": "b"}, "activate": "2026-11-01T00:00:00Z"},
            {"secret": {"env": "HOOKLINE_SECRET_C"}, "retire": "2026-11-02T00:00:00+01:00"},
        ],
    },
    "headers": {"X-Team": "crm", "X-Key": {"env": "HOOKLINE_SECRET_KEY"}},
    "query": {"tenant": "crm", "code": {"env": "HOOKLINE_SECRET_CODE"}},
    "movedFrom": "acme/old",
    "campaigns": ["16f24a15"],
    "messageTypes": ["transactional"],
    "events": ["sent", "bounce"],
    "payload": 1,
    "delivery": {
        "timeout": "10s",
        "concurrency": 16,
        "rateLimit": "200/s",
        "ordering": "none",
        "retry": {"initialDelay": "1s", "maxDelay": "1h", "maxAge": "72h"},
        "tls": {"caFile": "ca.pem", "clientCertificate": {"file": "c.pem"}, "clientKey": {"file": "k.pem"}},
    },
    "enabled": True,
    "protected": False,
}

STRANGE: st.SearchStrategy[Any] = st.sampled_from([
    None, True, False, 0, 1, 2, 1.0, 16, 1024, 1025, 10**20, -1, 0.5, "", "a", "all", "none", "jwt", "email", "10s",
    "5m\n", "1/s", "a b", "a/b", "https://a", "x" * 300, "x" * 5000, [], {}, ["email"], ["email", "email"], [1, True],
    [[]], [{}, {}], {"a": 1}, {"name": "a"}, {"file": "a"}, {"env": "a"}, {"env": "a", "file": "b"}, {"type": "none"},
    {"type": "jwt"}, {"type": "none", "keys": []}, {str(number): "a" for number in range(70)}, "\u2028", "é",
    "\u3164", "a\u200bb",
])  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, held in inner for place in _places(held, (*path, key)))]


PLACES = [place for place in _places(DOCUMENT) if place]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A valid document with some of its values replaced, removed or added."""
    document = copy.deepcopy(DOCUMENT)
    for *path, last in draw(st.lists(st.sampled_from(PLACES), max_size=3, unique=True)):
        holder: Any = document
        for part in path:
            holder = holder[part] if isinstance(holder, dict | list) and _holds(holder, part) else None
        if not isinstance(holder, dict | list) or not _holds(holder, last):
            continue
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[last] = copy.deepcopy(draw(STRANGE))
            case "remove":
                del holder[last]
            case _ if isinstance(holder, dict):
                holder[draw(st.sampled_from(["extra", "name", "file", "env", "keys"]))] = copy.deepcopy(draw(STRANGE))
            case _:
                holder.append(copy.deepcopy(draw(STRANGE)))
    return document


def _holds(holder: dict[Any, Any] | list[Any], part: Any) -> bool:
    return part in holder if isinstance(holder, dict) else isinstance(part, int) and part < len(holder)


@given(documents())
@example(DOCUMENT)
@example({**DOCUMENT, "authentication": {"type": "none"}})
@example({**DOCUMENT, "payload": 1.0})
@example({**DOCUMENT, "version": True})
def test_agrees_with_the_library(document: dict[str, Any]) -> None:
    """The result is True exactly if the schema library finds no error, so no valid document is validated twice."""
    assert (not list(schema_validator.validator().iter_errors(document))) == webhook_validator()(document)


@given(STRANGE | st.recursive(STRANGE, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner)))
def test_anything_else_is_refused(value: Any) -> None:
    """Whatever is no webhook at all is refused too."""
    assert not webhook_validator()(value)


@pytest.mark.parametrize(("made", "value"), [
    ({"oneOf": [{}]}, 1), ({"$ref": "https://elsewhere.example/"}, 1), ({"type": "number"}, 1),
    ({"additionalProperties": True}, {}), ({"enum": [[1]]}, [1]), ({"uniqueItems": True}, [1, 2]),
    ({"if": {"maxLength": 1}, "then": {}}, "a"), ({"if": {"const": 1}, "then": {}}, 1),
    ({"not": {"type": "string"}}, 1),
])  # fmt: skip
def test_what_it_does_not_know_is_left_to_the_library(made: dict[str, Any], value: Any) -> None:
    """The result is False for a keyword, or a use of one, that the compiler does not know."""
    assert not compile_validator(made)(value)


def test_every_keyword_of_the_schema_is_compiled() -> None:
    """No part of the webhook schema falls back to the library for a valid document that uses every field."""
    assert set(load_schema("webhook.v1")["properties"]) == set(DOCUMENT)
    assert webhook_validator()(DOCUMENT)


@pytest.mark.parametrize("path", [("organization",), ("sandbox", "name"), ("name",), ("owner",), ("campaigns", 0)])
def test_the_schema_refuses_invisible_characters_in_names(path: tuple[str | int, ...]) -> None:
    """Editors and both validators refuse every invisible character of the Basic Multilingual Plane, and no other.

    A pattern that every regular expression library reads alike cannot name the other planes. There the rule HL028
    refuses them.
    """
    schema: Any = load_schema("webhook.v1")["properties"]
    for part in path:
        schema = schema["items"] if isinstance(part, int) else schema.get("properties", schema)[part]
    pattern = compiled_pattern(schema["pattern"])
    for code in (*range(0xD800), *range(0xE000, 0x10000)):
        character = chr(code)
        if not character.isspace() and character != "/":
            assert is_invisible(character) == (pattern.search(f"a{character}b") is None), hex(code)
    document = {**DOCUMENT, "organization": "acme\u3164"}
    assert not webhook_validator()(document)
    assert not schema_validator.validator().is_valid(document)
    assert [error_codes.INVISIBLE_IN_NAME] == [one.code for one in check_document(document)]
