"""Every format of FORMATS, and the reading of lines whatever is in them."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import line
from hookline.relay.delivery_record import Line, Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import NO_MAPPING
from hookline.relay.formats.format import Format, LineText, ParsedEvent
from hookline.relay.formats.json_decoding import MAX_JSON_DEPTH
from hookline.relay.formats.line_reader import AUTO, event_of, read_line, read_with_format
from hookline.relay.formats.registry import FORMATS, QUICK
from hookline.relay.sources.line_splitter import MAX_LINE_BYTES
from platform_lines import (
    DATASET,
    PAYLOAD,
    SAMPLES,
    VALUES,
    lines_with_another_value,
    lines_with_other_text,
    paths,
    replaced,
)

no_event = [Skipped("not_an_event")]
CHOICES = [AUTO, *FORMATS]
HALF = "half of a surrogate pair (\\{}) near byte {}: it has no form in UTF-8; the sender has cut a character in two"


@pytest.mark.parametrize("name", list(FORMATS))
def test_format_has_what_the_port_asks(name: str) -> None:
    """A format stands under its own name and has every name of the port, the functions with its signature."""
    module = FORMATS[name]
    assert name == module.NAME
    for function in ("recognizes", "events"):
        asked = get_type_hints(getattr(Format, function))["return"]
        assert str(asked) == str(get_type_hints(getattr(module, function))["return"])


@pytest.mark.parametrize("data", SAMPLES)
def test_one_format_recognizes_a_line(data: bytes) -> None:
    """No line is claimed by two formats: what auto does depends on no order."""
    value = msgspec.json.decode(data)
    by = [name for name, known in FORMATS.items() if known.recognizes(value)]
    expected = ["payload" if data is PAYLOAD else "xdm"]
    assert expected == by


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize(
    "value", [None, True, 7, 1.5, "text", [], [1], [{}], {}, {"hello": 1}, LineText("a=b", "not JSON")]
)
def test_format_survives_what_is_none_of_its_own(name: str, value: object) -> None:
    """A format neither recognizes nor takes what is not its own, and says so instead of failing."""
    assert not FORMATS[name].recognizes(value)
    readings = list(FORMATS[name].events(value, NO_MAPPING))
    assert readings
    assert not any(isinstance(reading, Event) for reading in readings)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("data", [b"", b"   ", b"\t", b"\r"])
def test_blank_line_holds_no_event(data: bytes, choice: str) -> None:
    """A blank line is skipped, also when a format is named."""
    assert no_event == read_line(line(data), choice)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b'{"hello":1}', ["with hello"]),
        (b'{"a":1,"type":"email.bounced"}', ["email.bounced"]),
        (b'{"event":"","eventType":7,"event_type":"x"}', ["x"]),
        (b"{}", [None]),
        (b"[1,2]", [None, None]),
        (b'[{"event":"a"},{"event":"b"}]', ["a", "b"]),
        (b"17", [None]),
        (b"null", [None]),
        (b'"text"', [None]),
        (b"true", [None]),
    ],
)
def test_json_that_no_format_knows_is_counted_by_name(data: bytes, names: list[str | None]) -> None:
    """JSON of another kind is skipped under the name that it gives itself, each item of a list by itself."""
    assert [Skipped("unknown_format", name) for name in names] == read_line(line(data))


def test_empty_list_holds_no_event() -> None:
    """A list without items is no unknown format."""
    assert no_event == read_line(line(b"[]"))


@pytest.mark.parametrize("choice", list(FORMATS))
@pytest.mark.parametrize("data", [b'{"hello":1}', b"{}", b"[]", b"17", b"null"])
def test_named_format_rejects_what_lacks_its_fields(data: bytes, choice: str) -> None:
    """The same lines are faults once the user has said which form they should have."""
    (reading,) = read_line(line(data), choice)
    assert isinstance(reading, Rejected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "not JSON: it ends too early"),
        (b'{"a":1} x', "not JSON: trailing characters near byte 10"),
        (b'{"a":NaN}', "not JSON: invalid character near byte 6"),
        (b'{"a":1e999}', "number out of range"),
        (b'{"a":' + b"9" * 5000 + b"}", "integer value out of range"),
        (b'{"a":"\\udc00"}', HALF.format("udc00", 7)),
        (b'{"a":"x\\uD83Dy"}', HALF.format("uD83D", 8)),
        (b'{"a":"\\\\ud83d\\ud83d\\ude00\\ude00"}', HALF.format("ude00", 26)),
        (b'{"a":"\\ud800"', "not JSON: it ends too early"),
        (b'{"a":"\\ud800",}', "not JSON: it ends too early"),
        (b'{"a":"\\ud8zz"}', "not JSON: invalid character in unicode escape near byte 12"),
        (b'{"a":"\xff"}', "not UTF-8: byte 0xff at position 7"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8: this looks like UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)"),
        (b"[" * 100_000, "nested deeper than 100 levels"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested deeper than 100 levels"),
    ],
)
@pytest.mark.parametrize("choice", CHOICES)
def test_unreadable_line_is_rejected_with_the_place(data: bytes, reason: str, choice: str) -> None:
    """What cannot be decoded is rejected, and the reason says where."""
    assert [Rejected(reason)] == read_line(line(data), choice)


def test_nesting_up_to_the_limit_is_read() -> None:
    """Many brackets are not deep brackets: only the depth counts."""
    wide = b"[" + b"[]," * 500 + b"[]]"
    deep = b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH
    assert set(no_event) == set(read_line(line(wide)))
    assert [Skipped("not_an_event")] == read_line(line(deep))


def test_line_over_the_limit_is_rejected() -> None:
    """A line of which the source kept only the beginning is rejected, though that beginning may be JSON."""
    endless = Line(number=3, data=b"{}", length=2_000_000, sha256=b"\0" * 32)
    assert [Rejected(f"too long: 2000000 bytes, the limit is {MAX_LINE_BYTES}")] == read_line(endless)


@given(st.binary(max_size=200), st.sampled_from(CHOICES))
def test_no_bytes_make_reading_fail(data: bytes, choice: str) -> None:
    """Whatever a line's bytes are, something is said about it."""
    assert read_line(line(data), choice)


@given(st.data(), st.sampled_from(SAMPLES), st.sampled_from(CHOICES))
def test_no_damage_to_an_event_makes_reading_fail(data: st.DataObject, sample: bytes, choice: str) -> None:
    """A sound event with some bytes overwritten, left out or put in is read or refused, never an exception."""
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        width = data.draw(st.integers(0, 12))
        damaged[start : start + width] = data.draw(st.binary(max_size=12))
    assert read_line(line(bytes(damaged)), choice)


@given(st.data(), st.sampled_from(SAMPLES), VALUES)
def test_no_value_in_any_place_makes_reading_fail(data: st.DataObject, sample: bytes, value: Any) -> None:
    """Any JSON in the place of any part of an event is read or refused, by the format that the event was of."""
    document = json.loads(sample)
    path = data.draw(st.sampled_from(paths(document)))
    changed = msgspec.json.encode(replaced(document, path, value))
    assert read_line(line(changed), "payload" if sample is PAYLOAD else "xdm")


@pytest.mark.parametrize("format", [AUTO, "named"])
@pytest.mark.parametrize("samples", [DATASET[:3], [PAYLOAD, PAYLOAD]], ids=["xdm", "payload"])
def test_list_of_the_platforms_events_holds_each_of_them(samples: list[bytes], format: str) -> None:
    """As with other senders, a list gives what its items give by themselves, and a broken one is told alone."""
    choice = format if format == AUTO else "payload" if PAYLOAD in samples else "xdm"
    alone = [reading for sample in samples for reading in read_line(line(sample))]
    assert alone == read_line(line(b"[" + b",".join(samples) + b"]"), choice)
    broken = read_line(line(b"[" + samples[0] + b',{"eventType":"message.feedback"}]'), choice)
    assert alone[:1] == broken[:1]
    assert isinstance(broken[1], Rejected)


def carefully(data: bytes) -> list[ParsedEvent]:
    """The events of the line if it is decoded whole and every format is tried."""
    return [event for _, event in read_with_format(line(data))]


def quickly(data: bytes) -> list[ParsedEvent]:
    """The events of the line by each quick reader that reads it."""
    return [event_of(found) for quick in QUICK.values() if (found := quick(data))]


@pytest.mark.parametrize("data", SAMPLES)
def test_sound_lines_of_the_platform_are_read_quickly(data: bytes) -> None:
    """Every sample takes the short way, and says there what it says on the long one."""
    assert carefully(data) == quickly(data)


@given(lines_with_another_value() | lines_with_other_text())
def test_both_ways_agree_on_any_line(data: bytes) -> None:
    """Whatever is put anywhere into an event, under any name: both ways find the same, if both find something."""
    assert quickly(data) in ([], carefully(data))


def test_number_without_a_value_is_no_fault_if_the_event_does_not_use_it() -> None:
    """An escape elsewhere in the line does not change what becomes of it."""
    plain = b'{"x": 1e999, ' + PAYLOAD[1:]
    escaped = b'{"x": 1e999, "y": "\\u0041", ' + PAYLOAD[1:]
    expected = read_line(line(PAYLOAD))
    assert expected == read_line(line(plain)) == read_line(line(escaped)) == read_line(line(escaped), "payload")
    used = b'{"channel": 1e999, ' + PAYLOAD[1:].replace(b'"channel": "email", ', b"")
    assert [Rejected("number out of range")] == read_line(line(used))


@pytest.mark.parametrize(
    "data",
    [
        DATASET[0].replace(b"campaignActionID", b"campaign\\u0041ctionID"),
        DATASET[0].replace(b"user1@", b"\xff@"),
        DATASET[0].replace(b'"_id":"d9b1', b'"@id":"d9b1'),
        DATASET[0].replace(b'"sent"', b'"sent","deep":' + b"[" * 90 + b"]" * 90),
        PAYLOAD.replace(b"bounce", b"bou\xffnce"),
    ],
)
def test_what_only_a_careful_look_can_judge_is_left_to_it(data: bytes) -> None:
    """Escapes, other spellings, deep nesting and bytes that are not UTF-8 are never read quickly."""
    assert [] == quickly(data)
