"""Formatted files: each folder of tests/cases/fmt, and laws that hold for any text.

    python tests/unit/config/formatting/test_formatter.py

writes after.yaml of every case.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.canonical import canonical_document, canonical_text
from hookline.config.discovery import WebhookFile
from hookline.config.formatting import formatter
from hookline.config.formatting.formatter import NotFormatted, format_file
from hookline.config.formatting.key_order import key_order
from hookline.config.yaml_parser import parse_yaml
from hookline.schemas import load_schema

ROOT = Path(__file__).parents[4]
CASES = sorted((ROOT / "tests" / "cases" / "fmt").iterdir())
FORMATTED = [
    *sorted((ROOT / "webhooks").rglob("*.yaml")),
    ROOT / "src" / "hookline" / "templates" / "webhook.yaml",
    *(case / "after.yaml" for case in CASES),
]


def formatted(data: bytes) -> bytes:
    result = format_file(WebhookFile("prod.yaml", data))
    assert () == result.diagnostics
    return result.after


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    """before.yaml of a case becomes its after.yaml."""
    assert (case / "after.yaml").read_text() == formatted((case / "before.yaml").read_bytes()).decode()


@pytest.mark.parametrize("path", FORMATTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_formatted_file_stays_as_it_is(path: Path) -> None:
    """The repository's webhooks, the file that `init` writes, and every result are formatted."""
    assert path.read_bytes() == formatted(path.read_bytes())


def test_aligned_comments_stay_in_their_column() -> None:
    """Comments that are aligned, also over several lines, keep their column and belong to the same key."""
    text = (
        "version: 1\n"
        "url: https://hooks.acme.example/feedback     # HTTPS only\n"
        "authentication:                              # or {type: none}, the default\n"
        "  type: jwt\n"
        "  algorithm: ES256                           # RS256 RS384\n"
        "                                             # ES256\n"
        "  keys:                                      # the first key\n"
        "                                             # signs\n"
        "    - {id: 2026-11, secret: {file: a.pem}}\n"
        "campaigns: all\n"
    )
    assert text == formatted(text.encode()).decode()
    lines = text.splitlines(keepends=True)
    shuffled = "".join([lines[0], lines[9], *lines[2:4], *lines[6:9], *lines[4:6], lines[1]])
    assert text == formatted(shuffled.encode()).decode()


@pytest.mark.parametrize(("written", "expected"), [
    ("'crm'", "crm"), ('"crm team"', "crm team"), ("'10s'", "10s"), ('"200/s"', "200/s"), ("'a@b.c'", "a@b.c"),
    ('"https://a.example/x"', "https://a.example/x"), ("'no'", '"no"'), ("'010'", '"010"'), ("'1'", '"1"'),
    ('"2026-11-01T00:00:00Z"', '"2026-11-01T00:00:00Z"'), ("''", '""'), ("'it''s'", '"it\'s"'),
    ("'say \"hi\"'", "'say \"hi\"'"), ('"\\u00e9\\t"', '"\\u00e9\\t"'), ("'a: b'", '"a: b"'), ("'#a'", '"#a"'),
    ("two\n  lines", "two lines"), ('"two\n  lines"', "two lines"), ('"two\n\n  lines"', '"two\\nlines"'),
    ("True", "true"), ("~", "null"), ("NULL", "null"), ("0x1F", "0x1F"), ("1.50", "1.50"), ("plain?x&y", "plain?x&y"),
    ('"2026-11"', '"2026-11"'), ("2026-11", "2026-11"),
])  # fmt: skip
def test_quotes(written: str, expected: str) -> None:
    """A text has no quotes if every YAML parser reads it as that text, otherwise double quotes; escapes stay."""
    assert f"owner: {expected}\n" == formatted(f"owner: {written}\n".encode()).decode()


def test_line_ends() -> None:
    """The line ends are those of the first line, and the last line has one. A byte order mark is removed."""
    assert b"version: 1\r\nname: a\r\n" == formatted(b"\xef\xbb\xbfname: 'a'\r\nversion: 1")
    assert b"version: 1\nname: a\n" == formatted(b"name: a\nversion: 1\r\n")
    assert b"" == formatted(b"\n  \n")
    assert b"# only\n# comments\n" == formatted(b"\n  # only\n# comments  \n\n")


@pytest.mark.parametrize(("data", "code", "line"), [
    (b"name: [a", "HL004", 2), (b"name: a\nname: b\n", "HL007", 2), (b"name: no\n", "HL014", 1),
    (b"a: &x 1\n", "HL009", 1), (b"version: 1\n---\n- a\n", "HL022", 3), (b"name: \xff\n", "HL002", 1),
])  # fmt: skip
def test_an_invalid_file_stays_as_it_is(data: bytes, code: str, line: int) -> None:
    """A file that cannot be read is reported at the place of its error."""
    result = format_file(WebhookFile("prod.yaml", data))
    assert (code, line) == (result.diagnostics[0].code, result.diagnostics[0].line)
    assert not result.differs


def test_a_changed_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A formatter that lost a value or a comment, or changed a type, would not write the file."""
    for text in ("version: 1\n", "version: true # one\n", "version: 1 # two\n", "version: 1\nname: a # one\n"):
        monkeypatch.setattr(formatter, "layout", lambda _, text=text: text)
        with pytest.raises(NotFormatted):
            format_file(WebhookFile("prod.yaml", b"version: 1   # one\n"))


def test_keys_have_the_order_of_the_schema() -> None:
    """Each mapping of the format has its order, in lists and references too; teams' own names have none."""
    assert list(load_schema("webhook.v1")["properties"]) == list(key_order(()))
    assert ["id", "secret", "passphrase", "activate", "retire"] == list(key_order(("authentication", "keys", "[]")))
    assert ["initialDelay", "maxDelay", "maxAge"] == list(key_order(("delivery", "retry")))
    assert ["env", "file"] == list(key_order(("authentication", "keys", "[]", "secret")))
    assert {} == key_order(("headers",)) == key_order(("authentication", "claims", "a"))


BASES = [(case / "before.yaml").read_text() for case in CASES]
# Lines that are inserted somewhere: many of the results are valid YAML.
INSERTED = st.sampled_from([
    "", "", "---", "...", "owner: x", "tls:\n", "- a", "-\n  - b\n  - c: 1 # in\n    b: 2", "? k\n: v",
    "query: {a: b,", "}", "events: [sent, # x\n  bounce]", "description: |\n  a\n\n    b\n",
    "description: >+\n\n   a\n\n\n", "x: |2-\n   a\n  b",
])  # fmt: skip
EDITS = st.tuples(st.integers(0, 60), st.sampled_from(["alone", "beside", "move", "indent", "insert", "insert"]),
                  st.sampled_from([0, 0, 1, 2, 3, 4, 8]), INSERTED)  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text of a case with comments, blank lines and other lines in any place; each comment has its own number."""
    lines = draw(st.sampled_from(BASES)).split("\n")
    for number, (at, edit, width, line) in enumerate(draw(st.lists(EDITS, min_size=1, max_size=8))):
        place = at % len(lines)
        match edit:
            case "alone":
                lines.insert(place, f"{' ' * width}# mark{number}")
            case "beside":
                lines[place] += f"{' ' * (width + 1)}# mark{number}"
            case "move":
                lines.insert(at * 7 % len(lines), lines.pop(place))
            case "indent":
                lines[place] = " " * width + lines[place]
            case _:
                lines[place:place] = line.split("\n")
    return "\n".join(lines)


@settings(max_examples=150)
@given(texts())
def test_values_and_comments_are_kept(text: str) -> None:
    """Values and comments are the same, and formatting again changes nothing. An invalid text is not changed."""
    result = format_file(WebhookFile("prod.yaml", text.encode()))
    if result.diagnostics:
        assert result.before == result.after
        return
    after = result.after.decode()
    assert _canonical(text) == _canonical(after)
    assert Counter(re.findall(r"mark\d+", text)) == Counter(re.findall(r"mark\d+", after))
    assert not format_file(WebhookFile("prod.yaml", result.after)).differs
    assert all(line == line.rstrip() for line in after.split("\n")) or "|" in after or ">" in after


def _canonical(text: str) -> list[str]:
    return [json.dumps(document.value, sort_keys=True) for document in parse_yaml(text).documents]


def test_the_canonical_form_is_the_same() -> None:
    """A formatted webhook plans nothing."""
    before = (ROOT / "webhooks" / "acme" / "prod.yaml").read_text()
    lines = [line for line in before.splitlines(keepends=True) if line.strip() and not line.startswith("#")]
    blocks = re.split(r"(?m)^(?=\S)", "".join(lines))
    shuffled = "".join(reversed([block for block in blocks if block]))
    forms = [
        canonical_text(canonical_document(parse_yaml(text).documents[0].value))
        for text in (before, shuffled, formatted(shuffled.encode()).decode())
    ]
    assert 1 == len(set(forms))
    assert "".join(lines) == formatted(shuffled.encode()).decode()


if __name__ == "__main__":
    for folder in CASES:
        (folder / "after.yaml").write_bytes(formatted((folder / "before.yaml").read_bytes()))
