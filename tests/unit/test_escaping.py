"""Text from outside in terminals, in JSON and in the log of a CI job."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
import regress
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hookline.escaping import (
    BLANK_SYMBOLS,
    CiLogFilter,
    by_code_point,
    ci_log_text,
    is_visible,
    mask_unprintable,
    printable,
    printable_lines,
    visible_json,
)

# One character of each kind that was found in the wild, by its code point.
FOUND = (0x7F, 0x85, 0x9B, 0x61C, 0x115F, 0x1160, 0x17B4, 0x180B, 0x180E, 0x202E, 0x2061, 0x2064, 0x2066, 0x206A,
         0x206F, 0x2800, 0x3164, 0xFE00, 0xFE0F, 0xFFA0, 0xE0000, 0xE0041, 0xE01EF)  # fmt: skip
COMMANDS = ["##[add-mask]x%0Atrue%0Ay", "::add-mask::x", "a ::error file=x::y", "##vso[task.setvariable variable=a]b",
            "##teamcity[x]", "::::", ":::", "##[##[x]", "###[x]"]  # fmt: skip
commands = st.text("#[]:avs \n", max_size=40)


def has_command(text: str) -> bool:
    """Written without the regular expression: a command of any runner begins like this."""
    if "::" in text:
        return True
    for part in text.split("##")[1:]:
        word = part.lstrip("#")
        name = word.partition("[")[0]
        if "[" in word and all(char.isalnum() or char in "._-" for char in name) and name.isascii():
            return True
    return False


def test_every_default_ignorable_character_is_escaped() -> None:
    """The property is compared with a library that knows it, for every code point; so are the general categories."""
    ignorable = regress.Regex(r"\p{Default_Ignorable_Code_Point}", "u")
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        hidden = category[0] == "C" or (category[0] == "Z" and character != " ") or character in BLANK_SYMBOLS
        if not hidden and not character.isascii():
            hidden = ignorable.find(character) is not None
        assert hidden is not is_visible(character), f"U+{code:04X}"


@pytest.mark.parametrize("code", FOUND, ids=lambda code: f"{code:04X}")
def test_a_character_that_was_found_is_escaped_everywhere(code: int) -> None:
    """Text, JSON and masked text contain the escape, and JSON and YAML keep their meaning."""
    text = f"a{chr(code)}b"
    escaped = f"a\\u{code:04x}b" if code <= 0xFFFF else f"a\\U{code:08x}b"
    assert escaped == printable(text) == by_code_point(text)
    assert "a\N{REPLACEMENT CHARACTER}b" == mask_unprintable(text)
    assert all(map(is_visible, visible_json({text: [text]})))
    assert {text: [text]} == json.loads(visible_json({text: [text]}))
    assert text == yaml.safe_load(f'"{printable(text)}"')


@given(
    st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner, max_size=2)), st.sampled_from([None, 2])
)
def test_json_keeps_its_meaning(value: object, indent: int | None) -> None:
    """JSON with escapes reads back as the same value, and shows every character that it contains."""
    for ascii_only in (False, True):
        text = visible_json(value, indent=indent, ascii_only=ascii_only)
        assert value == json.loads(text)
        assert all(is_visible(char) or char == "\n" for char in text)
        assert text.isascii() or not ascii_only


@pytest.mark.parametrize("command", COMMANDS)
def test_a_runner_finds_no_command(command: str) -> None:
    """Commands of GitHub, Azure and TeamCity are broken wherever they occur, and remain readable."""
    assert has_command(command)
    assert not has_command(ci_log_text(command))
    assert command == json.loads(f'"{ci_log_text(command)}"')


@given(commands)
def test_no_text_is_a_command(text: str) -> None:
    """No text of the characters that commands consist of remains a command. Other text does not change."""
    assert not has_command(ci_log_text(text))
    assert has_command(text) or text == ci_log_text(text)
    assert text == ci_log_text(text).replace("\\u003a", ":").replace("\\u005b", "[")


@given(st.lists(commands))
def test_a_command_in_pieces_is_found(pieces: list[str]) -> None:
    """A stream gets the same text as a whole, however it is cut."""
    stream = CiLogFilter()
    written = b"".join(stream.feed(piece.encode()) for piece in pieces).decode()
    assert not has_command(written)
    assert "".join(pieces) == written.replace("\\u003a", ":").replace("\\u005b", "[")


def test_line_breaks_of_a_message_remain() -> None:
    """A message of several lines keeps its lines, but a carriage return cannot overwrite one."""
    assert "a\nb\\u000dc" == printable_lines("a\nb\rc")
