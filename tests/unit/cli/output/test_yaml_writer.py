"""`show`: a canonical document as a webhook file."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.cli.output.yaml_writer import as_yaml, as_yaml_list
from hookline.config.yaml_parser import parse_yaml

texts = st.text(max_size=12) | st.sampled_from(
    ["no", "On", "010", "12:30:00", "null", "~", "a: b", "a #b", "- a", "a:"]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = texts | st.text(st.sampled_from("ab \n\t:#"), max_size=12) | numbers | st.booleans() | st.none()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def test_reads_like_a_webhook_file() -> None:
    """Fields come in the schema's order, `signature` beside `authentication`, and only ambiguous text is quoted."""
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
        "signature": {"type": "standard-webhooks", "keys": [{"secret": {"env": "HOOKLINE_SECRET_SIGN"}}]},
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
signature:
  type: standard-webhooks
  keys:
    - {secret: {env: HOOKLINE_SECRET_SIGN}}
headers:
  x-key: {env: HOOKLINE_SECRET_KEY}
campaigns: ["no", c-1]
"""
    assert expected == as_yaml(document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo", "name: |-\n  one\n  two"),
        ("one\n\n  two: #\n", "name: |\n  one\n\n    two: #"),
        ("one\n", r'name: "one\n"'),
        (" one\ntwo", r'name: " one\ntwo"'),
        ("one \ntwo", r'name: "one \ntwo"'),
        ("one\n##[add-mask]x", r'name: "one\n##[add-mask]x"'),
        ("one\n::add-mask::x", r'name: "one\n::add-mask::x"'),
        ("one\n\u202etwo", r'name: "one\n\u202etwo"'),
    ],
)
def test_several_lines_read_as_lines(text: str, expected: str) -> None:
    """Text of several lines is a block; if a block would hide a space or a character, the text is quoted."""
    assert f"{expected}\n" == as_yaml({"name": text})


def test_numbers_are_numbers_to_every_reader() -> None:
    """A number without a point before its exponent is text to YAML 1.1, so it gets one."""
    assert "a: 1.0e+22\nb: 0.5\nc: 1.5e-07\n" == as_yaml({"a": 1e22, "b": 0.5, "c": 1.5e-7})


def test_list_has_an_entry_a_line() -> None:
    """A list has one line for each document, and one line if it is empty."""
    assert "- {a: 1}\n- {a: two}\n" == as_yaml_list([{"a": 1}, {"a": "two"}])
    assert "[]\n" == as_yaml_list([])


def test_an_object_that_occurs_twice_is_written_twice() -> None:
    """Webhook files refuse anchors and aliases, so the writer writes none."""
    secret = {"env": "HOOKLINE_SECRET_KEY"}
    text = as_yaml({"headers": {"x-a": secret, "x-b": secret}})
    assert "headers:\n  x-a: {env: HOOKLINE_SECRET_KEY}\n  x-b: {env: HOOKLINE_SECRET_KEY}\n" == text


def test_long_text_stays_on_its_line() -> None:
    """A long description is not folded: a reviewer searches for it as one line."""
    text = "word " * 100 + "end"
    assert f"description: {text}\n" == as_yaml({"description": text})


@example({"0": "0\n0\n"})  # a block at the end of the text keeps its last line break
@example({"k" * 2000: {"j" * 2000: [{"i" * 2000: "v"}]}})
@given(st.dictionaries(texts.filter(bool), values, min_size=1, max_size=4))
def test_reads_back_as_the_same_document(document: dict[str, Any]) -> None:
    """The parser reads any written document back as the same document."""
    assert document == yaml.safe_load(as_yaml(document))


@given(st.dictionaries(texts.filter(bool), st.recursive(texts, st.lists, max_leaves=4), min_size=1, max_size=4))
def test_the_strict_parser_finds_no_ambiguity(document: dict[str, Any]) -> None:
    """Text that YAML 1.1 and 1.2 read differently is quoted: the parser of webhook files refuses nothing."""
    parsed = parse_yaml(as_yaml(document))
    assert () == parsed.findings
    assert [document] == [found.value for found in parsed.documents]


@given(st.lists(st.dictionaries(texts, values, max_size=3), max_size=3))
def test_a_list_reads_back(documents: list[dict[str, Any]]) -> None:
    """A list of documents reads back as the same list."""
    assert documents == yaml.safe_load(as_yaml_list(documents))
