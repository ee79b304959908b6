"""What came of one attempt, and what follows from it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Answer(msgspec.Struct, frozen=True):
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


class Fault(msgspec.Struct, frozen=True):
    """The attempt could not be made for a reason on our side: a secret, a key, a refused address."""

    detail: str


Result = Answer | Failure | Fault


class Delivered(msgspec.Struct, frozen=True):
    """The endpoint has it."""


class Retry(msgspec.Struct, frozen=True):
    """Try again by the schedule. `wait`: seconds that the whole endpoint asked to be left alone (Retry-After)."""

    reason: str
    wait: float | None = None


class Renew(msgspec.Struct, frozen=True):
    """Make a fresh token and try once more at once."""

    reason: str


class Confirm(msgspec.Struct, frozen=True):
    """The event seems to be at fault: one more attempt decides."""

    reason: str


class Hold(msgspec.Struct, frozen=True):
    """The endpoint, not the event, is at fault: pause and probe it; the attempt is not used up."""

    reason: str


class Stop(msgspec.Struct, frozen=True):
    """The endpoint is gone until its configuration changes; its events become dead letters."""

    reason: str


class Dead(msgspec.Struct, frozen=True):
    """This event will not be tried again by itself."""

    reason: str


Verdict = Delivered | Retry | Renew | Confirm | Hold | Stop | Dead
