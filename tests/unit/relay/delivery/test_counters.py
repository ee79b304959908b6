"""The relay's counts by webhook."""

from __future__ import annotations

from builders import ACME
from hookline.relay.delivery.counters import Counters


def test_attempts_are_counted_by_class_of_their_status() -> None:
    """Statuses of one class are one count, and an attempt without a response has a class of its own."""
    counters = Counters()
    for status in (200, 204, 401, 503, 502, None):
        counters.of(ACME).add_attempt("retry", 0.1, status)
    assert {
        ("acme/prod", "2xx"): 2,
        ("acme/prod", "4xx"): 1,
        ("acme/prod", "5xx"): 2,
        ("acme/prod", "none"): 1,
    } == counters.snapshot().responses
