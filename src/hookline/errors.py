"""Every failure that a caller may meet, and the exit code that each one becomes.

    HooklineError                 1   failed: I/O, network, an error of ours
     ├─ WrongUse                 64   the command line asks for something that makes no sense
     ├─ InvalidConfiguration      5   the webhook files do not hold (carries every diagnostic)
     ├─ Blocked                   6   a safety rule, or approval missing
     ├─ Stale                     7   the state has moved, or a concurrent apply won
     ├─ Unusable                  8   locked, missing, empty, newer, damaged
     │   ├─ StateUnusable
     │   └─ SpoolUnusable
     │       └─ SpoolStalled       at this moment only: another process keeps the spool for long, or …
     │           └─ SpoolFull      … its disk is full
     ├─ SecretUnavailable         1   a reference that cannot be resolved, or is out of scope
     ├─ KeyUnusable               1   key material that does not fit its algorithm
     └─ relay.network.AddressRefused  a private or special address that no --allow-network admits

A message says what was found and where; `hint` says what to do next. Neither ever holds a secret's value.
"""

from __future__ import annotations

from typing import ClassVar

from hookline.diagnostics import Diagnostic


class HooklineError(Exception):
    """The root of the tree. Library exceptions are turned into one of these where they are raised."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WrongUse(HooklineError):
    exit_code = 64


class InvalidConfiguration(HooklineError):
    exit_code = 5

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__(f"{len(diagnostics)} finding(s) in the webhook files")
        self.diagnostics = diagnostics


class Blocked(HooklineError):
    exit_code = 6


class Stale(HooklineError):
    exit_code = 7


class Unusable(HooklineError):
    exit_code = 8


class StateUnusable(Unusable):
    pass


class SpoolUnusable(Unusable):
    pass


class SpoolStalled(SpoolUnusable):
    pass


class SpoolFull(SpoolStalled):
    pass


class SecretUnavailable(HooklineError):
    pass


class KeyUnusable(HooklineError):
    pass
