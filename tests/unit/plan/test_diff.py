"""What counts as one field, and how it is named."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.plan.diff import differences
from hookline.plan.plan import FieldChange

BASE: dict[str, Any] = {
    "version": 1,
    "organization": "acme",
    "sandbox": "prod",
    "name": "Feedback",
    "channels": ["email"],
    "url": "https://a.example/",
    "campaigns": "all",
    "authentication": {
        "type": "jwt",
        "algorithm": "ES256",
        "keys": [{"id": "1", "secret": {"file": "1.pem"}}],
        "claims": {"__tenant": "acme", "a/b~c": [1, {"x": 1}], "n": 0.0},
    },
}

NEW_KEYS = [{"id": "2", "secret": {"file": "2.pem"}}, {"id": "1", "secret": {"file": "1.pem"}}]
REFERENCE = {"env": "HOOKLINE_SECRET_ACME_KEY"}


def with_claim(name: str, value: Any) -> dict[str, Any]:
    authentication = BASE["authentication"]
    return {**BASE, "authentication": {**authentication, "claims": {**authentication["claims"], name: value}}}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[FieldChange]]] = {
    "a scalar": (
        BASE,
        {**BASE, "url": "https://b.example/"},
        [FieldChange("/url", "https://a.example/", "https://b.example/")],
    ),
    "a list is one field": (
        BASE,
        {**BASE, "channels": ["email", "sms"]},
        [FieldChange("/channels", ["email"], ["email", "sms"])],
    ),
    "campaigns from all to a list": (
        BASE,
        {**BASE, "campaigns": ["c1"]},
        [FieldChange("/campaigns", "all", ["c1"])],
    ),
    "a rotated key is one field": (
        BASE,
        {**BASE, "authentication": {**BASE["authentication"], "keys": NEW_KEYS}},
        [FieldChange("/authentication/keys", BASE["authentication"]["keys"], NEW_KEYS)],
    ),
    "a first header": (
        BASE,
        {**BASE, "headers": {"x-team": "crm"}},
        [FieldChange("/headers/x-team", None, "crm")],
    ),
    "a reference is one value": (
        {**BASE, "headers": {"x-key": {"file": "key"}}},
        {**BASE, "headers": {"x-key": REFERENCE}},
        [FieldChange("/headers/x-key", {"file": "key"}, REFERENCE)],
    ),
    "a reference to another name": (
        {**BASE, "headers": {"x-key": {"env": "HOOKLINE_SECRET_OLD"}}},
        {**BASE, "headers": {"x-key": REFERENCE}},
        [FieldChange("/headers/x-key", {"env": "HOOKLINE_SECRET_OLD"}, REFERENCE)],
    ),
    "nested settings": (
        BASE,
        {**BASE, "delivery": {"timeout": "5s", "retry": {"maxAge": "24h"}}},
        [FieldChange("/delivery/retry/maxAge", None, "24h"), FieldChange("/delivery/timeout", None, "5s")],
    ),
    "a field taken out": (
        {**BASE, "owner": "crm"},
        BASE,
        [FieldChange("/owner", "crm", None)],
    ),
    "a claim that begins with underscores": (
        BASE,
        with_claim("__tenant", "other"),
        [FieldChange("/authentication/claims/__tenant", "acme", "other")],
    ),
    "a name that a pointer must escape": (
        BASE,
        with_claim("a/b~c", [1, {"x": 2}]),
        [FieldChange("/authentication/claims/a~1b~0c", [1, {"x": 1}], [1, {"x": 2}])],
    ),
    "an integer becomes a fraction": (
        with_claim("n", 1),
        with_claim("n", 1.0),
        [FieldChange("/authentication/claims/n", 1, 1.0)],
    ),
    "a number becomes a truth value": (
        with_claim("n", 1),
        with_claim("n", True),
        [FieldChange("/authentication/claims/n", 1, True)],
    ),
    "a claim that becomes null": (
        BASE,
        with_claim("void", None),
        [
            FieldChange(
                "/authentication/claims",
                BASE["authentication"]["claims"],
                {**BASE["authentication"]["claims"], "void": None},
            )
        ],
    ),
    "authentication is taken away": (
        BASE,
        {key: value for key, value in BASE.items() if key != "authentication"},
        [FieldChange("/authentication", BASE["authentication"], None)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_differences(name: str) -> None:
    """Each difference is named by the field that a person would name, with both of its values."""
    before, after, expected = CASES[name]
    found = differences(before, after)
    assert expected == list(found)
    assert [repr(field) for field in expected] == [repr(field) for field in found]


def test_nothing_in_common() -> None:
    """Documents that share next to nothing still differ field by field."""
    before = {**BASE, "headers": {f"x-{number}": "a" for number in range(20)}}
    after = {**BASE, "headers": {f"y-{number}": "a" for number in range(20)}, "name": "Other", "url": "https://b/"}
    paths = [field.path for field in differences(before, after)]
    assert len(paths) == 42
    assert "/headers/x-0" in paths
    assert "/headers/y-19" in paths


def test_zeros_of_different_sign() -> None:
    """What differs in writing and not in value still is a difference: the document as a whole."""
    found = differences(with_claim("n", 0.0), with_claim("n", -0.0))
    assert [field.path for field in found] == [""]
