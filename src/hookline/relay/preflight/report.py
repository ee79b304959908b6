"""What looking at one webhook has found, step by step: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hookline.relay.http.certificate_info import Certificate


class CheckStep(StrEnum):
    """In the order in which an attempt of the relay goes through them."""

    SECRETS = "secrets"
    KEY = "key"
    DNS = "dns"
    ADDRESS = "address"
    CONNECT = "connect"
    TLS = "tls"
    HTTP = "http"


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One line on one step; a step may have several. `hint`: what to do next, for whatever is not ok."""

    step: CheckStep
    grade: Grade
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """`addresses`: what the name resolves to. `certificates`: what was shown, the endpoint's own first."""

    address: str
    url: str
    findings: tuple[CheckFinding, ...]
    addresses: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @property
    def failed_at(self) -> CheckStep | None:
        """The first step that failed, in the order in which the relay takes them."""
        failed = {finding.step for finding in self.findings if finding.grade is Grade.FAILED}
        return next((step for step in CheckStep if step in failed), None)

    @property
    def warns(self) -> bool:
        return any(finding.grade is Grade.WARNING for finding in self.findings)
