"""The document that rules see."""

from __future__ import annotations

from typing import Any

import pytest

from builders import document
from hookline.policy.effective_document import effective_document
from hookline.schemas import load_schema


def test_every_default_is_filled_in() -> None:
    """A rule sees each field that has a default in the schema, although no file writes it."""
    found = effective_document(document())
    properties = load_schema("webhook.v1")["properties"]
    with_default = {name for name, schema in properties.items() if "default" in schema}
    assert with_default <= found.keys()
    assert {"type": "none"} == found["authentication"]
    assert {"initialDelay": "1s", "maxDelay": "1h", "maxAge": "72h"} == found["delivery"]["retry"]
    assert ["bounce", "delivered", "error", "sent"] == found["events"]
    assert (True, False) == (found["enabled"], found["protected"])


def test_a_field_without_a_value_is_missing() -> None:
    """`required` is a rule about fields without a default, such as the owner."""
    assert {"owner", "description", "signature"}.isdisjoint(effective_document(document()))
    assert "crm" == effective_document(document(owner="crm"))["owner"]


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://hooks.acme.example/a", ("hooks.acme.example", 443, "/a")),
        ("HTTPS://Hooks.ACME.example:8443", ("hooks.acme.example", 8443, "/")),
        ("https://evil.example?host=hooks.acme.example", ("evil.example", 443, "/")),
        ("https://evil.example/hooks.acme.example/", ("evil.example", 443, "/hooks.acme.example/")),
        ("https://hooks.acme.example.evil.example/", ("hooks.acme.example.evil.example", 443, "/")),
        ("https://evil.example./a", ("evil.example", 443, "/a")),
    ],
)
def test_the_endpoint_is_where_requests_go(url: str, endpoint: tuple[str, int, str]) -> None:
    """No spelling and no query of a URL changes the host that a rule sees."""
    found = effective_document(document(url=url))["endpoint"]
    assert dict(zip(("host", "port", "path"), endpoint, strict=True)) == found


def test_defaults_of_a_token() -> None:
    """The defaults of a token are filled in, with the audience that the relay would use; secrets are references."""
    key = {"id": "a", "secret": {"env": "HOOKLINE_SECRET_A"}}
    jwt: dict[str, Any] = {"type": "jwt", "algorithm": "ES256", "keys": [key]}
    found = effective_document(document(url="https://Hooks.acme.example:8443/a", authentication=jwt))
    assert {
        **jwt, "lifetime": "5m", "oneTime": False, "header": "authorization", "claims": {},
        "audience": "https://hooks.acme.example:8443",
    } == found["authentication"]  # fmt: skip


def test_the_sandbox_has_one_form() -> None:
    """A rule about the sandbox reads its name in one place, however the file writes it."""
    assert {"name": "prod"} == effective_document(document())["sandbox"]
    with_id = {"name": "prod", "id": "068abf40"}
    assert with_id == effective_document({**document(), "sandbox": with_id})["sandbox"]
