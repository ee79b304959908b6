"""`show`: a canonical document as a webhook file."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.cli.document import as_yaml

texts = st.text(max_size=12) | st.sampled_from(
    ["no", "On", "010", "12:30:00", "null", "~", "a: b", "a #b", "- a", "a:"]
)
scalars = texts | st.integers() | st.booleans() | st.none()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def test_reads_like_a_webhook_file() -> None:
    """Fields come in the order of the reference, and only what YAML could misread is quoted."""
    document = {
        "authentication": {
            "algorithm": "ES256",
            "keys": [{"id": "2026-11", "secret": {"file": "a.pem"}}],
            "type": "jwt",
        },
        "campaigns": ["no", "c-1"],
        "channels": ["email"],
        "headers": {"x-key": {"env": "HOOKLINE_SECRET_KEY"}},
        "name": "Feedback: all of it",
        "organization": "1234@AdobeOrg",
        "owner": "crm team@acme.example",
        "url": "https://hooks.acme.example/feedback",
        "version": 1,
    }
    expected = """\
version: 1
organization: "1234@AdobeOrg"
name: "Feedback: all of it"
owner: crm team@acme.example
channels: [email]
url: https://hooks.acme.example/feedback
authentication:
  algorithm: ES256
  keys:
    - {id: "2026-11", secret: {file: a.pem}}
  type: jwt
headers:
  x-key: {env: HOOKLINE_SECRET_KEY}
campaigns: ["no", c-1]"""
    assert expected == as_yaml(document)


@settings(deadline=None)
@given(st.dictionaries(texts.filter(bool), values, min_size=1, max_size=4))
def test_reads_back_as_the_same_document(document: dict[str, Any]) -> None:
    """Whatever a document holds, YAML reads the text back as that document."""
    assert document == yaml.safe_load(as_yaml(document))
