"""How a plan changes the time that backlogs take, for the reviewer."""

from __future__ import annotations

import time
from dataclasses import replace

from hookline.canonical import read_webhook
from hookline.plan.plan import Change, Plan


def with_drain(plan: Plan, spool: str) -> Plan:
    """The plan with a drain forecast for each changed webhook with pending deliveries: with the present limits, and
    with the planned ones. If the spool cannot be read, the plan as it is.

    Args:
        plan: The plan, with the numbers of pending deliveries. Its documents are valid.
        spool: The location of the spool.
    """
    if not any(_is_forecast(one) for one in plan.changes):
        return plan
    # Most plans need none of these.
    from hookline.cli.status.drain_text import planned_drain_text  # noqa: PLC0415
    from hookline.cli.status.status_report import read_report  # noqa: PLC0415
    from hookline.errors import SpoolUnusable  # noqa: PLC0415
    from hookline.relay.spool.drain_forecast import DrainLimits, measurements, planned_drain  # noqa: PLC0415
    from hookline.relay.spool.factory import spool_store  # noqa: PLC0415

    before = {one.address: read_webhook(one.before) for one in plan.changes if one.before is not None}
    applied = {str(address): DrainLimits.of_policy(one.delivery) for address, one in before.items()}
    try:
        report = read_report(spool_store(spool).statistics(), applied=lambda: applied, now=time.time())
    except (SpoolUnusable, OSError):
        return plan
    measured = measurements(report.activity)
    known = {one.webhook: one for one in report.spool.webhooks if one.pending}

    def text(change: Change) -> str | None:
        address, status = change.address, known.get(str(change.address))
        if status is None or change.after is None or not _is_forecast(change):
            return None
        after = read_webhook(change.after)
        same_url = address in before and before[address].url == after.url
        planned = planned_drain(
            status, after, measured.get(address, measured.get(None)), now=report.spool.at, same_url=same_url
        )
        return planned_drain_text(report.drain.webhooks[str(address)], planned)

    return replace(plan, changes=tuple(replace(one, drain=text(one)) for one in plan.changes))


def _is_forecast(change: Change) -> bool:
    return bool(change.pending) and change.after is not None
