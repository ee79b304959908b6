"""The lanes: the phase of each circuit breaker with its reason, backlog, and the last hour as plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.observe.attention import by_attention
from hookline.observe.snapshot import LaneStatus, SpoolStatus, WebhookStatus
from hookline.observe.spool_owners import owners_of, reporting
from hookline.observe.status import moment
from hookline.web.plots import MinutePlots
from hookline.web.spool_reader import SpoolView

# The words and the colour of each state of a lane.
_TONES: Final = {
    "closed": "good", "half_open": "warning", "open": "bad", "gone": "bad", "paused": "quiet", "disabled": "quiet",
    "waits": "warning", "no relay": "quiet",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One lane. `state` is a word, `tone` its colour, `reason` and `until` explain it.

    `oldest_seconds` is the age of the oldest pending delivery. `owner` is the process of a shared spool.
    """

    webhook: str
    state: str
    tone: str
    reason: str | None
    until: str | None
    pending: int
    oldest_seconds: float | None
    dead: int
    in_flight: int
    owner: str | None
    forecast: str | None
    plots: MinutePlots | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSummary:
    """The whole spool. `relays` has a line for each process that uses it."""

    at: str
    pending: int
    oldest_seconds: float | None
    dead: int
    rejected: int
    relays: Sequence[str]
    forecast: str | None = None


def lane_webhooks(view: SpoolView, search: str) -> list[WebhookStatus]:
    """The webhooks whose address has all words of `search`, those that need attention first."""
    words = search.casefold().split()
    known = {one.webhook: one for one in view.status.webhooks}
    names = [name for name in known.keys() | view.lanes.keys() if all(word in name.casefold() for word in words)]
    return by_attention([known.get(name, WebhookStatus(webhook=name)) for name in names], view.lanes)


def lane_rows(
    webhooks: Sequence[WebhookStatus],
    view: SpoolView,
    *,
    mask: Callable[[str], str],
    plots: Mapping[str, MinutePlots],
    forecasts: Mapping[str, str],
) -> Iterator[LaneRow]:
    """The rows of some webhooks.

    Args:
        webhooks: those to show, in their order.
        view: the spool.
        mask: removes recipients from the texts of endpoints.
        plots: the last hour, by webhook.
        forecasts: how long the backlog takes, by webhook.
    """
    owners = owners_of(view.status, view.processes)
    for one in webhooks:
        lane = view.lanes.get(one.webhook)
        state, reason, until = _state(one, lane)
        owner = owners.get(one.webhook)
        yield LaneRow(
            webhook=one.webhook,
            state=state.replace("_", "-"),
            tone=_TONES[state],
            reason=None if reason is None else mask(reason),
            until=moment(until),
            pending=one.pending,
            oldest_seconds=one.oldest,
            dead=one.dead,
            in_flight=0 if lane is None else lane.in_flight,
            owner=None if owner is None else f"{owner.label} (gone)" if owner.gone else owner.label,
            forecast=forecasts.get(one.webhook),
            plots=plots.get(one.webhook),
        )


def _state(one: WebhookStatus, lane: LaneStatus | None) -> tuple[str, str | None, float | None]:
    """The strongest reason why the webhook receives nothing, or the phase of its circuit breaker."""
    if one.paused is not None:
        return "paused", f"by an operator, since {moment(one.paused)}", None
    if one.disabled or (lane is not None and lane.disabled):
        return "disabled", "in the applied configuration", None
    if lane is not None:
        return lane.phase, lane.reason, lane.until
    if one.gone_reason is not None:
        return "gone", one.gone_reason, None
    if one.not_before is not None:
        return "waits", "requested by the endpoint (Retry-After)", one.not_before
    return "no relay", None, None


def spool_summary(view: SpoolView, forecast: str | None = None) -> SpoolSummary:
    status: SpoolStatus = view.status
    return SpoolSummary(
        at=moment(status.at) or "",
        pending=status.tally.get("pending", 0),
        oldest_seconds=status.oldest,
        dead=status.dead,
        rejected=status.lines,
        relays=tuple(_relays(view)),
        forecast=forecast,
    )


def _relays(view: SpoolView) -> Iterator[str]:
    if not view.processes.shared:
        holder, relay = view.relay
        if holder is None:
            yield "no relay runs"
        elif relay is None:
            yield f"{holder}; it has not reported its status yet"
        else:
            ready = "ready" if relay.unready is None else f"not ready: {relay.unready}"
            rates = f"reads {relay.read_rate:,.1f}/s, delivers {relay.delivered_rate:,.1f}/s"
            yield f"process {relay.process} since {moment(relay.started)}: {ready}, {rates}"
        return
    living = [process for process, _ in reporting(view.processes)]
    for process in view.processes.processes:
        report = process.status if process in living else None
        rates = "" if report is None else f", delivers {report.delivered_rate:,.1f}/s"
        gone = "gone" if process.gone else f"{len(process.slots)} of {view.processes.slots} slots"
        yield f"{process.kind} {process.label}: {gone}{rates}"
