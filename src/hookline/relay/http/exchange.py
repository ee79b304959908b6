"""The values of one exchange with an endpoint: the attempt to send, and its result."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from hookline.errors import HooklineError

# The detail of a local fault may be longer because it ends with the hint, which the operator needs.
MAX_DETAIL_CHARS: Final = 200
MAX_FAULT_CHARS: Final = 600
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Attempt(msgspec.Struct, frozen=True):
    """One POST of one delivery. `number` counts the delivery's attempts from 1. `at` is Unix time in seconds."""

    id: bytes
    body: bytes
    number: int
    at: float
    event_time: str | None = None


class Response(msgspec.Struct, frozen=True):
    """A complete response head arrived. `retry_after` is in seconds from now, for both forms of the header."""

    status: int
    retry_after: float | None = None


class FailureKind(StrEnum):
    NETWORK = "network"
    TIMEOUT = "timeout"
    TLS = "tls"


class Failure(msgspec.Struct, frozen=True):
    """No complete response head arrived. `detail` is one line for people, without control characters.

    `address`: the IP address that the connection was made to, if there was one. `may_resend`: a kept connection ended
    without a byte of the response, so the same request may be sent once more at once.
    """

    kind: FailureKind
    detail: str
    address: str | None = None
    may_resend: bool = False


class LocalFault(msgspec.Struct, frozen=True):
    """The attempt failed on the relay's side: a secret, a key or a refused address."""

    detail: str


ExchangeResult = Response | Failure | LocalFault


def one_line(text: str, max_chars: int = MAX_DETAIL_CHARS) -> str:
    """`text` without control characters, cut to `max_chars` characters."""
    return _CONTROLS.sub(" ", text).strip()[:max_chars]


def as_fault(error: HooklineError) -> LocalFault:
    """The local fault for an error of hookline: its message and its hint."""
    return LocalFault(one_line("; ".join(filter(None, (error.message, error.hint))), MAX_FAULT_CHARS))
