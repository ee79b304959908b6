"""What a delivery policy may be: durations in range and in order, TLS files in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

from hookline.config import error_codes
from hookline.config.document_access import DocumentPath, RuleFinding, mapping_at, path_text, quote, text_at
from hookline.units import format_duration, parse_duration

_MILLISECOND, _SECOND, _HOUR = timedelta(milliseconds=1), timedelta(seconds=1), timedelta(hours=1)
_LONGEST = 20  # more is refused by the schema
_RETRY: DocumentPath = ("delivery", "retry")
_RETRY_DEFAULTS = {"initialDelay": _SECOND, "maxDelay": _HOUR, "maxAge": 72 * _HOUR}

# A token outlives the clock's skew and not a working day; an attempt ends within a load balancer's patience; beyond
# 90 days an event is history. The lower ends keep a relay from spinning.
_RANGES: dict[DocumentPath, tuple[timedelta, timedelta]] = {
    ("authentication", "lifetime"): (30 * _SECOND, _HOUR),
    ("delivery", "timeout"): (100 * _MILLISECOND, 600 * _SECOND),
    (*_RETRY, "initialDelay"): (_MILLISECOND, 24 * _HOUR),
    (*_RETRY, "maxDelay"): (_MILLISECOND, 7 * 24 * _HOUR),
    (*_RETRY, "maxAge"): (_SECOND, 90 * 24 * _HOUR),
}


def check(document: Any) -> Iterator[RuleFinding]:
    """Findings about `delivery`, and the range of every duration of a document."""
    for path, (least, most) in _RANGES.items():
        duration = _duration_at(document, path)
        if duration is not None and not least <= duration <= most:
            summary = f"{path_text(path)}: must be from {format_duration(least)} to {format_duration(most)}"
            found = quote(text_at(document, *path))
            hint = "write a duration such as 100ms, 10s, 5m or 24h"
            yield RuleFinding(
                code=error_codes.OUT_OF_RANGE, path=path, summary=f"{summary}, found {found}", hint=hint
            )
    yield from _check_order(document)
    yield from _check_pair(document)


def _check_order(document: Any) -> Iterator[RuleFinding]:
    written = mapping_at(document, *_RETRY)
    delays = {
        name: _duration_at(document, (*_RETRY, name)) if name in written else default
        for name, default in _RETRY_DEFAULTS.items()
    }
    for smaller, larger in (("initialDelay", "maxDelay"), ("maxDelay", "maxAge")):
        low, high = delays[smaller], delays[larger]
        if low is not None and high is not None and high < low <= _RANGES[*_RETRY, smaller][1]:
            at = smaller if smaller in written else larger
            summary = f"{path_text((*_RETRY, at))}: {smaller} ({format_duration(low)}) is longer than {larger}"
            hint = "initialDelay ≤ maxDelay ≤ maxAge; those not written are 1s, 1h and 72h"
            yield RuleFinding(
                code=error_codes.RETRY_ORDER,
                path=(*_RETRY, at),
                summary=f"{summary} ({format_duration(high)})",
                hint=hint,
            )


def _check_pair(document: Any) -> Iterator[RuleFinding]:
    tls = mapping_at(document, "delivery", "tls")
    for name, other in (("clientCertificate", "clientKey"), ("clientKey", "clientCertificate")):
        if name in tls and other not in tls:
            path: DocumentPath = ("delivery", "tls", name)
            hint = f"add {other}: {{file: …}}, or remove {name}"
            summary = f"{path_text(path)}: stands without {other}"
            yield RuleFinding(code=error_codes.TLS_PAIR, path=path, summary=summary, hint=hint, on_key=True)


def _duration_at(document: Any, path: DocumentPath) -> timedelta | None:
    """The duration at a path; None where there is none, or none that can be read (the schema says so)."""
    text = text_at(document, *path)
    return None if text is None or len(text) > _LONGEST else _parsed(text)


@lru_cache(maxsize=256)  # ten thousand files use a handful of durations
def _parsed(text: str) -> timedelta | None:
    try:
        return parse_duration(text)
    except ValueError:  # the schema says so
        return None
    except OverflowError:
        return timedelta.max
