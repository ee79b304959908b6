"""The findings of `check` on the backlogs of webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hookline.cli.status.drain_text import drain_sentence
from hookline.cli.status.status_report import read_report
from hookline.errors import SpoolUnusable
from hookline.model import Webhook
from hookline.observe.drain import DrainForecast
from hookline.relay.preflight.report import CheckFinding, CheckStep, Grade
from hookline.relay.spool.drain_forecast import DrainLimits
from hookline.relay.spool.factory import is_missing_directory, spool_store

_EXPIRING = "raise delivery.rateLimit, delivery.concurrency or delivery.retry.maxAge, if the endpoint permits it"


def read_backlog_findings(spool: str, webhooks: Sequence[Webhook], *, now: float) -> Mapping[str, CheckFinding]:
    """The finding on each of the webhooks that has pending deliveries, by address. Without a spool there is none.

    A spool that cannot be read is no fault of a webhook: it gives no finding either.
    """
    applied = {str(one.address): DrainLimits.of_policy(one.delivery) for one in webhooks}
    try:
        if is_missing_directory(spool):
            return {}
        report = read_report(spool_store(spool).statistics(), applied=lambda: applied, now=now)
    except (SpoolUnusable, OSError):
        return {}
    numbers = {one.webhook: one.pending for one in report.spool.webhooks}
    return {name: _finding(one, numbers[name]) for name, one in report.drain.webhooks.items() if name in applied}


def _finding(drain: DrainForecast, pending: int) -> CheckFinding:
    detail = f"{pending:,} pending: {drain_sentence(drain)}"
    if drain.expiring:
        return CheckFinding(CheckStep.BACKLOG, Grade.WARNING, detail, _EXPIRING)
    return CheckFinding(CheckStep.BACKLOG, Grade.OK, detail)
