"""Durations, rates and listening addresses."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.units import Rate, format_duration, option_duration, parse_duration, parse_listen, parse_rate


@given(st.integers(0, 10**12))
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    """Every whole number of milliseconds has a spelling, and it is read back."""
    duration = timedelta(milliseconds=milliseconds)
    assert duration == parse_duration(format_duration(duration))


@pytest.mark.parametrize(("text", "shortest"), [
    ("60s", "1m"), ("1000ms", "1s"), ("60m", "1h"), ("90s", "90s"), ("0h", "0s"), ("72h", "72h"),
    ("1500ms", "1500ms"), ("3d", "72h"), ("1d", "24h"),
])  # fmt: skip
def test_equal_durations_are_equal_text(text: str, shortest: str) -> None:
    """A duration has one spelling, the shortest."""
    assert shortest == format_duration(parse_duration(text))


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "05m", "5M", "1.5s", "5m5s", "5w", "5 d", "m", "d"])
def test_not_a_duration(text: str) -> None:
    """Other text is refused with an example."""
    with pytest.raises(ValueError, match="write 100ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["100ms", "10s", "90m", "25h", "1d", "30d", "1500ms", "0s"])
def test_a_message_shows_a_duration_as_an_option_has_it(text: str) -> None:
    """Messages use the notation of options, with days."""
    assert text == option_duration(parse_duration(text).total_seconds())


@given(st.integers(1, 10**6), st.sampled_from([1, 60, 3600]))
def test_a_rate_is_read_as_it_was_written(count: int, seconds: int) -> None:
    """Every rate has a spelling, and it is read back."""
    assert Rate(count, seconds) == parse_rate(str(Rate(count, seconds)))


@pytest.mark.parametrize("text", ["", "0/s", "5", "5/d", "/s", "-1/s", "5/ s", "1.5/s"])
def test_not_a_rate(text: str) -> None:
    """Other text is refused with an example."""
    with pytest.raises(ValueError, match="write 200/s"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8443", ("127.0.0.1", 8443)), ("localhost:0", ("localhost", 0)), ("[::1]:9", ("::1", 9))],
)
def test_an_address_to_listen_on_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    """Names, IPv4 and bracketed IPv6 addresses are read."""
    assert expected == parse_listen(text)


@pytest.mark.parametrize(
    "text",
    [
        "8443",
        ":8443",
        "localhost",
        "localhost:",
        "::1:9",
        "localhost:http",
        "localhost:70000",
        "a..b:1",
        "localhost:²",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Half an address, a bare IPv6 address and ports that do not exist are refused."""
    with pytest.raises(ValueError, match=r"not HOST:PORT|port out of range"):
        parse_listen(text)
