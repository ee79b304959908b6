"""The report of `check` on one webhook: findings for each step. It contains values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hookline.relay.http.certificate_info import Certificate


class CheckStep(StrEnum):
    """The steps of an attempt, in their order, and the backlog that waits for attempts."""

    SECRETS = "secrets"
    KEY = "key"
    DNS = "dns"
    ADDRESS = "address"
    CONNECT = "connect"
    TLS = "tls"
    HTTP = "http"
    BACKLOG = "backlog"


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One line on one step; a step may have several. `hint`: what the operator does next, unless the grade is ok."""

    step: CheckStep
    grade: Grade
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """`addresses`: those of the name. `certificates`: those that the endpoint shows, its own first."""

    address: str
    url: str
    findings: tuple[CheckFinding, ...]
    addresses: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @property
    def failed_at(self) -> CheckStep | None:
        """The first step that failed, in the order of CheckStep."""
        failed = {finding.step for finding in self.findings if finding.grade is Grade.FAILED}
        return next((step for step in CheckStep if step in failed), None)

    @property
    def has_warning(self) -> bool:
        return any(finding.grade is Grade.WARNING for finding in self.findings)
