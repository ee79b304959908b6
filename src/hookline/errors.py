"""The exceptions that callers can expect, and the exit code of each.

    HooklineError                 1   failed: I/O, network, an internal error
     ├─ WrongUse                 64   the command line makes no sense
     ├─ InvalidConfiguration      5   the webhook files are invalid (carries all diagnostics)
     ├─ Blocked                   6   a safety rule, or approval is missing
     ├─ Stale                     7   the state has changed, or a concurrent apply won
     ├─ Unusable                  8   locked, missing, empty, newer, damaged
     │   ├─ StateUnusable
     │   └─ SpoolUnusable
     │       └─ SpoolStalled       temporary: another process has locked the spool for long, or …
     │           └─ SpoolFull      … its disk is full
     ├─ SecretUnavailable         1   a reference that cannot be resolved, or is out of scope
     ├─ KeyUnusable               1   key material that does not fit its algorithm
     └─ relay.http.address_policy.AddressRefused  a special address that no --allow-network admits

A message gives the finding and its location; `hint` gives the next step. Neither contains a secret's value.
"""

from __future__ import annotations

from typing import ClassVar

from hookline.diagnostics import Diagnostic
from hookline.exit_codes import ExitCode


class HooklineError(Exception):
    """The root of the tree. Code that calls a library maps the library's exceptions to one of these."""

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


class SecretUnavailable(HooklineError):
    pass


class KeyUnusable(HooklineError):
    pass
