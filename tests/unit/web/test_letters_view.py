"""The filters of dead letters in a request."""

from __future__ import annotations

import pytest

from hookline.model import Address
from hookline.relay.spool.admin import Filter
from hookline.web.letters_view import letter_filter


def test_a_request_becomes_a_filter() -> None:
    """Empty fields of the form select nothing."""
    given = {"webhook": " acme/prod ", "channel": "sms", "status": "bounce", "reason": "x", "http-status": "422",
             "since": "10", "until": ""}  # fmt: skip
    expected = Filter(
        webhook=Address("acme", "prod"), channel="sms", status="bounce", reason="x", http=422, since=10.0
    )
    assert expected == letter_filter(given, float)
    assert letter_filter({"webhook": " "}, float).everything


@pytest.mark.parametrize(
    "given",
    [
        {"webhook": "acme"},
        {"channel": "fax"},
        {"status": "read"},
        {"http-status": "99"},
        {"http-status": "0422"},
        {"http-status": "²"},
        {"http-status": "422" * 3000},
        {"since": "soon"},
    ],
)
def test_wrong_values_are_refused(given: dict[str, str]) -> None:
    """A value that no letter can have is an error, not an empty list."""
    with pytest.raises(ValueError, match=r"\w"):
        letter_filter(given, float)
