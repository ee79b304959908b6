"""Values and places from YAML events."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hookline.config import error_codes
from hookline.config.source_text import SourcePosition
from hookline.config.yaml_parser import MAX_DOCUMENT_BYTES, find_positions, parse_yaml

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc-_ 01", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_reads_what_was_written(value: Any) -> None:
    """A value that was written as JSON, which is YAML, is read back as it was."""
    parsed = parse_yaml(json.dumps(value))
    assert parsed.findings == ()
    assert [value] == [document.value for document in parsed.documents]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the reader fail: it is documents, or refusals."""
    parsed = parse_yaml(text)
    assert parsed.findings or all(document.line >= 1 for document in parsed.documents)
    assert len(parsed.documents) == len(find_positions(text).documents)


def test_fifty_thousand_open_brackets() -> None:
    """50,000 open brackets are one finding; the library's own composer would end the process."""
    parse = "from hookline.config.yaml_parser import parse_yaml"
    script = f"{parse}; print([r.code for r in parse_yaml('[' * 50_000).findings])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (0, f"['{error_codes.TOO_DEEP}']\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize(("depth", "refused"), [(50, []), (51, [error_codes.TOO_DEEP])])
def test_depth_limit(depth: int, refused: list[str]) -> None:
    """Fifty levels are read, fifty-one are not."""
    assert refused == [finding.code for finding in parse_yaml("[" * depth + "]" * depth).findings]


def test_size_is_of_each_document() -> None:
    """Two documents below the limit are fine together; one over it is refused, counted in bytes."""
    fits = f"a: {'b' * (MAX_DOCUMENT_BYTES - 100)}\n"
    assert parse_yaml(fits + "---\n" + fits).findings == ()
    wide = f"a: {'é' * (MAX_DOCUMENT_BYTES // 2)}\n"
    assert [finding.code for finding in parse_yaml(wide).findings] == [error_codes.TOO_LARGE]


def test_places_of_keys_and_values() -> None:
    """Positions count lines and characters from 1, in flow and block style, for all characters."""
    text = "# comment\n---\nname: ü\n'ä': {b: [1, é, x]}\nlist:\n  - c: d\n"
    found = find_positions(text).documents[0]
    assert SourcePosition(3, 7) == found.of(("name",), on_key=False)
    assert SourcePosition(4, 1) == found.of(("ä",), on_key=True)
    assert SourcePosition(4, 17) == found.of(("ä", "b", 2), on_key=False)
    assert SourcePosition(6, 5) == found.of(("list", 0, "c"), on_key=True)


def test_place_of_what_is_not_written() -> None:
    """What is missing is placed at the nearest thing around it."""
    found = find_positions("a:\n  b: 1\n").documents[0]
    assert SourcePosition(1, 1) == found.of(("a", "c", 3), on_key=False)
    assert SourcePosition(1, 1) == found.of((), on_key=True)


def test_a_duplicate_key_keeps_the_first_value() -> None:
    """The second value of a key is refused and changes nothing, nor do values within it."""
    parsed = parse_yaml("a: {b: 1}\na: {c: 2}\n")
    assert [finding.code for finding in parsed.findings] == [error_codes.DUPLICATE_KEY]
    assert parsed.documents[0].value == {"a": {"b": 1}}


def test_all_refusals_of_a_file_are_collected() -> None:
    """Reading goes on after a finding, across documents, up to a syntax error."""
    parsed = parse_yaml("a: &x no\nb: *x\n---\nc: !t 010\nd: [\n")
    expected = [
        error_codes.ANCHOR,
        error_codes.AMBIGUOUS_SCALAR,
        error_codes.ALIAS,
        error_codes.TAG,
        error_codes.NOT_YAML,
    ]
    assert expected == [finding.code for finding in parsed.findings]


def test_the_pure_python_parser_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the YAML library was built without C, values, refusals and places are the same."""
    text = "a: &x [1, 'é', {b: no}]\nc: *x\n? [d]\n: e\nf: |\n  text\ng: ~\n"
    with_c = parse_yaml(text), find_positions(text)
    monkeypatch.setattr("hookline.config.yaml_parser._Parser", yaml.Loader)
    assert with_c == (parse_yaml(text), find_positions(text))
