"""The rules for delivery: durations in range and in order, TLS files in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import DocumentPath, RuleFinding, finding_at, mapping_at, quote, text_at
from hookline.model import RetryPolicy
from hookline.units import format_duration, parse_duration

_MILLISECOND, _SECOND, _HOUR = timedelta(milliseconds=1), timedelta(seconds=1), timedelta(hours=1)
_MAX_CHARACTERS = 20  # the schema refuses longer text
_RETRY: DocumentPath = ("delivery", "retry")
_DEFAULTS = RetryPolicy()
_RETRY_DEFAULTS = {
    "initialDelay": _DEFAULTS.initial_delay,
    "maxDelay": _DEFAULTS.max_delay,
    "maxAge": _DEFAULTS.max_age,
}

# A token must outlive the skew between clocks and expire within an hour. An attempt must end before a load balancer
# gives up. An event older than 90 days has no use. The lower limits keep a relay from busy loops.
DURATION_RANGES: dict[DocumentPath, tuple[timedelta, timedelta]] = {
    ("authentication", "lifetime"): (30 * _SECOND, _HOUR),
    ("delivery", "timeout"): (100 * _MILLISECOND, 600 * _SECOND),
    (*_RETRY, "initialDelay"): (_MILLISECOND, 24 * _HOUR),
    (*_RETRY, "maxDelay"): (_MILLISECOND, 7 * 24 * _HOUR),
    (*_RETRY, "maxAge"): (_SECOND, 90 * 24 * _HOUR),
}


def check_delivery(document: Any) -> Iterator[RuleFinding]:
    """Checks `delivery`, and the range of every duration of a document."""
    durations = {path: _duration_at(document, path) for path in DURATION_RANGES}
    for path, (minimum, maximum) in DURATION_RANGES.items():
        duration = durations[path]
        if duration is not None and not minimum <= duration <= maximum:
            problem = f"must be from {format_duration(minimum)} to {format_duration(maximum)}"
            problem += f", found {quote(text_at(document, *path))}"
            hint = "write a duration such as 100ms, 10s, 5m, 24h or 3d"
            yield finding_at(path, error_codes.OUT_OF_RANGE, problem, hint)
    yield from _check_order(mapping_at(document, *_RETRY), durations)
    yield from _check_pair(document)


def _check_order(
    written: Mapping[str, Any], durations: Mapping[DocumentPath, timedelta | None]
) -> Iterator[RuleFinding]:
    delays = {
        name: durations[*_RETRY, name] if name in written else default for name, default in _RETRY_DEFAULTS.items()
    }
    for smaller, larger in (("initialDelay", "maxDelay"), ("maxDelay", "maxAge")):
        low, high = delays[smaller], delays[larger]
        if low is not None and high is not None and high < low <= DURATION_RANGES[*_RETRY, smaller][1]:
            path = (*_RETRY, smaller if smaller in written else larger)
            problem = f"{smaller} ({format_duration(low)}) is longer than {larger} ({format_duration(high)})"
            defaults = "{}, {} and {}".format(*map(format_duration, _RETRY_DEFAULTS.values()))
            hint = f"write initialDelay ≤ maxDelay ≤ maxAge; the defaults are {defaults}"
            yield finding_at(path, error_codes.RETRY_ORDER, problem, hint)


def _check_pair(document: Any) -> Iterator[RuleFinding]:
    tls = mapping_at(document, "delivery", "tls")
    for name, other in (("clientCertificate", "clientKey"), ("clientKey", "clientCertificate")):
        if name in tls and other not in tls:
            path: DocumentPath = ("delivery", "tls", name)
            hint = f"add {other}: {{file: …}}, or remove {name}"
            yield finding_at(path, error_codes.TLS_PAIR, f"requires {other}", hint, on_key=True)


def _duration_at(document: Any, path: DocumentPath) -> timedelta | None:
    """The duration at a path, or None if it is missing or not valid. The schema reports both."""
    text = text_at(document, *path)
    return None if text is None or len(text) > _MAX_CHARACTERS else _parsed(text)


@lru_cache(maxsize=256)  # ten thousand files use few different durations
def _parsed(text: str) -> timedelta | None:
    try:
        return parse_duration(text)
    except ValueError:
        return None
    except OverflowError:
        return timedelta.max
