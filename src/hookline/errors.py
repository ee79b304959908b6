"""The exceptions of hookline, and the exit code of each.

    HooklineError                 1   a failure of I/O or of the network, or an internal error
     ├─ WrongUse                 64   the command line is invalid
     ├─ InvalidConfiguration      5   the webhook files have findings; it has all diagnostics
     ├─ Blocked                   6   a safety rule blocks the command, or an approval is missing
     ├─ Stale                     7   the state has changed, or a concurrent apply was first
     ├─ Unusable                  8   locked, missing, empty, written by a newer release, or damaged:
     │   ├─ StateUnusable             … the state
     │   └─ SpoolUnusable             … the spool
     │       └─ SpoolStalled          temporary: another process has locked the spool for a long time
     │           └─ SpoolFull         temporary: the disk of the spool is full
     ├─ OutputLost                1   standard output cannot be written, so a result is lost
     ├─ SecretUnavailable         1   a secret reference cannot be resolved, or is out of scope
     ├─ KeyUnusable               1   key material does not fit its algorithm
     ├─ MessagesKnown             1   internal: messages of a batch are stored already; the ingester leaves them out
     ├─ PositionMoved             1   another reader has moved the position of a source; the ingester catches it
     └─ AddressRefused            1   an address is private or special, and no --allow-network permits it
                                      (defined in relay/http/address_policy.py)

A message states the finding and its location, `hint` the next step. Neither contains the value of a secret.
"""

from __future__ import annotations

from typing import ClassVar

from hookline.diagnostics import Diagnostic
from hookline.exit_codes import ExitCode


class HooklineError(Exception):
    """The root of the tree. The module that calls a library converts its exceptions to one of these."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WrongUse(HooklineError):
    exit_code = ExitCode.WRONG_USE


class InvalidConfiguration(HooklineError):
    exit_code = ExitCode.INVALID_CONFIGURATION

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__(f"{len(diagnostics)} finding(s) in the webhook files")
        self.diagnostics = diagnostics


class Blocked(HooklineError):
    exit_code = ExitCode.BLOCKED


class Stale(HooklineError):
    exit_code = ExitCode.STALE


class Unusable(HooklineError):
    exit_code = ExitCode.UNUSABLE


class StateUnusable(Unusable):
    pass


class SpoolUnusable(Unusable):
    pass


class SpoolStalled(SpoolUnusable):
    pass


class SpoolFull(SpoolStalled):
    pass


class MessagesKnown(HooklineError):
    """`numbers` are the messages of a batch that the spool has already stored. Nothing of the batch was stored."""

    def __init__(self, numbers: frozenset[int]) -> None:
        super().__init__(f"{len(numbers):,} messages are stored already")
        self.numbers = numbers


class MovesUnknown(HooklineError):
    """The spool has followed a move of a webhook without which a batch was routed. Nothing of it was stored."""


class OutputLost(HooklineError):
    """`reader_left`: the program at the other end of the pipe, such as `head`, wants no more. That is no fault."""

    reader_left = False


class SecretUnavailable(HooklineError):
    pass


class KeyUnusable(HooklineError):
    pass


class PositionMoved(HooklineError):
    pass
