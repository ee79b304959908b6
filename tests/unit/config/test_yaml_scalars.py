"""Plain scalars: only values that all YAML parsers read the same way."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hookline.config.yaml_scalars import Ambiguous, resolve


@pytest.mark.parametrize("text", [
    "y", "N", "yes", "No", "ON", "off", "010", "0o10", "08", "00", "-07", "12:30:00", "1:2", "1_000", "0b1",
    "-0x1F", "0x_f", "2026-11-01", "2026-1-1T10:00:00Z", "2026-01-01 10:00", ".5", "1.", "1e3", "1E+3", "+1.5",
    "1.5e3", "01.5", ".inf", "-.INF", ".nan", "=", "9007199254740992", "9" * 5000, "1_0.5",
])  # fmt: skip
def test_refused(text: str) -> None:
    """What readers take differently is never given a value."""
    assert isinstance(resolve(text), Ambiguous)


@pytest.mark.parametrize(("text", "value"), [
    ("", None), ("~", None), ("null", None), ("true", True), ("FALSE", False), ("0", 0), ("-5", -5), ("+5", 5),
    ("0x1F", 31), ("1.5", 1.5), ("-0.5", -0.5), ("1.5e+3", 1500.0), ("9007199254740991", 9007199254740991),
    ("5m", "5m"), ("200/s", "200/s"), ("1.2.3", "1.2.3"), ("2026-11", "2026-11"), ("nO", "nO"), ("yep", "yep"),
    ("16f24a15-7e21-477c-848a-d5695ca7f137", "16f24a15-7e21-477c-848a-d5695ca7f137"), ("1e", "1e"), ("-", "-"),
    ("1234567890ABCDEF@AdobeOrg", "1234567890ABCDEF@AdobeOrg"), ("<<", "<<"), (".", "."), ("+", "+"), ("0x", "0x"),
])  # fmt: skip
def test_agreed(text: str, value: object) -> None:
    """What all readers take alike has that value."""
    found = resolve(text)
    assert (type(value), value) == (type(found), found)


@given(st.from_regex(r"[-+.0-9a-fox_:eEnNyY~]{0,12}", fullmatch=True))
def test_never_differs_from_a_yaml_1_1_reader(text: str) -> None:
    """Whatever is given a value has the same one in the library's own reader, which follows YAML 1.1."""
    found = resolve(text)
    loaded = None if isinstance(found, Ambiguous) else yaml.SafeLoader("").construct_object(_node(text))
    assert isinstance(found, Ambiguous) or (type(found), found) == (type(loaded), loaded)


def _node(text: str) -> yaml.ScalarNode:
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return yaml.ScalarNode(tag, text)
