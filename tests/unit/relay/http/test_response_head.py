import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.http.response_head import parse_retry_after

# 1994-11-06 08:49:07 GMT, thirty seconds before the date of RFC 9110's examples.
NOW = 784111747.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("2.", 2.0),
        ("-0.5", 0.0),
        ("-5", 0.0),
        ("9" * 5000, 1e9),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0.0),
    ],
)
def test_both_forms(value: str, seconds: float) -> None:
    """Seconds and all three forms of an HTTP-date are parsed. Past and negative values result in 0."""
    assert seconds == parse_retry_after(value, NOW)


@pytest.mark.parametrize(
    "value", ["", "soon", ".5", "1.5s", "1.5.0", "1,5", "1e3", "0x10", "٣", "Sun, 99 Nov 1994 08:49:37 GMT", "12 34"]
)
def test_garbage(value: str) -> None:
    """A value of neither form is ignored."""
    assert parse_retry_after(value, NOW) is None


@given(st.text(), st.floats(min_value=0, max_value=4e9))
def test_never_raises(value: str, now: float) -> None:
    """Any value results in a finite delay or in none."""
    wait = parse_retry_after(value, now)
    assert wait is None or (wait >= 0 and math.isfinite(wait))
