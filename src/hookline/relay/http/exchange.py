"""What came of one attempt, and what follows from it."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from hookline.errors import HooklineError


class Response(msgspec.Struct, frozen=True):
    """The endpoint answered: the head was complete. `retry_after` is in seconds from now, from either form."""

    status: int
    retry_after: float | None = None


class FailureKind(StrEnum):
    NETWORK = "network"
    TIMEOUT = "timeout"
    TLS = "tls"


class Failure(msgspec.Struct, frozen=True):
    """No complete head came back. `detail` is for people, one line, without control characters."""

    kind: FailureKind
    detail: str


class LocalFault(msgspec.Struct, frozen=True):
    """The attempt could not be made for a reason on our side: a secret, a key, a refused address."""

    detail: str


ExchangeResult = Response | Failure | LocalFault


class Attempt(msgspec.Struct, frozen=True):
    """One POST of one delivery. `number` counts from 1 over its whole life; `at` is Unix time in seconds."""

    id: bytes
    body: bytes
    number: int
    at: float
    event_time: str | None = None


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST = 200
# Ours may be longer: it ends with the hint, which is what the reader needs.
_LONGEST_FAULT = 600


def one_line(text: str, longest: int = _LONGEST) -> str:
    """`text` without control characters, at most `longest` characters."""
    return _CONTROLS.sub(" ", text).strip()[:longest]


def as_fault(error: HooklineError) -> LocalFault:
    """An error of ours as the result of an attempt: what was found, and the next step."""
    return LocalFault(one_line("; ".join(filter(None, (error.message, error.hint))), _LONGEST_FAULT))
