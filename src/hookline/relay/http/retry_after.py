"""The Retry-After header (RFC 9110 §10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[+-]?[0-9]+", re.ASCII)
# Some thirty years: longer than any wait that is meant, and still an ordinary number.
_LONGEST = 1e9


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from `now` (Unix time) that the header asks for, in either of its forms: a number, or an HTTP-date.

    0 for the past and for a negative number, None for what is neither form.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(max(0.0, float(text)), _LONGEST)
    try:
        moment = parsedate_to_datetime(text)
        # An HTTP-date is always in GMT; the obsolete asctime form does not say so.
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, at - now), _LONGEST)
