"""What went wrong, in one line that can stand in a log, a table and a terminal whatever an endpoint sent."""

from __future__ import annotations

import re

from hookline.errors import HooklineError
from hookline.relay.delivery.outcome import Fault

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST = 200
# Ours may be longer: it ends with the hint, which is what the reader needs.
_LONGEST_FAULT = 600


def one_line(text: str, longest: int = _LONGEST) -> str:
    """`text` without control characters, at most `longest` characters."""
    return _CONTROLS.sub(" ", text).strip()[:longest]


def as_fault(error: HooklineError) -> Fault:
    """An error of ours as the result of an attempt: what was found, and the next step."""
    return Fault(one_line("; ".join(filter(None, (error.message, error.hint))), _LONGEST_FAULT))
